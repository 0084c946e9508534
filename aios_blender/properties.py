"""What the panel asks before a capture, kept in the scene."""

from __future__ import annotations

import bpy


class AIOS_CaptureSettings(bpy.types.PropertyGroup):
    """One capture."""

    footage: bpy.props.StringProperty(
        name="Footage", description="A picture, a folder of pictures, or a video with people in it", subtype="FILE_PATH"
    )
    threshold: bpy.props.FloatProperty(
        name="Threshold", description="Least confidence of a person: lower finds more people and more mistakes",
        default=0.3, min=0.01, max=0.99, subtype="FACTOR",
    )  # fmt: skip
    max_people: bpy.props.IntProperty(
        name="People", description="At most so many people in a frame; 0 keeps everybody", default=0, min=0, max=100
    )
    smoothing: bpy.props.FloatProperty(
        name="Smoothing", description="1 is usual; 0 leaves every key as the network saw it; 2 smooths twice as slow",
        default=1.0, min=0.0, max=5.0,
    )  # fmt: skip
    lock_feet: bpy.props.BoolProperty(
        name="Lock Feet", description="Planted feet rest on the ground instead of sliding", default=True
    )
    level_camera: bpy.props.BoolProperty(
        name="Level Camera", description="The camera was held level: do not look for its tilt in the footage"
    )
    fit_picture: bpy.props.BoolProperty(
        name="Fit to Picture",
        description="Bring the bodies' joints onto the joints seen in the picture: some seconds a person",
    )
    status: bpy.props.StringProperty(name="Status", options={"SKIP_SAVE"})
    progress: bpy.props.FloatProperty(name="Progress", min=0, max=1, options={"SKIP_SAVE"})
    is_running: bpy.props.BoolProperty(name="Running", options={"SKIP_SAVE"})


def attach() -> None:
    """Give every scene its settings."""
    bpy.types.Scene.aios = bpy.props.PointerProperty(type=AIOS_CaptureSettings)


def detach() -> None:
    """Take them away again."""
    del bpy.types.Scene.aios


CLASSES = (AIOS_CaptureSettings,)
