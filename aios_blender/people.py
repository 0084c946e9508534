"""The people of a take: list, select, rename, split, merge, delete, smooth again, follow another camera."""

from __future__ import annotations

from typing import Any

import bpy

from aios_core import mocap
from aios_core.body.files import load_body, open_body
from aios_core.camera_path import save_camera_path
from aios_core.client import Job, refine_command
from aios_core.errors import AiosError
from aios_core.tracks import delete_track, merge_tracks, rename_track, split_track

from .jobs import is_busy, start
from .preferences import preferences, runtime_python
from .scene.armature import key_rest_pose
from .take import (
    SHAPES,
    armatures_of,
    camera_path,
    described,
    detailed,
    edit,
    frame_of_mocap,
    known_shapes,
    next_path,
    rebuild,
    take_of,
)


def chosen_body() -> Any:
    """The body of the preferences."""
    stored = preferences()
    return load_body(bpy.path.abspath(stored.body)) if stored and stored.body else open_body()


def active_person(context: bpy.types.Context) -> Any:
    """The armature of the active person, also when their mesh is active.

    Raises:
        AiosError: no person is active.
    """
    thing = context.active_object
    thing = thing.parent if thing is not None and thing.type == "MESH" and thing.parent else thing
    if thing is None or "aios_track" not in thing:
        raise AiosError("Select a person first.")
    return thing


class _PersonOperator:
    """What operators on the active person share."""

    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """In object mode with a person active."""
        if context.mode != "OBJECT":
            cls.poll_message_set("Switch to object mode first")
            return False
        try:
            active_person(context)
        except AiosError as error:
            cls.poll_message_set(str(error))
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Change the take and build it again."""
        try:
            person = active_person(context)
            take = take_of(person)
            built = edit(take, self.change(context, person["aios_track"], take), chosen_body())
        except AiosError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, f"{len(built.people)} people")
        return {"FINISHED"}


class AIOS_OT_rename_person(_PersonOperator, bpy.types.Operator):
    """Give the active person another name"""

    bl_idname = "aios.rename_person"
    bl_label = "Rename Person"
    name: bpy.props.StringProperty(name="Name", description="The person's name")

    def invoke(self, context: bpy.types.Context, _event: Any) -> set[str]:
        """Ask for the name."""
        self.name = active_person(context)["aios_name"]
        return context.window_manager.invoke_props_dialog(self)

    def change(self, _context: bpy.types.Context, number: int, _take: Any) -> Any:
        """Mocap to Mocap."""
        return lambda found: rename_track(found, number, self.name)


class AIOS_OT_delete_person(_PersonOperator, bpy.types.Operator):
    """Take the active person out of the take; the Mocap file keeps an earlier version with everybody"""

    bl_idname = "aios.delete_person"
    bl_label = "Delete Person"

    def change(self, _context: bpy.types.Context, number: int, _take: Any) -> Any:
        """Mocap to Mocap."""
        return lambda found: delete_track(found, number)


class AIOS_OT_split_person(_PersonOperator, bpy.types.Operator):
    """Make two people of the active one: what comes from the current frame on becomes somebody new"""

    bl_idname = "aios.split_person"
    bl_label = "Split at Current Frame"

    def change(self, context: bpy.types.Context, number: int, take: Any) -> Any:
        """Mocap to Mocap."""
        frame = frame_of_mocap(take, context.scene.frame_current)
        return lambda found: split_track(found, number, frame)


class AIOS_OT_merge_people(_PersonOperator, bpy.types.Operator):
    """Make one person of the active and the other selected ones; in frames that several have, the surest wins"""

    bl_idname = "aios.merge_people"
    bl_label = "Merge Selected People"

    def change(self, context: bpy.types.Context, number: int, take: Any) -> Any:
        """Mocap to Mocap."""
        chosen = [a["aios_track"] for a in armatures_of(take) if a.select_get() and a["aios_track"] != number]
        if not chosen:
            raise AiosError("Select the other people as well.")

        def merge(found: mocap.Mocap) -> mocap.Mocap:
            for other in chosen:
                found = merge_tracks(found, number, other)
            return found

        return merge


class AIOS_OT_select_person(bpy.types.Operator):
    """Select this person"""

    bl_idname = "aios.select_person"
    bl_label = "Select Person"
    bl_options = {"REGISTER", "UNDO"}
    armature: bpy.props.StringProperty(options={"HIDDEN"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Make their armature the active object."""
        thing = bpy.data.objects.get(self.armature)
        if thing is None:
            return {"CANCELLED"}
        for other in context.selected_objects:
            other.select_set(False)
        thing.select_set(True)
        context.view_layer.objects.active = thing
        return {"FINISHED"}


