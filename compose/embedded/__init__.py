"""Kafka, PostgreSQL and an embedding server without Docker, Java or an API key."""
