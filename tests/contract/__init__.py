"""The promise of each Protocol, kept by the fake and the real implementation alike."""
