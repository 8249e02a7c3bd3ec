"""Kafka as the consumers see it: the source of messages, and views of topics and groups."""