class _RefineOperator:
    """What operators that clean the take's motion again share."""

    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """With a take, while nothing else runs."""
        if is_busy():
            cls.poll_message_set("A capture is running")
            return False
        try:
            take_of(context.active_object)
        except AiosError as error:
            cls.poll_message_set(str(error))
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Start the worker process; the take is built again when it is done."""
        try:
            take = take_of(context.active_object)
            output = next_path(take.path)
            command = refine_command(runtime_python(), take.path, output, self.arguments(context, take))
        except AiosError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        name, label = take.collection.name, self.bl_label  # the operator is gone when the job is done

        def built_again(event: dict) -> None:
            collection = bpy.data.collections.get(name)
            if collection is not None:
                again = next((o for o in collection.all_objects), None)
                rebuild(take_of(again), output, chosen_body())
                bpy.ops.ed.undo_push(message=label)

        start(context.window_manager, Job(command), built_again)
        return {"FINISHED"}


class AIOS_OT_refine(_RefineOperator, bpy.types.Operator):
    """Smooth the take again with the smoothing, feet, fit and camera settings above; the network is not needed"""

    bl_idname = "aios.refine"
    bl_label = "Smooth Again"

    def arguments(self, context: bpy.types.Context, take: Any) -> list[str]:
        """Of `aios refine`."""
        return [*refine_options(context.scene.aios), *shape_options(known_shapes(take))]


class AIOS_OT_shape_person(_RefineOperator, bpy.types.Operator):
    """Change the active person's build, such as the height; places and feet are fitted to it anew"""

    bl_idname = "aios.shape_person"
    bl_label = "Change Shape"
    betas: bpy.props.FloatVectorProperty(
        name="Shape", description="Coefficients of the body's shape; the first is mostly height or size", size=10,
        soft_min=-4, soft_max=4, min=-10, max=10,
    )  # fmt: skip

    def invoke(self, context: bpy.types.Context, _event: Any) -> set[str]:
        """Begin with the shape as it is."""
        try:
            self.betas = active_person(context)["aios_betas"]
        except AiosError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return context.window_manager.invoke_props_dialog(self)

    def arguments(self, context: bpy.types.Context, take: Any) -> list[str]:
        """Of `aios refine`, and from now on of every further one."""
        shapes = known_shapes(take) | {int(active_person(context)["aios_track"]): list(self.betas)}
        take.collection[SHAPES] = {str(number): betas for number, betas in shapes.items()}
        return [*refine_options(context.scene.aios), *shape_options(shapes)]


class AIOS_OT_follow_camera(_RefineOperator, bpy.types.Operator):
    """Move the people into the world of the scene's camera: one that was solved by tracking, or animated by hand"""

    bl_idname = "aios.follow_camera"
    bl_label = "Use the Scene's Camera"

    def arguments(self, context: bpy.types.Context, take: Any) -> list[str]:
        """Of `aios refine`, with the camera's path written beside the Mocap."""
        camera = context.scene.camera
        if camera is None:
            raise AiosError("The scene has no camera.")
        if camera.name in take.collection.all_objects:
            raise AiosError("The scene's camera is the take's own: make the solved camera the active one.")
        path = save_camera_path(camera_path(camera, mocap.load(take.path)), take.path.with_suffix(".camera.npz"))
        shapes = shape_options(known_shapes(take))
        return [*refine_options(context.scene.aios), *shapes, "--camera-path", str(path)]


