"""Builds the runtime: a Python environment with PyTorch and aios-core, in a folder of its own, away from Blender.

    python install.py --folder FOLDER --package WHEEL --constraints FILE [--build auto|cpu|cuda|...] [--wheels DIR]

Runs in a process of its own, by Blender's Python, with the standard library alone. Says what it does as JSON lines, as
`aios_core.client` reads them; all that the installers say goes to FOLDER/setup.log. FOLDER/ready.json is written last:
without it the runtime is not used, and running again repairs it. Ends when its parent closes stdin.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import threading
import venv
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

PYTHONS = ((3, 11), (3, 13))
"""Oldest and newest Python for which the pinned packages exist."""
NEEDED_GIB = {"cpu": 2.5, "metal": 2.5, "default": 8.0, "cuda": 8.0, "rocm": 18.0}
"""Free space that a build of PyTorch asks for, with what is needed while it is unpacked."""
READY, LOG = "ready.json", "setup.log"
ENVIRONMENT, PYTORCH, PACKAGE, CHECK = "Creating the environment", "PyTorch", "AiOS", "Trying it out"
SHARES = {ENVIRONMENT: (0, 5), PYTORCH: (5, 80), PACKAGE: (80, 95), CHECK: (95, 100)}
"""Per cent of the work at which a stage begins and ends."""
TRIAL = """
import json, torch, aios_core
from aios_core.model.checkpoint import build_model
build_model("open")
device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
name = torch.cuda.get_device_name() if device == "cuda" else device
versions = {"torch": torch.__version__, "aios_core": aios_core.__version__}
print(json.dumps(versions | {"device": device, "device_name": name}))
"""


class SetupError(Exception):
    """What went wrong, in one sentence for the user."""


@dataclass(frozen=True)
class Setup:
    """One installation."""

    folder: Path
    package: Path
    """aios-core's wheel, or the folder of its sources."""
    constraints: Path
    build: str
    """Of PyTorch: 'default' (the package index's own), 'cpu', 'cuda', 'rocm' or 'metal'."""
    wheels: Path | None
    """Install from this folder alone, without the network."""
    counts_bytes: bool = False
    """Whether pip can tell how far a download is."""

    @property
    def python(self) -> Path:
        """The environment's Python."""
        return environment_python(self.folder)


