"""A training process keeps the memory it frees."""

import subprocess
import sys

import pytest

COUNTED = """
import resource, sys
import numpy as np
from training.memory import keep_freed_memory
if "keep" in sys.argv and not keep_freed_memory():
    raise SystemExit(3)
for _ in range(3):
    np.ones(2**22)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    np.ones(2**22)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(*arguments: str) -> int:
    run = subprocess.run([sys.executable, "-c", COUNTED, *arguments], capture_output=True, text=True)
    if run.returncode == 3:
        pytest.skip("another C library than glibc")
    return int(run.stdout)


def test_blocks_that_are_freed_and_taken_again_are_not_cleared_again():
    assert page_faults("keep") < 0.1 * page_faults()
