"""Status, health and metrics of a worker over HTTP."""
