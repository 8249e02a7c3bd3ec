"""How does a worker keep its memory at hand, instead of giving it back and asking for it again?

A batch is megabytes that are freed soon. glibc gives such blocks back to the kernel at once, which has to hand out
zeroed pages for the next batch: a seventh of a worker's CPU.
"""

import ctypes
import gc

GARBAGE_THRESHOLDS = (50_000, 20, 100)
"""Documents in flight are freed by their reference counts; looking for cycles among them cost 7 % of the CPU."""

# From glibc's malloc.h. Blocks below the greatest threshold that is allowed come from the heap, whose end is kept.
_M_TRIM_THRESHOLD, _TRIM_BYTES = -1, 64 * 1024 * 1024
_M_MMAP_THRESHOLD, _MMAP_BYTES = -3, 32 * 1024 * 1024


def keep_at_hand() -> None:
    """Set up this process for a long life of large blocks; where there is no glibc its allocator stays as it is."""
    gc.collect()
    gc.freeze()  # modules and settings stay to the end
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES)
    mallopt(_M_TRIM_THRESHOLD, _TRIM_BYTES)
