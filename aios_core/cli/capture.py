"""`aios run`, `estimate`, `import` and `preview`: footage to Mocap to Blender scene and overlay."""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from aios_core.cli.progress import REPORTERS
from aios_core.cli.tracks import add_refine_options, refine_config
from aios_core.errors import AiosError, MissingDependencyError
from aios_core.output import check_writable

# What stands to the left of one of these options' values in CaptureConfig is the option's destination.
CAPTURE_FIELDS = (
    "weights", "body", "device", "threshold", "max_people", "fov_deg", "focal_px", "start", "stop", "step",
    "camera_path", "sequence_fps", "scale", "fast", "thorough", "precision",
)  # fmt: skip


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the commands that turn footage into people."""
    run = commands.add_parser("run", help="footage to a .blend with every person rigged and keyframed")
    _add_footage(run, many=True)
    run.add_argument(
        "-o", "--output", required=True,
        help="the .blend to write, the Mocap (.npz) is kept beside it; for several clips a folder, to which a run that "
        "broke off comes back",
    )  # fmt: skip
    run.add_argument("--shard", metavar="I/N", help="of several clips only the I-th of every N, for one of N workers")
    run.add_argument("--devices", metavar="LIST", help="a worker for each of these: cuda:0,cuda:1")
    run.add_argument("--no-blend", action="store_true", help="of several clips only the Mocap files")
    run.add_argument("--preview", help="also draw the people over the footage into this .png, .jpg or .mp4")
    run.add_argument("--blender", help="Blender's executable (default: this Python's bpy, else `blender` on PATH)")
    run.set_defaults(run=run_footage)

    estimate = commands.add_parser("estimate", help="footage to a Mocap file (.npz)")
    _add_footage(estimate)
    estimate.add_argument("-o", "--output", help="the Mocap (.npz) to write")
    estimate.add_argument(
        "--json", action="store_true",
        help="print every frame's people: score, box and 17 COCO joints in pixels of the original picture",
    )  # fmt: skip
    estimate.add_argument("--exit-with-parent", action="store_true", help=argparse.SUPPRESS)
    estimate.set_defaults(run=estimate_footage)

    importing = commands.add_parser("import", help="a Mocap file to a .blend")
    importing.add_argument("mocap", help="a Mocap file (.npz)")
    importing.add_argument("-o", "--output", required=True, help="the .blend to write")
    importing.add_argument("--body", help="body model file (default: the open body)")
    importing.add_argument("--footage", help="where the footage is now (default: where it was)")
    importing.add_argument("--blender", help="Blender's executable (default: this Python's bpy, else on PATH)")
    importing.set_defaults(run=import_mocap)

    preview = commands.add_parser("preview", help="draw the people of a Mocap file over its footage")
    preview.add_argument("mocap", help="a Mocap file (.npz)")
    preview.add_argument("-o", "--output", required=True, help="the .png, .jpg or .mp4 to write")
    preview.add_argument("--footage", help="where the footage is now (default: where it was)")
    preview.add_argument("--body", help="body model file (default: the open body)")
    preview.set_defaults(run=preview_mocap)


def _add_footage(parser: argparse.ArgumentParser, many: bool = False) -> None:
    kinds = "an image, a folder or pattern (shot_####.png) of images, or a video"
    parser.add_argument("footage", nargs="+" if many else None, help=f"{kinds}{'; several of them' if many else ''}")
    parser.add_argument("--weights", default="open", help="'open', 'aios' or a weights file (see `aios weights list`)")
    parser.add_argument("--body", help="body model file (default: the open body; see `aios body list`)")
    parser.add_argument("--device", help="cpu, cuda, cuda:1 or mps (default: the best there is)")
    parser.add_argument(
        "--scale", type=float, help="size of the pictures the network sees, 1 = as trained: 0.7 is faster and sees less"
    )
    effort = parser.add_mutually_exclusive_group()
    effort.add_argument(
        "--fast", action="store_true",
        help="faster: hopeless people dropped early and, if the network knows several sizes, pictures at 0.7 of theirs",
    )  # fmt: skip
    effort.add_argument(
        "--thorough", action="store_true",
        help="nearer: every picture's mirror image is looked at as well; takes twice the time",
    )  # fmt: skip
    parser.add_argument(
        "--precision", choices=("float32", "bfloat16", "float16"),
        help="of the network's matrix products; half precision is faster on GPUs and CPUs with AMX or AVX-512 BF16",
    )  # fmt: skip
    parser.add_argument("--threshold", type=float, help="least score of a person, 0..1 (default: the weights' own)")
    parser.add_argument("--max-people", type=int, help="keep at most so many people a frame (default: all)")
    camera = parser.add_mutually_exclusive_group()
    camera.add_argument("--fov", dest="fov_deg", type=float, help="horizontal field of view of the shot, degrees")
    camera.add_argument("--focal", dest="focal_px", type=float, help="focal length of the shot, pixels")
    parser.add_argument("--start", type=int, default=0, help="first frame, counted from 0")
    parser.add_argument("--stop", type=int, help="frame to stop before (default: the end)")
    parser.add_argument("--step", type=int, default=1, help="look at every n-th frame")
    parser.add_argument("--fps", dest="sequence_fps", type=float, help="frame rate of an image sequence (default: 24)")
    parser.add_argument("--fresh", action="store_true", help="do not continue what an interrupted run has left")
    parser.add_argument(
        "--keep-detections", action="store_true",
        help="leave the detections beside the output, so that the next run needs no network",
    )  # fmt: skip
    parser.add_argument("--thumbnail", metavar="JPG", help="keep a small picture of the frame looked at last here")
    add_refine_options(parser)
    parser.add_argument("--progress", choices=sorted(REPORTERS), default="bar", help="how progress is shown")


def _capture_config(options: argparse.Namespace):
    from aios_core.config import CaptureConfig

    given = {name: getattr(options, name) for name in CAPTURE_FIELDS}
    given = {name: value for name, value in given.items() if value is not None}
    return CaptureConfig(**given, refine=refine_config(options))


def run_footage(options: argparse.Namespace) -> int:
    """Footage to Mocap, preview and .blend; several clips one after the other (see `batch`)."""
    if len(options.footage) > 1 or options.shard or options.devices or Path(options.output).is_dir():
        return run_clips(options)
    (options.footage,) = options.footage
    output = _checked_output(options.output, (".blend",))
    mocap_path = check_writable(output.with_suffix(".npz"))
    preview = _checked_output(options.preview, PREVIEW_SUFFIXES) if options.preview else None
    blender = blender_command(options.blender)
    _estimate(options, mocap_path)
    if preview is not None:
        draw(mocap_path, preview, options.footage, options.body)
    import_into_blender(blender, mocap_path, output, options.body, options.footage)
    return 0


def run_clips(options: argparse.Namespace) -> int:
    """Several clips into a folder; 2 if one of them failed.

    Raises:
        AiosError: the output is no folder, or the shard or the devices make no sense.
    """
    from dataclasses import asdict

    from aios_core.batch import capture_clips, checked_folder, shard_of, start_workers, sum_up

    if Path(options.output).suffix == ".blend" or options.preview:
        raise AiosError("Several clips need a folder as their output, and no --preview.")
    folder, shard = checked_folder(options.output), shard_of(options.shard)
    if options.devices:
        return start_workers(sys.argv[1:], options.devices)
    blender = None if options.no_blend else blender_command(options.blender)
    settings = asdict(_capture_config(options)) | {"blend": not options.no_blend}

    def capture(clip: str, mocap_path: Path) -> int:
        options.footage = clip
        people = _estimate(options, mocap_path)
        if blender is not None:
            import_into_blender(blender, mocap_path, mocap_path.with_suffix(".blend"), options.body, clip)
        return people

    return sum_up(capture_clips(options.footage, folder, settings, capture, shard, options.fresh))


def estimate_footage(options: argparse.Namespace) -> None:
    """Footage to a Mocap file, or people as JSON lines on stdout."""
    if not options.output and not options.json:
        raise AiosError("Nothing to do: give -o OUT.npz, or --json to print the people.")
    if options.json and options.progress == "json":
        raise AiosError("--json and --progress json both write to stdout: choose one.")
    output = _checked_output(options.output, (".npz",)) if options.output else None
    if options.json:
        _print_people(options)
    if output is not None:
        _estimate(options, output)


def import_mocap(options: argparse.Namespace) -> None:
    """A Mocap file to a .blend."""
    output = _checked_output(options.output, (".blend",))
    import_into_blender(blender_command(options.blender), options.mocap, output, options.body, options.footage)


def preview_mocap(options: argparse.Namespace) -> None:
    """A Mocap file drawn over its footage."""
    draw(options.mocap, _checked_output(options.output, PREVIEW_SUFFIXES), options.footage, options.body)


PREVIEW_SUFFIXES = (".png", ".jpg", ".jpeg", ".mp4")


def _checked_output(path: str, suffixes: tuple[str, ...]) -> Path:
    if Path(path).suffix.lower() not in suffixes:
        raise AiosError(f"{path}: the output's name must end in {' or '.join(suffixes)}.")
    return check_writable(path)


def _estimate(options: argparse.Namespace, output: Path) -> int:
    """Write the Mocap of the footage; the number of people."""
    reporter = REPORTERS[options.progress]()
    options.report_error = reporter.error
    config = _capture_config(options)
    from aios_core import mocap
    from aios_core.pipeline.capture import DetectionStorage, estimate

    on_frame = None
    if options.thumbnail:
        from aios_core.thumbnail import ThumbnailWriter

        on_frame = ThumbnailWriter(_checked_output(options.thumbnail, (".jpg",)))
    storage = DetectionStorage(output.with_suffix(".detections"), options.fresh, options.keep_detections)
    try:
        is_stopping = options.stopping.is_set if hasattr(options, "stopping") else None
        found = estimate(options.footage, config, reporter.progress, reporter.warning, storage, on_frame, is_stopping)
        mocap.save(found, output)
    finally:
        reporter.close()
    reporter.done(str(output), len(found.tracks))
    return len(found.tracks)


def _print_people(options: argparse.Namespace) -> None:
    from aios_core.pipeline.capture import iterate_people

    for frame, people in iterate_people(options.footage, _capture_config(options)):
        line = {"frame": frame.index, "timestamp": float(frame.timestamp), "people": [
            {
                "score": round(float(people.scores[i]), 4),
                "box_xyxy": people.boxes_xyxy_px[i].round(2).tolist(),
                "keypoints": people.keypoints_px[i].round(2).tolist(),
            }
            for i in range(len(people))
        ]}  # fmt: skip
        print(json.dumps(line), flush=True)


def draw(mocap_path: str | Path, output: Path, footage: str | None, body_path: str | None) -> None:
    """Draw a saved Mocap over its footage."""
    from aios_core import mocap
    from aios_core.body.files import load_body, open_body
    from aios_core.preview import draw_preview

    found = mocap.load(mocap_path)
    body = load_body(body_path) if body_path else open_body()
    draw_preview(found, footage or found.source, body, output)
    print(f"overlay -> {output}")


def blender_command(blender: str | None) -> list[str]:
    """The command that runs this add-on's verbs: Blender's executable as given, this Python's bpy, or Blender on PATH.

    Raises:
        MissingDependencyError: neither is there.
    """
    if blender is None and importlib.util.find_spec("bpy") and importlib.util.find_spec("aios_blender"):
        return [sys.executable, "-m", "aios_blender"]
    found = shutil.which(blender or "blender")
    if found is None:
        raise MissingDependencyError(
            f"{blender} is not an executable." if blender else
            "Writing a .blend needs bpy (pip install bpy==4.5.15, Python 3.11) or Blender with the AiOS extension "
            "on PATH (or --blender PATH); `aios estimate` works without."
        )  # fmt: skip
    return [found, "-b", "--command", "aios"]


def import_into_blender(
    command: Sequence[str], mocap_path: str | Path, output: Path, body: str | None, footage: str | None
) -> None:
    """Build the scene of a saved Mocap in a Blender process and save it to `output`."""
    command = [*command, "import", str(mocap_path), "-o", str(output)]
    command += ["--body", body] if body else []
    command += ["--footage", footage] if footage else []
    process = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if process.returncode:
        lines = [line for line in process.stderr.splitlines() if line.strip()] or ["no message"]
        said = next((line for line in reversed(lines) if line.startswith("aios: ")), lines[-1])
        raise AiosError(said.removeprefix("aios: "))
    print(f"scene -> {output}")
