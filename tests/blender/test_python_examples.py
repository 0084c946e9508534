"""The examples of docs/python.md run, one after the other, as a reader would type them."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("bpy")
ROOT = Path(__file__).parents[2]


def test_the_examples_run_one_after_the_other(tmp_path):
    shutil.copy(ROOT / "examples" / "footage" / "plaza.mp4", tmp_path / "clip.mp4")
    examples = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(), re.S)
    assert len(examples) == 4
    leave = "import os; sys.stdout.flush(); os._exit(0)  # bpy may crash while it goes down"
    code = "\n".join([*examples, leave])
    command, environment = [sys.executable, "-c", code], os.environ | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, env=environment)
    assert result.returncode == 0, result.stderr
    assert "P01_armature P01_mesh" in result.stdout and "'event': 'done'" in result.stdout, result.stdout
    assert {"clip.npz", "clean.npz", "again.npz", "scene.blend"} <= {path.name for path in tmp_path.iterdir()}