class AIOS_OT_key_rest_pose(bpy.types.Operator):
    """Key the active person in a T-pose or an A-pose at this frame; retargeting tools want one before the take"""

    bl_idname = "aios.key_rest_pose"
    bl_label = "Key Rest Pose"
    bl_options = {"REGISTER", "UNDO"}
    pose: bpy.props.EnumProperty(
        name="Pose", items=(("T", "T-Pose", "Arms out to the sides"), ("A", "A-Pose", "Arms 45 degrees down"))
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Before the person's first frame, where no motion is lost."""
        try:
            person = active_person(context)
        except AiosError as error:
            cls.poll_message_set(str(error))
            return False
        if context.scene.frame_current >= person["aios_first_frame"]:
            cls.poll_message_set(f"Go to a frame before the person's first, {person['aios_first_frame']}")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Key every bone."""
        key_rest_pose(active_person(context), context.scene.frame_current, self.pose)
        return {"FINISHED"}


def shape_options(shapes: dict[int, list[float]]) -> list[str]:
    """Options of `aios refine` for shapes that are known."""
    return [f"--shape={number}={','.join(f'{value:.5f}' for value in betas)}" for number, betas in shapes.items()]


def refine_options(settings: Any) -> list[str]:
    """Options of `aios refine` and `aios estimate` for the panel's settings."""
    options = ["--smooth", f"{settings.smoothing:.3f}"]
    options += [] if settings.lock_feet else ["--no-foot-lock"]
    options += ["--level-camera"] if settings.level_camera else []
    options += ["--fit"] if settings.fit_picture else []
    return options


class AIOS_PT_people(bpy.types.Panel):
    """Who was found, and what can be changed without capturing again."""

    bl_label = "People"
    bl_idname = "AIOS_PT_people"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "AiOS"
    bl_parent_id = "AIOS_PT_capture"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """With a take."""
        try:
            take_of(context.active_object)
        except AiosError:
            return False
        return True

    def draw(self, context: bpy.types.Context) -> None:
        """One row a person, then what can be done."""
        layout = self.layout
        column = layout.column(align=True)
        for armature in armatures_of(take_of(context.active_object)):
            row = column.row(align=True)
            icon = "RADIOBUT_ON" if armature.select_get() else "RADIOBUT_OFF"
            select = row.operator(AIOS_OT_select_person.bl_idname, text=armature["aios_name"], icon=icon)
            select.armature = armature.name
            row.label(text=described(armature))
            material = next((m for o in armature.children if o.type == "MESH" for m in o.data.materials), None)
            if material is not None:
                swatch = row.row()
                swatch.scale_x = 0.3
                swatch.prop(material, "diffuse_color", text="")
            row.prop(armature, "hide_viewport", text="", emboss=False)
        chosen = context.active_object
        if chosen is not None and "aios_first_frame" in chosen:
            layout.label(text=detailed(chosen))
        row = layout.row(align=True)
        row.operator(AIOS_OT_rename_person.bl_idname, text="Rename")
        row.operator(AIOS_OT_delete_person.bl_idname, text="Delete")
        row = layout.row(align=True)
        row.operator(AIOS_OT_split_person.bl_idname, text="Split Here")
        row.operator(AIOS_OT_merge_people.bl_idname, text="Merge")
        if context.active_object is not None and context.active_object.type == "ARMATURE":
            layout.row().prop(context.active_object.data, "pose_position", expand=True)
            row = layout.row(align=True)
            for pose in ("T", "A"):
                row.operator(AIOS_OT_key_rest_pose.bl_idname, text=f"Key {pose}-Pose").pose = pose
            layout.operator(AIOS_OT_shape_person.bl_idname, icon="MOD_CLOTH")
        layout.operator(AIOS_OT_refine.bl_idname, icon="MOD_SMOOTH")
        layout.operator(AIOS_OT_follow_camera.bl_idname, icon="CAMERA_DATA")


CLASSES = (
    AIOS_OT_rename_person, AIOS_OT_delete_person, AIOS_OT_split_person, AIOS_OT_merge_people, AIOS_OT_select_person,
    AIOS_OT_refine, AIOS_OT_follow_camera, AIOS_OT_shape_person, AIOS_OT_key_rest_pose, AIOS_PT_people,
)  # fmt: skip
