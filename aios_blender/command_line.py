"""Headless verbs: `blender -b --command aios run|import|export|retarget ...` and `python -m aios_blender ...`.

What needs no Blender (estimate, refine, tracks, ..., runs of several clips) is handed to the runtime's `aios`.
Exit codes: 0 done, 2 the user's mistake, said in one sentence on stderr.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from aios_core.client import Job, estimate_command, progress_text
from aios_core.errors import AiosError, ExportError, OutputError
from aios_core.output import check_writable


def main_in_blender(arguments: Sequence[str]) -> int:
    """The `aios` verb of Blender's own command line."""
    return main(arguments)


def main(arguments: Sequence[str]) -> int:
    """Run one verb; the exit code."""
    try:
        if arguments and arguments[0] in RUNTIME_VERBS:
            return run_in_runtime(arguments)
        options = _parser().parse_args(list(arguments))
        return options.run(options) or 0
    except AiosError as error:
        print(f"aios: {error}", file=sys.stderr)
        return error.exit_code


RUNTIME_VERBS = ("estimate", "refine", "tracks", "evaluate", "preview", "weights", "body", "doctor")


CAPTURE_VALUES = (
    "weights", "body", "device", "scale", "threshold", "max-people", "fov", "focal", "start", "stop", "step", "fps",
    "smooth", "longest-gap", "camera-path", "precision",
)  # fmt: skip
CAPTURE_FLAGS = ("fresh", "fast", "thorough", "keep-detections", "keep-outliers", "fit", "no-foot-lock", "level-camera")
"""Options of a capture that are handed on to the runtime, which knows what they mean."""
TELL_SECONDS = 5.0
"""Between two lines about how far a capture is."""


def run_in_runtime(arguments: Sequence[str]) -> int:
    """Run a verb of `aios` in the runtime, or in the Python given by `--python PATH`; its exit code.

    Raises:
        AiosError: there is no runtime, or it cannot be started.
    """
    arguments = list(arguments)
    python = None
    if "--python" in arguments[:-1]:
        place = arguments.index("--python")
        python = arguments[place + 1]
        del arguments[place : place + 2]
    if python is None:
        from .preferences import runtime_python

        python = runtime_python()
    try:
        return subprocess.run([python, "-m", "aios_core", *arguments]).returncode
    except OSError as error:
        raise AiosError(f"Cannot start {python}: {error.strerror}.") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="aios",
        description="Motion capture into .blend files.",
        epilog=f"Further verbs run in the runtime: {', '.join(RUNTIME_VERBS)}; see `aios VERB --help`.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    importing = verbs.add_parser("import", help="a Mocap file (.npz) to a .blend")
    importing.add_argument("mocap")
    importing.add_argument("-o", "--output", required=True)
    importing.add_argument("--body", help="body model file (default: the open body)")
    importing.add_argument("--footage", help="where the footage is now")
    importing.set_defaults(run=_import)
    run = verbs.add_parser(
        "run", help="footage to a .blend, through the runtime's Python; several clips to a folder",
        epilog="What the options of a capture mean: aios estimate --help.",
    )  # fmt: skip
    run.add_argument("input", nargs="+")
    run.add_argument("-o", "--output", required=True, help="the .blend to write; for several clips a folder")
    run.add_argument("--python", help="a Python with aios-core and torch (default: the one in the preferences)")
    for name in (*CAPTURE_VALUES, "shard", "devices"):
        run.add_argument(f"--{name}")
    for name in (*CAPTURE_FLAGS, "no-blend"):
        run.add_argument(f"--{name}", action="store_true")
    run.set_defaults(run=_run)
    exporting = verbs.add_parser(
        "export", help="people of a .blend or a Mocap file to FBX, GLB, USD, BVH or SMPL-X .npz"
    )
    exporting.add_argument("input", help="a .blend with captured people, or a Mocap file (.npz)")
    exporting.add_argument("-o", "--output", required=True, help=".fbx, .glb, .usd, .usdc, .usda, .bvh or .npz")
    exporting.add_argument("--preset", default="unity", help="FBX: 'unity' (default) or 'unreal'")
    exporting.add_argument("--person", type=int, action="append", help="id of a person; may be repeated (default: all)")
    exporting.add_argument("--bones-only", action="store_true", help="leave the meshes out")
    exporting.add_argument("--one-file-each", action="store_true", help="a file for every person")
    exporting.add_argument("--body", help="body model file for a Mocap file (default: the open body)")
    exporting.set_defaults(run=_export)
    retargeting = verbs.add_parser("retarget", help="a person of a Mocap file onto a Rigify, Mixamo or other rig")
    retargeting.add_argument("mocap", help="a Mocap file (.npz)")
    retargeting.add_argument("--to", required=True, metavar="RIG", help="the rig's file: .blend, .fbx or .glb")
    retargeting.add_argument("-o", "--output", required=True, help=".blend with the rig and its motion")
    retargeting.add_argument("--person", type=int, help="id of the person (default: the first)")
    retargeting.add_argument("--armature", help="name of the armature, where the file holds several")
    retargeting.add_argument("--map", default="auto", help="'auto' (default), a preset's name or a bone map (.json)")
    retargeting.add_argument("--save-map", metavar="FILE", help="write the bone map that is used, to be edited")
    retargeting.add_argument("--no-foot-lock", action="store_true", help="leave planted feet as they come out")
    retargeting.add_argument("--body", help="body model file (default: the open body)")
    retargeting.set_defaults(run=_retarget)
    return parser


def _import(options: argparse.Namespace) -> None:
    output = _blend_path(options.output)
    import_mocap_file(options.mocap, output, options.body, options.footage)
    print(output)


