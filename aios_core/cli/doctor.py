"""`aios doctor`: what is installed, which device will be used, what is missing and how to get it."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys

REQUIRED = ("torch", "numpy", "opencv-python", "scipy", "safetensors", "av", "tqdm")
OPTIONAL = {
    "bpy": "writes .blend files without Blender: pip install bpy==4.5.15",
    "anny": "builds the open body anew: pip install anny==0.6.2",
    "numba": "renders synthetic people for training: pip install numba",
}


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add `aios doctor`."""
    doctor = commands.add_parser("doctor", help="what is installed, which device is used, what is missing")
    doctor.set_defaults(run=report)


def report(_options: argparse.Namespace) -> int:
    """Print the state of the installation; 0 when captures can run, else 2."""
    print(f"Python {platform.python_version()} ({sys.executable})")
    missing = [name for name in REQUIRED if not _print_package(name, f"needed: pip install {name}")]
    for name, use in OPTIONAL.items():
        _print_package(name, use)
    blender = shutil.which("blender")
    print(f"  {'Blender':<16}{blender or 'not on PATH (only needed where bpy is not installed)'}")
    if "torch" not in missing:
        print(f"Device: {_device()}")
    sound = not missing and _weights_and_body()
    if not missing and not (importlib.util.find_spec("bpy") or blender):
        print("Captures work; .blend files need bpy or Blender.")
    print("Ready." if sound else "Not ready: see above.")
    return 0 if sound else 2


def _print_package(name: str, use: str) -> bool:
    try:
        print(f"  {name:<16}{importlib.metadata.version(name)}")
    except importlib.metadata.PackageNotFoundError:
        print(f"  {name:<16}missing; {use}")
        return False
    return True


def _device() -> str:
    import torch

    if torch.cuda.is_available():
        return f"CUDA, {torch.cuda.get_device_name()}"
    if torch.backends.mps.is_available():
        return "Apple GPU (MPS)"
    return f"CPU, {torch.get_num_threads()} threads (no GPU that torch {torch.__version__} can use was found)"


def _weights_and_body() -> bool:
    from aios_core.body.files import open_body
    from aios_core.errors import AiosError
    from aios_core.model.checkpoint import build_model

    sound = True
    for name, load in (("Weights 'open'", lambda: build_model("open")), ("Body 'open'", open_body)):
        try:
            load()
            print(f"{name}: sound")
        except AiosError as error:
            sound = False
            print(f"{name}: {error}")
    checkpoint = os.environ.get("AIOS_CHECKPOINT")
    print(f"Weights 'aios': {checkpoint or 'not set up (optional; see `aios weights list`)'}")
    return sound
