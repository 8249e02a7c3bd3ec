"""Vector stores behind one protocol: PostgreSQL with pgvector, and its twin in memory."""
