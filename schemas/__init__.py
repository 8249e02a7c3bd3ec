"""What things are: values, events, errors, settings and SQL. No I/O, no clock, no client library."""

__version__ = "0.1.0"
