"""Peak memory of a 10-minute clip against a 10-second one: python -m benchmarks.memory [--seconds 600]"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import av

MEASURE = """
import resource, sys, aios_core
from aios_core import CaptureConfig
mocap = aios_core.estimate(sys.argv[1], CaptureConfig(threshold=0.1, max_people=3, batch=4))
aios_core.save(mocap, sys.argv[1] + ".npz")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, sum(len(t) for t in mocap.tracks))
"""


def write_clip(path: Path, source: Path, seconds: float) -> None:
    """The source's frames again and again, small."""
    with av.open(str(source)) as container:
        frames = [f.reformat(256, 144).to_ndarray(format="rgb24") for f in container.decode(video=0)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(25), options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 256, 144, "yuv420p"
        for i in range(round(seconds * 25)):
            for packet in stream.encode(av.VideoFrame.from_ndarray(frames[i % len(frames)], format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def peak_mib(path: Path) -> tuple[float, int]:
    """Peak memory of a whole capture in a process of its own, and how many keys it found."""
    out = subprocess.run([sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=True).stdout
    kib, keys = map(int, out.split())
    return kib / 1024, keys


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    options = parser.parse_args()
    source = Path(__file__).parents[1] / "examples" / "footage" / "plaza.mp4"
    with tempfile.TemporaryDirectory() as folder:
        peaks = []
        for seconds in (10, options.seconds):
            path = Path(folder) / f"clip_{seconds:.0f}.mp4"
            write_clip(path, source, seconds)
            peak, keys = peak_mib(path)
            peaks.append(peak)
            print(f"{seconds:6.0f} s: {peak:7.0f} MiB peak, {keys} keys", flush=True)
        print(f"ratio {peaks[1] / peaks[0]:.2f}")


if __name__ == "__main__":
    main()
