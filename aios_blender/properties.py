"""What the panel asks before a capture, kept in the scene."""

from __future__ import annotations

from typing import Any

import bpy

from .jobs import AIOS_JobStatus


class AIOS_CaptureSettings(bpy.types.PropertyGroup):
    """One capture."""

    source: bpy.props.EnumProperty(
        name="Source",
        description="Where the footage comes from",
        items=(
            ("FILE", "File", "A video, a picture, or a folder of pictures on disk"),
            ("SEQUENCE", "Image Sequence", "Numbered pictures: choose any one of them, or their folder"),
            ("CLIP", "Movie Clip", "A clip that is loaded in this file, such as the one open in the Movie Clip Editor"),
            ("CAMERA", "Camera Background", "The clip or picture behind the scene's camera"),
        ),
    )
    footage: bpy.props.StringProperty(
        name="Footage", description="A picture, a folder of pictures, or a video with people in it", subtype="FILE_PATH"
    )
    sequence_fps: bpy.props.FloatProperty(
        name="Frame Rate", description="Pictures a second of the sequence", default=24.0, min=0.1, soft_max=120.0
    )
    clip: bpy.props.PointerProperty(name="Clip", description="The movie clip to capture", type=bpy.types.MovieClip)
    use_range: bpy.props.BoolProperty(name="Range", description="Capture a part of the footage only")
    first_frame: bpy.props.IntProperty(
        name="First", description="First frame of the footage to look at, counted from 1", default=1, min=1
    )
    last_frame: bpy.props.IntProperty(name="Last", description="Last frame to look at", default=250, min=1)
    step: bpy.props.IntProperty(
        name="Step", description="Look at every so many frames; the frames between are interpolated", default=1, min=1,
        max=100,
    )  # fmt: skip
    quality: bpy.props.EnumProperty(
        name="Quality",
        description="How closely the network looks at the footage",
        items=(
            ("full", "Full", "As the network was trained"),
            (
                "fast", "Fast",
                "Hopeless people are dropped early and, if the network knows several sizes, pictures are seen at half "
                "their pixels: faster, but finds fewer people and loses them more often",
            ),
            (
                "thorough", "Thorough",
                "Every picture's mirror image is looked at as well: people are met more nearly, in twice the time",
            ),
        ),
    )  # fmt: skip
    threshold: bpy.props.FloatProperty(
        name="Threshold", default=0.0, min=0.0, max=0.99, subtype="FACTOR",
        description="Least confidence of a person: lower finds more people and more mistakes; 0 takes the one that was "
        "measured to be best for the weights",
    )  # fmt: skip
    max_people: bpy.props.IntProperty(
        name="Max People", description="At most so many people in a frame; 0 keeps everybody", default=0, min=0, max=100
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
    with_mesh: bpy.props.BoolProperty(name="Skinned Meshes", description="Build a mesh for everybody", default=True)
    with_correctives: bpy.props.BoolProperty(
        name="Pose Correctives",
        description="Shape keys that mend bent joints, where the body has them; plays some ten times slower",
    )
    with_camera: bpy.props.BoolProperty(
        name="Camera", description="Build the matching camera, with the footage behind it", default=True
    )

    with_scene: bpy.props.BoolProperty(
        name="Scene Settings", default=True,
        description="Give the scene the footage's frame rate, length, size and camera; off: the scene stays as it is "
        "and people move at its frame rate",
    )  # fmt: skip
    start_frame: bpy.props.IntProperty(
        name="Start Frame", description="Frame of the timeline at which the footage begins", default=1
    )


class AIOS_QueuedClip(bpy.types.PropertyGroup):
    """One clip of the queue; its name is where its footage is."""

    settings: bpy.props.PointerProperty(type=AIOS_CaptureSettings)
    state: bpy.props.EnumProperty(
        name="State",
        items=(
            ("WAITING", "Waiting", "", "TIME", 0),
            ("RUNNING", "Running", "", "PLAY", 1),
            ("DONE", "Done", "", "CHECKMARK", 2),
            ("FAILED", "Failed", "", "ERROR", 3),
            ("CANCELLED", "Cancelled", "", "CANCEL", 4),
        ),
    )
    message: bpy.props.StringProperty(name="Message", description="What came of it")


def copy_settings(source: AIOS_CaptureSettings, target: AIOS_CaptureSettings) -> None:
    """Make two captures' settings the same."""
    for name in AIOS_CaptureSettings.__annotations__:
        setattr(target, name, getattr(source, name))


def attach() -> None:
    """Give every scene its settings and its queue, and Blender the running job."""
    bpy.types.Scene.aios = bpy.props.PointerProperty(type=AIOS_CaptureSettings)
    bpy.types.Scene.aios_queue = bpy.props.CollectionProperty(type=AIOS_QueuedClip)
    bpy.types.Scene.aios_queue_index = bpy.props.IntProperty(name="Clip of the queue")
    bpy.types.Scene.aios_queue_scenes = bpy.props.BoolProperty(
        name="A Scene for Each Clip", default=True,
        description="Build every clip into a new scene with its frame rate, length, size and camera, which leaves this "
        "scene as it is; off: build them all into this scene",
    )  # fmt: skip
    bpy.types.WindowManager.aios_job = bpy.props.PointerProperty(type=AIOS_JobStatus)


def detach() -> None:
    """Take them away again."""
    owners: tuple[tuple[Any, tuple[str, ...]], ...] = (
        (bpy.types.Scene, ("aios", "aios_queue", "aios_queue_index", "aios_queue_scenes")),
        (bpy.types.WindowManager, ("aios_job",)),
    )
    for owner, names in owners:
        for name in names:
            delattr(owner, name)


CLASSES = (AIOS_CaptureSettings, AIOS_QueuedClip)