def _run(options: argparse.Namespace) -> int:
    from .preferences import runtime_python

    if len(options.input) > 1 or options.shard or options.devices or Path(options.output).suffix != ".blend":
        return _run_clips(options)
    output = _blend_path(options.output)
    mocap_path = check_writable(output.with_suffix(".npz"))
    python = options.python or runtime_python()
    capture(Job(estimate_command(python, options.input[0], mocap_path, capture_options(options))))
    import_mocap_file(mocap_path, output, options.body, None)
    print(output)
    return 0


def _run_clips(options: argparse.Namespace) -> int:
    """Several clips into a folder: the runtime captures, and starts this Blender for every .blend."""
    import bpy

    arguments = ["run", *options.input, "-o", options.output, "--progress", "none", *capture_options(options)]
    arguments += [f"--{name}={value}" for name in ("shard", "devices") if (value := getattr(options, name))]
    arguments += ["--python", options.python] if options.python else []
    if options.no_blend:
        arguments += ["--no-blend"]
    elif bpy.app.binary_path:
        arguments += ["--blender", bpy.app.binary_path]
    return run_in_runtime(arguments)


def capture_options(options: argparse.Namespace) -> list[str]:
    """Those options of `run` that are the capture's own, as they were given."""
    given = {name: getattr(options, name.replace("-", "_")) for name in (*CAPTURE_VALUES, *CAPTURE_FLAGS)}
    return [f"--{name}" if value is True else f"--{name}={value}" for name, value in given.items() if value]


def capture(job: Job) -> None:
    """Wait for a job; its warnings, and now and then how far it is, go to stderr.

    Raises:
        AiosError: the job ended with an error.
    """
    told = time.monotonic()
    while job.running:
        for event in job.poll():
            if event["event"] == "error":
                raise AiosError(event["message"])
            if event["event"] == "warning":
                print(f"aios: warning: {event['message']}", file=sys.stderr)
            if event["event"] == "progress" and time.monotonic() - told > TELL_SECONDS:
                told = time.monotonic()
                print(f"aios: {progress_text(event)}", file=sys.stderr)
        time.sleep(0.1)


def import_mocap_file(mocap_path: str | Path, output: Path, body_path: str | None, footage: str | None) -> None:
    """Build the scene of a Mocap file in a fresh file and save it to `output`, whole or not at all."""
    for warning in open_mocap(mocap_path, body_path, footage):
        print(f"aios: warning: {warning}", file=sys.stderr)
    save_blend(output)


def open_mocap(mocap_path: str | Path, body_path: str | None, footage: str | None = None) -> list[str]:
    """Build the scene of a Mocap file in a fresh file; the warnings."""
    import bpy

    from aios_core import mocap
    from aios_core.body.files import load_body, open_body

    from .scene import SceneSettings
    from .take import build_take

    found = mocap.load(mocap_path)
    body = load_body(body_path) if body_path else open_body(found.gender if found.body_family == "open" else "neutral")
    bpy.ops.wm.read_factory_settings(use_empty=True)
    return build_take(Path(mocap_path).absolute(), body, SceneSettings(footage=footage)).warnings


def open_blend(path: str | Path) -> None:
    """Open a .blend without running scripts in it.

    Raises:
        ExportError: it cannot be opened.
    """
    import bpy

    if not Path(path).is_file():
        raise ExportError(f"No such file: {path}.")
    try:
        bpy.ops.wm.open_mainfile(filepath=str(Path(path).absolute()), use_scripts=False)
    except RuntimeError as error:
        raise ExportError(f"{path} is not a .blend file or is damaged ({str(error).strip()}).") from error


def _open(path: str, body_path: str | None) -> None:
    """Open a .blend, or build the scene of a Mocap file. That its footage may be gone matters to nobody here."""
    if Path(path).suffix.lower() == ".blend":
        open_blend(path)
    else:
        open_mocap(path, body_path)


def _export(options: argparse.Namespace) -> None:
    import bpy

    from .export import ExportSettings, export_people
    from .export.people import built_people

    _open(options.input, options.body)
    scene = bpy.context.scene
    settings = ExportSettings(options.preset, not options.bones_only, options.one_file_each)
    done = export_people(scene, built_people(scene, options.person), options.output, settings)
    for warning in done.warnings:
        print(f"aios: warning: {warning}", file=sys.stderr)
    for path in done.paths:
        print(path)


def _retarget(options: argparse.Namespace) -> None:
    from .retarget import RetargetSettings
    from .retarget.files import retarget_file

    output = _blend_path(options.output)
    settings = RetargetSettings(options.map, not options.no_foot_lock)
    done = retarget_file(
        options.mocap, options.person, options.body, options.to, options.armature, settings, options.save_map
    )
    for warning in done.warnings:
        print(f"aios: warning: {warning}", file=sys.stderr)
    save_blend(output)
    print(output)


def save_blend(output: Path) -> None:
    """Save the open file to `output` through a temporary name.

    Raises:
        OutputError: it cannot be written.
    """
    import bpy

    temporary = output.with_name(f".{output.stem}.partial.blend")
    try:
        bpy.context.preferences.filepaths.save_version = 0
        bpy.ops.wm.save_as_mainfile(
            filepath=str(temporary.absolute()), check_existing=False, relative_remap=False, compress=True
        )
        temporary.replace(output)
    except (RuntimeError, OSError) as error:
        raise OutputError(f"Cannot write {output}: {error}.") from error
    finally:
        temporary.unlink(missing_ok=True)


def _blend_path(path: str) -> Path:
    if Path(path).suffix.lower() != ".blend":
        raise OutputError(f"{path}: the output's name must end in .blend.")
    return check_writable(path)
