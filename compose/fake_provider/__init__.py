"""An embedding API that needs no model and misbehaves as it is told, for tests, benchmarks and rehearsals."""
