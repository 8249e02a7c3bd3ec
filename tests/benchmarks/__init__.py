"""What a document costs."""
