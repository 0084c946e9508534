"""`aios refine` and `aios tracks`: work on a saved Mocap without running the network again."""

from __future__ import annotations

import argparse
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from aios_core.cli.progress import REPORTERS, BarReporter, JsonReporter, QuietReporter
from aios_core.errors import AiosError
from aios_core.output import check_writable

if TYPE_CHECKING:
    from aios_core.mocap import Camera, Mocap


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the commands."""
    refine = commands.add_parser("refine", help="clean a saved Mocap's motion again, with other settings")
    refine.add_argument("mocap", help="a Mocap file (.npz)")
    refine.add_argument("-o", "--output", help="the Mocap to write (default: in place)")
    refine.add_argument("--body", help="body model file (default: the open body)")
    refine.add_argument("--progress", choices=sorted(REPORTERS), default="bar", help="how progress is shown")
    refine.add_argument(
        "--shape", action="append", default=[], metavar="TRACK=B0,..,B9",
        help="the shape of a track that is known: ten coefficients; may be repeated",
    )  # fmt: skip
    refine.add_argument(
        "--turn", action="append", default=[], metavar="TRACK=FIRST-LAST",
        help="a track faces the other way in these frames, counted from 0; may be repeated",
    )  # fmt: skip
    camera = refine.add_mutually_exclusive_group()
    camera.add_argument("--fov", dest="fov_deg", type=float, help="horizontal field of view of the shot, degrees")
    camera.add_argument("--focal", dest="focal_px", type=float, help="focal length of the shot, pixels")
    add_refine_options(refine)
    refine.set_defaults(run=refine_mocap)

    tracks = commands.add_parser("tracks", help="list, split, merge, rename and delete the people of a saved Mocap")
    tracks.add_argument("mocap", help="a Mocap file (.npz)")
    verbs = tracks.add_subparsers(dest="verb", required=True, metavar="list|split|merge|rename|delete")
    verbs.add_parser("list", help="who is there, from when to when")
    split = _verb(verbs, "split", "cut a track in two")
    split.add_argument("--frame", type=int, required=True, help="first frame of the second part, counted from 0")
    merge = _verb(verbs, "merge", "make two tracks one person")
    merge.add_argument("other", type=int, help="the track that goes into it")
    merge.add_argument("--body", help="body model file (default: the open body)")
    add_refine_options(merge)
    _verb(verbs, "rename", "give a track another name").add_argument("name")
    _verb(verbs, "delete", "take a track out")
    tracks.set_defaults(run=edit_tracks)


def _verb(verbs: argparse._SubParsersAction, name: str, help_text: str) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=help_text)
    parser.add_argument("track", type=int, help="number of the track (see list)")
    parser.add_argument("-o", "--output", help="the Mocap to write (default: in place)")
    return parser


def add_refine_options(parser: argparse.ArgumentParser) -> None:
    """Options that make a RefineConfig (see `refine_config`)."""
    parser.add_argument("--smooth", type=float, default=1.0, metavar="FACTOR",
                        help="strength of smoothing: 1 is usual, 2 twice as slow, 0 off")  # fmt: skip
    parser.add_argument("--longest-gap", type=float, metavar="SECONDS", help="close gaps up to so long (default: 0.5)")
    parser.add_argument("--keep-outliers", action="store_true", help="do not replace impossible measurements")
    parser.add_argument("--fit", action="store_true", help="bring the bodies' joints onto the network's 2-d joints")
    parser.add_argument("--no-foot-lock", action="store_true", help="let planted feet slide")
    parser.add_argument("--level-camera", action="store_true", help="the camera was held level; find its height alone")
    parser.add_argument("--camera-path", help="file with the moving camera's matrices (see aios_core/camera_path.py)")


def refine_config(options: argparse.Namespace):
    """The RefineConfig that the options ask for.

    Raises:
        AiosError: a strength or a gap is negative.
    """
    from aios_core.config import RefineConfig, replace

    if options.smooth < 0 or (options.longest_gap or 0) < 0:
        raise AiosError("--smooth and --longest-gap cannot be negative.")
    usual = RefineConfig()
    strengths = ("body_seconds", "hands_seconds", "face_seconds", "place_seconds", "depth_seconds")
    return replace(
        usual,
        **{name: getattr(usual, name) * options.smooth for name in strengths},
        longest_gap_seconds=usual.longest_gap_seconds if options.longest_gap is None else options.longest_gap,
        replace_outliers=not options.keep_outliers,
        lock_feet=not options.no_foot_lock,
        fit_picture=options.fit,
        level_camera=options.level_camera,
    )


def refine_mocap(options: argparse.Namespace) -> None:
    """Clean a saved Mocap's motion again."""
    from aios_core import mocap

    reporter = REPORTERS[options.progress]()
    options.report_error = reporter.error
    config, output = refine_config(options), _output(options)
    found = mocap.load(options.mocap)
    if all(track.measured is None for track in found.tracks):
        raise AiosError(f"{options.mocap} holds no measurements to refine.")
    shapes = _shapes(options.shape, {track.id for track in found.tracks})
    found = _turned(replace(found, camera=_camera(found, options)), options.turn)
    mocap.save(_refined(found, options, config, reporter, shapes), output)
    reporter.done(str(output), len(found.tracks))


