"""Clips of any length and size to measure on, made of the demo's video."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av

PLAZA = Path(__file__).parents[1] / "examples" / "footage" / "plaza.mp4"


def write_clip(path: Path, source: Path, seconds: float, fps: int, size: tuple[int, int]) -> None:
    """The source's frames forwards and backwards, again and again, at another size (width, height)."""
    with av.open(str(source)) as container:
        frames = [frame.reformat(*size, "yuv420p") for frame in container.decode(video=0)]
    frames += frames[-2:0:-1]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps), options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for i in range(round(seconds * fps)):
            frame = frames[i % len(frames)]
            frame.pts, frame.time_base = i, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
