"""Changing the people of a take: rename, delete, split, merge, and rest poses for retargeting."""

from __future__ import annotations

from typing import Any

import bpy

from aios_core import mocap
from aios_core.body.files import load_body, open_body
from aios_core.errors import AiosError
from aios_core.tracks import delete_track, merge_tracks, rename_track, split_track

from .polls import is_in_object_mode, is_there
from .preferences import preferences
from .scene.armature import key_rest_pose
from .take import MARKED, armatures_of, edit, frame_of_mocap, person_collections, take_of


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
        return is_in_object_mode(cls, context) and is_there(cls, active_person, context)

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
    """Make one person of the active one and those marked in the list or selected; where they overlap the surest wins"""

    bl_idname = "aios.merge_people"
    bl_label = "Merge People"

    def change(self, context: bpy.types.Context, number: int, take: Any) -> Any:
        """Mocap to Mocap."""
        chosen = {a["aios_track"] for a in armatures_of(take) if a.select_get()}
        chosen |= {person["aios_track"] for person in person_collections(take) if person.get(MARKED)}
        chosen -= {number}
        if not chosen:
            raise AiosError("Mark the other people in the list, with the sign before their names.")

        def merge(found: mocap.Mocap) -> mocap.Mocap:
            for other in sorted(chosen):
                found = merge_tracks(found, number, other)
            return found

        return merge


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


CLASSES = (
    AIOS_OT_rename_person, AIOS_OT_delete_person, AIOS_OT_split_person, AIOS_OT_merge_people, AIOS_OT_key_rest_pose,
)  # fmt: skip
