"""The C library's allocator, set to keep what a training step frees for the next step."""

from __future__ import annotations

import ctypes
import sys

NEVER_MAPPED = -4, 0
"""mallopt's M_MMAP_MAX: large blocks come from the heap as small ones do, ..."""
NEVER_TRIMMED = -1, 2**31 - 1
"""M_TRIM_THRESHOLD: whose free end is not given back ..."""
GROWS_BY = -2, 2**26
"""M_TOP_PAD: and which grows by so many bytes at least."""


def keep_freed_memory() -> bool:
    """Let this process keep the memory it frees; whether that can be set here (on Linux with glibc).

    glibc gives every large block back when it is freed, and the kernel clears the next one page by page: 13 to 16
    million pages in five minutes of training on two cores. The process grows to what its largest step needs and stays
    there.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return all([mallopt(*option) for option in (NEVER_MAPPED, NEVER_TRIMMED, GROWS_BY)])