def environment_python(folder: Path) -> Path:
    """Where the runtime's Python is."""
    return folder / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def main() -> int:
    """Install, telling how it goes; 0 done, 2 failed with a sentence."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--package", type=Path, required=True)
    parser.add_argument("--constraints", type=Path, required=True)
    parser.add_argument("--build", choices=("auto", *NEEDED_GIB), default="auto")
    parser.add_argument("--wheels", type=Path)
    given = parser.parse_args()
    build = found_build() if given.build == "auto" else given.build
    setup = Setup(given.folder.absolute(), given.package, given.constraints, build, given.wheels)
    threading.Thread(target=end_with_parent, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: stop())
    try:
        install(setup)
    except SetupError as error:
        say(event="error", message=str(error))
        return 2
    except OSError as error:
        say(event="error", message=f"{error.strerror or error}: {error.filename or setup.folder}.")
        return 2
    say(event="done", output=str(setup.python), people=0)
    return 0


def install(setup: Setup) -> None:
    """Build the environment step by step; ready.json comes last.

    Raises:
        SetupError: this Python, the disk, the network or a package is not as needed.
    """
    check_python()
    setup.folder.mkdir(parents=True, exist_ok=True)
    check_space(setup)
    (setup.folder / READY).unlink(missing_ok=True)
    with (setup.folder / LOG).open("w", encoding="utf-8") as log:
        stage(ENVIRONMENT)
        create_environment(setup)
        if setup.wheels is None:
            # The installer that came along does as well, but a newer one tells how far downloads are.
            run(pip(setup, "--upgrade", "pip"), log, ENVIRONMENT, needed=False)
            setup = replace(setup, counts_bytes=counts_bytes(setup.python))
        stage(PYTORCH, f"{PYTORCH} ({setup.build})")
        install_pytorch(setup, log)
        stage(PACKAGE)
        run(pip(setup, "--constraint", str(setup.constraints), "--upgrade", str(setup.package)), log, PACKAGE)
        stage(CHECK)
        lines = run([str(setup.python), "-I", "-c", TRIAL], log, CHECK)
    ready = json.loads(lines[-1]) | {"build": setup.build, "python": platform.python_version()}
    partial = setup.folder / f"{READY}.partial"
    partial.write_text(json.dumps(ready, indent=1))
    partial.replace(setup.folder / READY)


def check_python() -> None:
    """Make sure that packages exist for this Python, and that it can make environments.

    Raises:
        SetupError: they do not, or it cannot.
    """
    oldest, newest = PYTHONS
    if not oldest <= sys.version_info[:2] <= newest:
        raise SetupError(
            f"This Blender's Python is {platform.python_version()}; the runtime needs {oldest[0]}.{oldest[1]} to "
            f"{newest[0]}.{newest[1]}. Choose an existing Python with aios-core instead."
        )
    try:
        import ensurepip  # noqa: F401
    except ImportError as error:
        raise SetupError(
            "This Blender uses the system's Python, which comes without pip (package python3-venv): install it, or "
            "use the Blender from blender.org."
        ) from error


def check_space(setup: Setup) -> None:
    """Make sure that there is room.

    Raises:
        SetupError: there is not.
    """
    needed, free = NEEDED_GIB[setup.build], shutil.disk_usage(setup.folder).free / 2**30
    if free < needed:
        raise SetupError(f"{setup.folder} has {free:.1f} GB free; the runtime needs about {needed:.0f} GB.")


def create_environment(setup: Setup) -> None:
    """The environment itself, anew if there is one that does not run."""
    target = setup.folder / "venv"
    if target.exists() and not runs(setup.python):
        shutil.rmtree(target)
    if not target.exists():
        venv.create(target, with_pip=True, symlinks=os.name != "nt")


def runs(python: Path) -> bool:
    """Whether this Python starts and has pip."""
    try:
        return subprocess.run([python, "-m", "pip", "--version"], capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def counts_bytes(python: Path) -> bool:
    """Whether the environment's pip has progress as plain lines: from 24.1 on."""
    said = subprocess.run([python, "-c", "import pip; print(pip.__version__)"], capture_output=True, text=True).stdout
    return tuple(int(part) for part in re.findall(r"\d+", said)[:2]) >= (24, 1)


def found_build() -> str:
    """The build of PyTorch for the hardware of this computer."""
    if sys.platform == "darwin":
        return "metal" if platform.machine() == "arm64" else "cpu"
    if shutil.which("nvidia-smi") or Path("/dev/nvidiactl").exists():
        return "cuda"
    if sys.platform == "linux" and Path("/dev/kfd").exists():
        return "rocm"
    return "cpu"


def install_pytorch(setup: Setup, log) -> None:
    """PyTorch as wanted. Where the package index has another build than that, uv knows where it is.

    If that place cannot be reached, the index's own build is taken: it runs too, but may be large or lack the GPU.
    """
    at_the_index = {"linux": ("default", "cuda"), "darwin": ("default", "cpu", "metal"), "win32": ("default", "cpu")}
    pinned = "--constraint", str(setup.constraints)
    if setup.wheels is None and setup.build not in at_the_index.get(sys.platform, ("default",)):
        backend = "cpu" if setup.build == "cpu" else "auto"
        run(pip(setup, *pinned, "uv"), log, PYTORCH, needed=False)
        uv = [str(setup.python), "-m", "uv", "pip", "install", "--python", str(setup.python), "--no-progress"]
        if run([*uv, *pinned, "--torch-backend", backend, "torch"], log, PYTORCH, needed=False) is not None:
            return
        say(event="warning", message=f"PyTorch's {setup.build} build was not found; its usual build is taken.")
        check_space(replace(setup, build="default"))
    run(pip(setup, *pinned, "torch"), log, PYTORCH)


