"""What we do with what Kafka says."""
