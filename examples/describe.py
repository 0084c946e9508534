"""Say what Mocap files hold: python examples/describe.py out/plaza.npz ..."""

import sys

from aios_core import mocap


def describe(path: str) -> None:
    """Print the footage, the camera and one line per person."""
    found = mocap.load(path)
    seconds = found.frame_count / float(found.fps)
    print(
        f"{path}: {found.source_kind}, {found.width}x{found.height}, {found.frame_count} frames"
        f" ({seconds:.1f} s), focal length {found.camera.focal_px:.0f} px, {len(found.tracks)} people"
    )
    for track in found.tracks:
        gaps = f", gaps {track.gaps()}" if track.gaps() else ""
        print(
            f"  {track.name}: frames {track.frames[0]}-{track.frames[-1]}{gaps}, mean score {track.scores.mean():.2f},"
            f" {track.transl[:, 2].mean():.1f} m away"
        )


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        describe(argument)