def pip(setup: Setup, *arguments: str) -> list[str]:
    """The command that installs `arguments` into the environment."""
    source = ["--no-index", "--find-links", str(setup.wheels)] if setup.wheels else []
    source += ["--progress-bar", "raw"] if setup.counts_bytes else []
    return [
        str(setup.python), "-m", "pip", "install", "--no-input", "--disable-pip-version-check",
        "--no-warn-script-location", *source, *arguments,
    ]  # fmt: skip


_child: subprocess.Popen | None = None


def run(command: list[str], log, of: str, needed: bool = True) -> list[str] | None:
    """What a command prints, line by line also into the log and as progress of a stage; None if it failed.

    Raises:
        SetupError: it failed and is needed.
    """
    global _child
    log.write(f"$ {' '.join(command)}\n")
    log.flush()
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONNOUSERSITE": "1"}
    environment.pop("PYTHONPATH", None)
    environment.pop("PYTHONHOME", None)
    _child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        encoding="utf-8", errors="replace", env=environment,
    )  # fmt: skip
    lines = []
    for line in told(_child.stdout, of):
        log.write(line + "\n")
        log.flush()
        lines.append(line)
    code = _child.wait()
    _child = None
    if code == 0:
        return lines
    if needed:
        raise SetupError(f"{of}: {reason(lines)} (the whole log: {log.name})")
    return None


def told(output, of: str) -> Iterator[str]:
    """The lines of an installer's output without its counts of bytes, which become progress."""
    first, last = SHARES[of]
    what = of
    for line in output:
        line = line.rstrip()
        counted = re.fullmatch(r"Progress (\d+) of (\d+)", line)
        if counted:
            done, total = int(counted[1]), max(int(counted[2]), 1)
            # Only large downloads move the bar: their share of the stage is all but certain.
            share = done / total if total > 50e6 else 0.0
            stage(of, f"{what}, {done / 1e6:.0f} of {total / 1e6:.0f} MB", first + 0.9 * share * (last - first))
            continue
        named = re.match(r"\s*(?:Collecting|Downloading) (\S+)", line)
        if line.startswith("Installing collected packages"):
            stage(of, f"{of}: unpacking")
        elif named:
            what = f"{of}: {re.split('[-=<>!~,;(]', Path(named[1]).name)[0]}"
            stage(of, what)
        yield line


def reason(lines: list[str]) -> str:
    """Why an installer failed, from its output: no network, no such package, or else the line that says most."""
    everything = "\n".join(lines)
    if re.search(r"NewConnectionError|NameResolutionError|ConnectTimeout|Network is unreachable", everything):
        return "the package index cannot be reached"
    missing = re.search(r"\(constraint\) ([\w.-]+)|No matching distribution found for ([\w.-]+)", everything)
    if missing:
        system = f"Python {platform.python_version()} on {platform.system()}, {platform.machine()}"
        return f"there is no fitting package {missing[1] or missing[2]} for {system}"
    said = [line for line in lines if line.strip()]
    errors = [line for line in said if "error" in line.lower() or "No space" in line]
    return (errors or said or ["no message"])[0].strip().removeprefix("ERROR: ").rstrip(".")


_reached = 0.0


def stage(of: str, text: str | None = None, percent: float | None = None) -> None:
    """Tell how far the work is; the bar never goes back."""
    global _reached
    _reached = max(_reached, SHARES[of][0] if percent is None else percent)
    say(event="progress", stage=text or of, done=round(_reached), total=100, people=0)


def say(**event) -> None:
    """One event as a JSON line."""
    print(json.dumps(event), flush=True)


def end_with_parent() -> None:
    """Stop when stdin is closed: whoever started this is gone."""
    while sys.stdin.read(1):
        pass
    stop()


def stop(leave: Callable[[int], None] = os._exit) -> None:
    """End the running installer and this process."""
    if _child is not None:
        _child.kill()
    leave(3)


if __name__ == "__main__":
    sys.exit(main())
