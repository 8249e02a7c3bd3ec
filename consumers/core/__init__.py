"""Decisions, synchronous and pure: no I/O, no client library, no clock."""
