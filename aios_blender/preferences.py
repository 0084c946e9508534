"""What the add-on needs to know of this computer: a Python with torch, weights, a body file."""

from __future__ import annotations

import bpy

from aios_core.errors import AiosError


class AIOS_AddonPreferences(bpy.types.AddonPreferences):
    """The runtime, and paths of the user's own model files."""

    bl_idname = __package__

    python: bpy.props.StringProperty(
        name="Python",
        description="A Python in which aios-core and PyTorch are installed, to be used instead of the runtime",
        subtype="FILE_PATH",
    )
    torch_build: bpy.props.EnumProperty(
        name="PyTorch",
        description="Which build of PyTorch to set up",
        items=(
            ("auto", "As Found", "By the graphics card of this computer"),
            ("cpu", "CPU", "Smallest; runs everywhere"),
            ("cuda", "NVIDIA (CUDA)", "Fastest with an NVIDIA card; several gigabytes"),
            ("rocm", "AMD (ROCm)", "For AMD cards under Linux; the largest download"),
            ("metal", "Apple (Metal)", "For Apple's own processors"),
        ),
    )
    wheels_folder: bpy.props.StringProperty(
        name="Packages",
        description="A folder of downloaded packages (wheels) to set up from without a network; empty: download them",
        subtype="DIR_PATH",
    )
    weights_kind: bpy.props.EnumProperty(
        name="Weights",
        description="Which network looks at the footage",
        items=(
            ("open", "Open", "Comes along; trained on synthetic people; free for any use, also commercial"),
            ("aios", "AiOS", "The published checkpoint: your own download, for non-commercial use only"),
        ),
    )
    weights: bpy.props.StringProperty(
        name="Checkpoint",
        description="Your own aios_checkpoint.pth, or any weights file made by this project",
        subtype="FILE_PATH",
    )
    body: bpy.props.StringProperty(
        name="SMPL-X",
        description="Your own SMPLX_NEUTRAL.npz, for non-commercial use only; empty for the open body that comes along",
        subtype="FILE_PATH",
    )

    def chosen_weights(self) -> str:
        """'open' or the path of a weights file.

        Raises:
            AiosError: the checkpoint is wanted and no file is chosen.
        """
        if self.weights_kind == "open":
            return "open"
        if not self.weights:
            raise AiosError("Choose the AiOS checkpoint's file in the add-on's preferences.")
        return bpy.path.abspath(self.weights)

    def draw(self, context: bpy.types.Context) -> None:
        """The runtime, then the models and what their licences say."""
        from .drawing import draw_job, draw_models, draw_runtime

        draw_runtime(self.layout, context, self)
        draw_job(self.layout, context)
        draw_models(self.layout, context, self)


def preferences() -> AIOS_AddonPreferences | None:
    """The add-on's preferences, or None where it is not enabled as an extension."""
    addon = bpy.context.preferences.addons.get(__package__)
    return addon.preferences if addon else None


def runtime_python() -> str:
    """The Python that captures run in: the one chosen in the preferences, else the runtime's.

    Raises:
        AiosError: there is none.
    """
    from .runtime import environment_python, runtime_folder, state_of

    stored = preferences()
    if stored is not None and stored.python:
        return bpy.path.abspath(stored.python)
    if stored is not None and state_of(runtime_folder()).is_ready:
        return str(environment_python(runtime_folder()))
    raise AiosError("There is no runtime yet: press Set Up Runtime, or choose an existing Python in the preferences.")


CLASSES = (AIOS_AddonPreferences,)
