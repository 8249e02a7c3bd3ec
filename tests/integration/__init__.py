"""Each part with the real Kafka, PostgreSQL or embedding server."""
