"""What the add-on needs to know of this computer: a Python with torch, weights, a body file."""

from __future__ import annotations

import bpy

from aios_core.errors import AiosError


class AIOS_AddonPreferences(bpy.types.AddonPreferences):
    """Paths of the runtime and of the user's own model files."""

    bl_idname = __package__

    python: bpy.props.StringProperty(
        name="Runtime Python",
        description="A Python in which aios-core and PyTorch are installed; captures run there, never inside Blender",
        subtype="FILE_PATH",
    )
    weights: bpy.props.StringProperty(
        name="Weights",
        description="'open' for the weights that come along, or the path of your own AiOS checkpoint",
        default="open",
    )
    body: bpy.props.StringProperty(
        name="Body",
        description="Your own SMPL-X file; empty for the open body that comes along",
        subtype="FILE_PATH",
    )

    def draw(self, _context: bpy.types.Context) -> None:
        """Show the paths."""
        for name in ("python", "weights", "body"):
            self.layout.prop(self, name)
        self.layout.label(text="AiOS's own checkpoint and SMPL-X are your own downloads, for non-commercial use only.")


def preferences() -> AIOS_AddonPreferences | None:
    """The add-on's preferences, or None where it is not enabled as an extension."""
    addon = bpy.context.preferences.addons.get(__package__)
    return addon.preferences if addon else None


def runtime_python() -> str:
    """The Python that captures run in.

    Raises:
        AiosError: none is set.
    """
    stored = preferences()
    if stored is None or not stored.python:
        raise AiosError("No runtime is set: choose a Python with aios-core installed in the add-on's preferences.")
    return bpy.path.abspath(stored.python)


CLASSES = (AIOS_AddonPreferences,)
