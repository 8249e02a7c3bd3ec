"""The invariants, whatever the order of events."""
