"""Real Blender, as PyPI's bpy, with settings of its own and an empty file for every test."""

import os
import tempfile

# Before bpy is imported: an installed copy of the extension must not shadow the code under test.
_RESOURCES = tempfile.mkdtemp(prefix="aios-blender-tests-")
os.environ["BLENDER_USER_RESOURCES"] = _RESOURCES
os.environ["BLENDER_USER_EXTENSIONS"] = os.path.join(_RESOURCES, "extensions")

import pytest  # noqa: E402

bpy = pytest.importorskip("bpy")


@pytest.fixture(autouse=True)
def empty_file():
    bpy.ops.wm.read_factory_settings(use_empty=True)