def edit_tracks(options: argparse.Namespace) -> None:
    """List or change the tracks of a saved Mocap."""
    from aios_core import mocap, tracks

    found = mocap.load(options.mocap)
    if options.verb == "list":
        said = FOCAL_SAID.get(found.camera.focal_from, found.camera.focal_from)
        print(f"focal length {found.camera.focal_px:.0f} px ({said})")
        for track in found.tracks:
            print(_described(track))
        return
    output = _output(options)
    if options.verb == "split":
        changed = tracks.split_track(found, options.track, options.frame)
    elif options.verb == "merge":
        merged = tracks.merge_tracks(found, options.track, options.other)
        changed = _refined(merged, options, refine_config(options), QuietReporter())
    elif options.verb == "rename":
        changed = tracks.rename_track(found, options.track, options.name)
    else:
        changed = tracks.delete_track(found, options.track)
    mocap.save(changed, output)
    print(f"{len(changed.tracks)} people -> {output}")


FOCAL_SAID = {
    "user": "as stated", "exif": "the photograph's EXIF data", "people": "estimated from how people walk",
    "diagonal": "a guess: the picture's diagonal",
}  # fmt: skip


def _camera(found: Mocap, options: argparse.Namespace) -> Camera:
    """The Mocap's camera, with the focal length that the user states now.

    Raises:
        AiosError: it cannot be one.
    """
    from aios_core.geometry.camera import given_focal_px

    focal = given_focal_px(found.width, options.focal_px, options.fov_deg)
    if focal is None:
        return found.camera
    return replace(found.camera, focal_px=focal, focal_from="user")


def _output(options: argparse.Namespace) -> Path:
    return check_writable(options.output or options.mocap)


def _shapes(given: list[str], tracks: set[int]) -> dict[int, list[float]]:
    """Betas by the number of the track.

    Raises:
        AiosError: not a track of the Mocap, or not ten numbers.
    """
    shapes = {}
    for text in given:
        number, _, values = text.partition("=")
        try:
            track, betas = int(number), [float(value) for value in values.split(",")]
        except ValueError:
            track, betas = 0, []
        if track not in tracks or len(betas) != 10:
            raise AiosError(f"--shape {text}: give the number of a track, '=', and ten coefficients with commas.")
        shapes[track] = betas
    return shapes


def _turned(found: Mocap, given: list[str]) -> Mocap:
    """The Mocap with people turned about in frames.

    Raises:
        AiosError: not a track of the Mocap, or no frames.
    """
    from aios_core.pipeline.refine.facing import turned_about

    for text in given:
        match = re.fullmatch(r"(\d+)=(\d+)-(\d+)", text)
        if match is None:
            raise AiosError(f"--turn {text}: give the number of a track, '=', and its first and last frame with '-'.")
        found = turned_about(found, *map(int, match.groups()))
    return found


def _refined(found, options: argparse.Namespace, config, reporter: BarReporter | JsonReporter, shapes=None):
    from aios_core.body.files import load_body, open_body
    from aios_core.camera_path import load_camera_path, with_camera_path
    from aios_core.pipeline.progress import fit_progress
    from aios_core.pipeline.refine import refine

    body = load_body(options.body) if options.body else open_body()
    if options.camera_path:
        found = with_camera_path(found, load_camera_path(options.camera_path))
    fitting = fit_progress(reporter.progress, len(found.tracks))
    return refine(found, body, config, reporter.warning, shapes, fitting)


def _described(track) -> str:
    gaps = ", ".join(f"{start}-{stop - 1}" for start, stop in track.gaps())
    trust = " ".join(f"{value:.2f}" for value in track.confidence.mean(0))
    frames = f"frames {track.frames[0]}-{track.frames[-1]}" if len(track) else "no frames"
    line = f"{track.id:3d}  {track.name:24s} {frames}, confidence (body, hands, face) {trust}"
    return line + (f", gaps {gaps}" if gaps else "")
