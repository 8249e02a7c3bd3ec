"""What we say to Kafka: documents, dead letters, and the topics they go to."""
