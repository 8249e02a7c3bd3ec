"""How it is put together, and what it runs on."""
