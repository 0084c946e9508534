"""Imports point one way: aios_blender -> a few modules of aios_core <- training; aios_core imports none of ours."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = {"aios_core", "aios_blender", "training"}
BLENDER_MAY_IMPORT = (
    "aios_core.mocap", "aios_core.client", "aios_core.errors", "aios_core.output", "aios_core.body",
    "aios_core.geometry.rotations", "aios_core.tracks", "aios_core.camera_path",
)  # fmt: skip


def imported_modules(path: Path) -> set[str]:
    """Absolute names of everything a file imports; relative imports stay inside their package and are left out."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def files_of(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def test_aios_core_imports_neither_blender_nor_training():
    for path in files_of("aios_core"):
        wrong = {
            n for n in imported_modules(path) if n.split(".")[0] in {"bpy", "mathutils", "aios_blender", "training"}
        }
        assert not wrong, f"{path}: {wrong}"


def test_training_imports_nothing_of_blender_but_its_renderer():
    for path in set(files_of("training")) - {ROOT / "training/data/cycles/render.py"}:
        wrong = {n for n in imported_modules(path) if n.split(".")[0] in {"bpy", "mathutils", "aios_blender"}}
        assert not wrong, f"{path}: {wrong}"


def test_aios_blender_imports_the_contract_alone_and_never_torch():
    for path in files_of("aios_blender"):
        for name in imported_modules(path):
            package = name.split(".")[0]
            assert package not in {"torch", "cv2", "av", "scipy", "training"}, f"{path}: {name}"
            if package == "aios_core":
                assert name.startswith(BLENDER_MAY_IMPORT) or name == "aios_core.__version__", f"{path}: {name}"


def test_only_compat_asks_for_blenders_version():
    for path in files_of("aios_blender"):
        asks = any(
            isinstance(node, ast.Attribute) and node.attr == "version" and ast.unparse(node) == "bpy.app.version"
            for node in ast.walk(ast.parse(path.read_text()))
        )
        assert not asks or path.name == "compat.py", path


@pytest.mark.parametrize(
    "module",
    [
        "aios_core",
        "aios_core.client",
        "aios_core.mocap",
        "aios_core.cli",
        "aios_core.body.files",
        "aios_core.body.skinning",
        "aios_core.pipeline.refine",
        "aios_core.tracks",
    ],
)
def test_torch_is_not_imported_by(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
