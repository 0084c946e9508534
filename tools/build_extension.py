"""Build and validate the extension's zip: python tools/build_extension.py --output dist

Blender wants the manifest beside the package's files, so they are staged together with a pure-Python wheel of this
project, and Blender's own extension command does the rest.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Parse the command line and build."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=ROOT / "dist")
    options = parser.parse_args()
    print(build_extension(options.output))


def build_extension(output: Path) -> Path:
    """The path of the built and validated zip."""
    output = output.absolute()
    output.mkdir(parents=True, exist_ok=True)
    command = extension_command()
    with tempfile.TemporaryDirectory() as folder:
        stage = stage_extension(Path(folder) / "stage")
        run([*command, "validate", str(stage)])
        run([*command, "build", "--source-dir", str(stage), "--output-dir", str(output)])
    archive = max(output.glob("aios_blender-*.zip"), key=lambda path: path.stat().st_mtime)
    run([*command, "validate", str(archive)])
    return archive


def stage_extension(stage: Path) -> Path:
    """A folder with the add-on's files, the manifest and the wheel it names."""
    shutil.copytree(ROOT / "aios_blender", stage, ignore=shutil.ignore_patterns("__pycache__"))
    wheels = stage / "wheels"
    # Built from a copy: setuptools leaves its build folder beside the sources.
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        for package in ("aios_core", "aios_blender"):
            shutil.copytree(ROOT / package, source / package, ignore=ignored)
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, source)
        run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(wheels), str(source)])
    (wheel,) = wheels.glob("*.whl")
    manifest = (ROOT / "blender_manifest.toml").read_text()
    head, rest = manifest.split("\n[permissions]", 1)
    (stage / "blender_manifest.toml").write_text(f'{head}\nwheels = ["./wheels/{wheel.name}"]\n\n[permissions]{rest}')
    return stage


def extension_command() -> list[str]:
    """Blender's extension command: of Blender on PATH, else of the bpy module in this Python."""
    blender = shutil.which("blender")
    if blender:
        return [blender, "--command", "extension"]
    import bpy

    script = Path(bpy.utils.resource_path("LOCAL")) / "scripts" / "addons_core" / "bl_pkg" / "cli" / "blender_ext.py"
    return [sys.executable, str(script)]


def run(command: list[str]) -> None:
    """Run a command; what it prints is shown where it fails."""
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{result.stdout}{result.stderr}")


if __name__ == "__main__":
    main()
