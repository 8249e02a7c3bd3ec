"""What the tests run on: a real Kafka, a real PostgreSQL and an embedding server, embedded or in containers."""
