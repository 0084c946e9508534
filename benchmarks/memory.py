"""Time and peak memory by the length of a clip: python -m benchmarks.memory [--seconds 10 60 600] [--write]

Not part of `make bench`: ten minutes of footage take some, although the network looks at half its size here.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.clips import PLAZA, write_clip
from benchmarks.tables import column, parser, show

FPS, SIZE = 25, (256, 144)
MEASURE = """
import json, sys, time, torch, aios_core
from aios_core import CaptureConfig
torch.set_num_threads(int(sys.argv[2]))
begun = time.perf_counter()
looked = []
config = CaptureConfig(threshold=0.1, max_people=3, scale=0.5)
mocap = aios_core.estimate(sys.argv[1], config, on_frame=lambda *_: looked.append(time.perf_counter()))
behind = time.perf_counter() - looked[-1]
aios_core.save(mocap, sys.argv[1] + ".npz")
print(json.dumps({
    "looking": looked[-1] - begun, "behind": behind, "keys": sum(len(track) for track in mocap.tracks),
    "peak_mib": int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) / 1024,
}))
"""


@dataclass(frozen=True)
class Row:
    """One clip."""

    seconds: float = column("seconds of footage", ".0f")
    looking: float = column("looking at it, s", ".0f")
    behind: float = column("tracking and refining, s", ".1f")
    keys: int = column("keys of at most 3 people a frame")
    peak_mib: float = column("peak memory, MiB", ".0f")
    ratio: float = column("of the first", ".2f")


def measure(lengths: list[float], threads: int) -> list[Row]:
    """A row for every length in seconds, each captured in a process of its own."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for seconds in lengths:
            path = Path(folder) / f"clip_{seconds:.0f}.mp4"
            write_clip(path, PLAZA, seconds, FPS, SIZE)
            command = [sys.executable, "-c", MEASURE, str(path), str(threads)]
            out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            found = json.loads(out.splitlines()[-1])
            first = rows[0].peak_mib if rows else found["peak_mib"]
            rows.append(Row(seconds, **found, ratio=found["peak_mib"] / first))
            print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--seconds", type=float, nargs="+", default=[10, 60, 600])
    options = options.parse_args()
    show("length", measure(options.seconds, options.threads), options.write)


if __name__ == "__main__":
    main()
