"""Real processes, and the invariant that has to hold when something breaks."""
