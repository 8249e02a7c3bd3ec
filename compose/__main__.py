"""``python -m compose`` is ``headrace``, for a process that starts another of its own."""

from compose.cli import main

if __name__ == "__main__":
    main()
