"""Headless verbs: `blender -b --command aios run|import ...` and `python -m aios_blender ...`.

Exit codes: 0 done, 2 the user's mistake, said in one sentence on stderr.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from aios_core.client import Job, estimate_command
from aios_core.errors import AiosError, OutputError
from aios_core.output import check_writable


def main_in_blender(arguments: Sequence[str]) -> int:
    """The `aios` verb of Blender's own command line."""
    return main(arguments)


def main(arguments: Sequence[str]) -> int:
    """Run one verb; the exit code."""
    options = _parser().parse_args(list(arguments))
    try:
        options.run(options)
    except AiosError as error:
        print(f"aios: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="aios", description="Motion capture into .blend files.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    importing = verbs.add_parser("import", help="a Mocap file (.npz) to a .blend")
    importing.add_argument("mocap")
    importing.add_argument("-o", "--output", required=True)
    importing.add_argument("--body", help="body model file (default: the open body)")
    importing.add_argument("--footage", help="where the footage is now")
    importing.set_defaults(run=_import)
    run = verbs.add_parser("run", help="footage to a .blend, through the runtime's Python")
    run.add_argument("input")
    run.add_argument("-o", "--output", required=True)
    run.add_argument("--python", help="a Python with aios-core and torch (default: the one in the preferences)")
    run.add_argument("--body", help="body model file (default: the open body)")
    run.add_argument("--weights", help="'open', 'aios' or a weights file")
    run.add_argument("--threshold", help="least score of a person, 0..1")
    run.set_defaults(run=_run)
    return parser


def _import(options: argparse.Namespace) -> None:
    output = _blend_path(options.output)
    import_mocap_file(options.mocap, output, options.body, options.footage)
    print(output)


def _run(options: argparse.Namespace) -> None:
    from .preferences import runtime_python

    output = _blend_path(options.output)
    mocap_path = check_writable(output.with_suffix(".npz"))
    extra = [
        f"--{name}={getattr(options, name)}" for name in ("body", "weights", "threshold") if getattr(options, name)
    ]
    python = options.python or runtime_python()
    capture(Job(estimate_command(python, options.input, mocap_path, extra)))
    import_mocap_file(mocap_path, output, options.body, None)
    print(output)


def capture(job: Job) -> None:
    """Wait for a job; its warnings go to stderr.

    Raises:
        AiosError: the job ended with an error.
    """
    while job.running:
        event = job.wait()
        if event["event"] == "error":
            raise AiosError(event["message"])


def import_mocap_file(mocap_path: str | Path, output: Path, body_path: str | None, footage: str | None) -> None:
    """Build the scene of a Mocap file in a fresh file and save it to `output`, whole or not at all."""
    import bpy

    from aios_core import mocap
    from aios_core.body.files import load_body, open_body

    from .scene import SceneSettings, build

    found = mocap.load(mocap_path)
    body = load_body(body_path) if body_path else open_body(found.gender if found.body_family == "open" else "neutral")
    bpy.ops.wm.read_factory_settings(use_empty=True)
    built = build(found, body, SceneSettings(footage=footage))
    for warning in built.warnings:
        print(f"aios: warning: {warning}", file=sys.stderr)
    save_blend(output)


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
