"""The runtime: the Python environment that captures run in, built by `install.py` in the extension's user folder.

Nothing is ever installed into Blender's own Python, and nothing is written into the add-on's folder.
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import bpy

from aios_core.errors import AiosError, MissingDependencyError

from .install import LOG, READY, environment_python

EXTENSION = __package__.removesuffix(".runtime")
HERE = Path(__file__).parent
NOT_SET_UP = "Not set up"


@dataclass(frozen=True)
class RuntimeState:
    """What there is of the runtime in a folder."""

    is_ready: bool
    text: str
    """For people."""


def runtime_folder() -> Path:
    """Where the runtime lives: beside the extension, not in it.

    Raises:
        AiosError: the add-on is not installed as an extension.
    """
    try:
        return Path(bpy.utils.extension_path_user(EXTENSION, path="runtime"))
    except ValueError as error:
        raise AiosError("A runtime is built for the installed extension only; this is a checkout.") from error


def state_of(folder: Path) -> RuntimeState:
    """Whether the runtime in a folder can be used, and what it is."""
    try:
        ready = json.loads((folder / READY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        started = (folder / LOG).exists()
        return RuntimeState(False, "Set-up was not finished" if started else NOT_SET_UP)
    home = _home(folder)
    if not environment_python(folder).exists() or home is None or not home.exists():
        return RuntimeState(False, "Needs repair: the Python it was built with is gone")
    return RuntimeState(True, f"PyTorch {ready.get('torch', '?')} on {ready.get('device_name', 'cpu')}")


def show_state() -> RuntimeState:
    """Look what there is of the runtime and show it in the panels."""
    try:
        state = state_of(runtime_folder())
    except AiosError as error:
        state = RuntimeState(False, str(error))
    job = bpy.context.window_manager.aios_job
    job.has_runtime, job.runtime = state.is_ready, state.text
    return state


def _home(folder: Path) -> Path | None:
    """Where the Python is that the environment was made from."""
    try:
        lines = (folder / "venv" / "pyvenv.cfg").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    found = dict(line.split("=", 1) for line in lines if "=" in line)
    return next((Path(value.strip()) for key, value in found.items() if key.strip() == "home"), None)


def setup_command(folder: Path, build: str, wheels: str) -> list[str]:
    """The command of a job that builds or repairs the runtime.

    build: of PyTorch, see `install`; wheels: a folder to install from without the network, or empty.
    """
    command = [
        sys.executable, str(HERE / "install.py"), "--folder", str(folder), "--package", str(bundled_package()),
        "--constraints", str(HERE / "constraints.txt"), "--build", build,
    ]  # fmt: skip
    return [*command, "--wheels", wheels] if wheels else command


def bundled_package() -> Path:
    """aios-core as it came with the add-on: a wheel, or the checkout.

    Raises:
        MissingDependencyError: neither is there.
    """
    wheels = sorted((HERE.parent / "wheels").glob("aios_core-*.whl"))
    if wheels:
        return wheels[-1]
    checkout = HERE.parents[1]
    if (checkout / "pyproject.toml").exists():
        return checkout
    raise MissingDependencyError("The add-on's files are incomplete (no aios_core wheel): install the extension again.")


def remove_runtime(folder: Path) -> None:
    """Delete the runtime.

    Raises:
        AiosError: a file is in use or protected.
    """
    (folder / READY).unlink(missing_ok=True)
    try:
        if folder.exists():
            shutil.rmtree(folder)
    except OSError as error:
        raise AiosError(f"Cannot remove {error.filename}: {error.strerror}.") from error
