"""Decisions and values, without a server."""
