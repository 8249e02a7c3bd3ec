"""Embedding APIs, each behind the one Protocol."""
