"""Listeners to events: counts, metrics, logs and traces."""
