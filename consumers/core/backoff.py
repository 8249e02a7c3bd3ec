"""How long until the next try?"""

FIRST_S = 0.25
LONGEST_S = 15.0
MAX_DOUBLINGS = 16


def backoff(failures: int, jitter: float, *, first_s: float = FIRST_S, longest_s: float = LONGEST_S) -> float:
    """Return the seconds to wait after *failures* failures in a row, 1 or more.

    The wait doubles from *first_s* to *longest_s*; *jitter*, a random number from 0 to 1, takes up to half of it
    away, so that a fleet does not come back in step.
    """
    ceiling = min(longest_s, first_s * 2.0 ** min(max(failures, 1) - 1, MAX_DOUBLINGS))
    return ceiling * (1.0 - jitter / 2.0)
