"""The list of a take's people: who is chosen, hidden and built, and how far each can be trusted."""

from __future__ import annotations

from typing import Any

import bpy

from aios_core.errors import AiosError

from .people import chosen_body
from .polls import is_in_object_mode
from .scene import GRAPH
from .take import MARKED, MOCAP, armature_of, armatures_of, build_people, hide, person_collections, take_in, take_of


def chosen_row(scene: Any) -> int:
    """Row of the active person in their take's collections; -1 for nobody."""
    del scene
    thing = bpy.context.view_layer.objects.active
    try:
        children = list(take_of(thing).collection.children)
    except AiosError:
        return -1
    return next((row for row, person in enumerate(children) if thing is not None and thing.name in person.objects), -1)


def choose_row(scene: Any, row: int) -> None:
    """Select the person of a row and nobody else."""
    del scene
    try:
        children = take_of(bpy.context.view_layer.objects.active).collection.children
    except AiosError:
        return
    armature = armature_of(children[row]) if 0 <= row < len(children) else None
    if armature is not None:
        select(armature)


def select(armature: Any) -> None:
    """Make a person's armature the active object, and the only one that is selected."""
    layer = bpy.context.view_layer
    if armature.name not in layer.objects:
        return
    for other in layer.objects.selected[:]:
        other.select_set(False)
    armature.select_set(True)
    layer.objects.active = armature


class AIOS_OT_select_person(bpy.types.Operator):
    """Select this person"""

    bl_idname = "aios.select_person"
    bl_label = "Select Person"
    bl_options = {"REGISTER", "UNDO"}
    armature: bpy.props.StringProperty(options={"HIDDEN"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Selecting needs object mode."""
        return is_in_object_mode(cls, context)

    def execute(self, _context: bpy.types.Context) -> set[str]:
        """Make their armature the active object."""
        thing = bpy.data.objects.get(self.armature)
        if thing is None:
            return {"CANCELLED"}
        select(thing)
        return {"FINISHED"}


class _RowOperator:
    """What buttons in a person's row share."""

    bl_options = {"REGISTER", "UNDO"}
    take: bpy.props.StringProperty(options={"HIDDEN"})
    person: bpy.props.StringProperty(options={"HIDDEN"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Building needs object mode."""
        return is_in_object_mode(cls, context)

    def execute(self, _context: bpy.types.Context) -> set[str]:
        """Change the person."""
        collection, person = bpy.data.collections.get(self.take), bpy.data.collections.get(self.person)
        if collection is None or person is None or not collection.get(MOCAP):
            return {"CANCELLED"}
        try:
            self.change(take_in(collection), person)
        except AiosError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}


class AIOS_OT_mark_person(_RowOperator, bpy.types.Operator):
    """Mark this person, or no longer: Merge makes those who are marked one with the active person"""

    bl_idname = "aios.mark_person"
    bl_label = "Mark Person"

    def change(self, _take: Any, person: Any) -> None:
        """Note it in their collection: who is in a gap at this frame is hidden, and cannot be selected."""
        person[MARKED] = not person.get(MARKED, False)


class AIOS_OT_hide_person(_RowOperator, bpy.types.Operator):
    """Hide this person in viewports and renders, or show them again"""

    bl_idname = "aios.hide_person"
    bl_label = "Hide Person"

    def change(self, _take: Any, person: Any) -> None:
        """Hide or show."""
        hide(person, not person.hide_viewport)


class AIOS_OT_build_person(_RowOperator, bpy.types.Operator):
    """Choose whether this person is built; who is left out stays in the Mocap file and in this list"""

    bl_idname = "aios.build_person"
    bl_label = "Build Person"

    def change(self, take: Any, person: Any) -> None:
        """Build the take again with the person, or without."""
        there = {armature["aios_track"] for armature in armatures_of(take)}
        build_people(take, there ^ {person["aios_track"]}, chosen_body())


class AIOS_UL_people(bpy.types.UIList):
    """The people of a take: mark, name, trust, colour, hide, build."""

    def filter_items(self, _context: Any, data: Any, name: str) -> tuple[list[int], list[int]]:
        """People only, in the order of their numbers, and those whose name is asked for."""
        rows = list(getattr(data, name))
        wanted = self.filter_name.lower()
        shown = ["aios_track" in row and wanted in row["aios_name"].lower() for row in rows]
        order = sorted(range(len(rows)), key=lambda i: rows[i].get("aios_track", len(rows)))
        places = {row: place for place, row in enumerate(order)}
        return [self.bitflag_filter_item * show for show in shown], [places[i] for i in range(len(rows))]

    def draw_item(self, _context, layout, data, item, _icon, _active_data, _active_property, _index=0, _flags=0):
        """One person."""
        armature = armature_of(item)
        row = layout.row(align=True)
        marking = "LINKED" if item.get(MARKED) else "UNLINKED"
        _row_button(row, AIOS_OT_mark_person, marking, data, item)
        name = row.split(factor=0.44)
        name.active = armature is not None
        name.label(text=item["aios_name"])
        name.label(text=item.get(GRAPH, ""))
        _draw_colour(row, armature)
        hiding = "HIDE_ON" if item.hide_viewport else "HIDE_OFF"
        building = "CHECKBOX_HLT" if armature is not None else "CHECKBOX_DEHLT"
        _row_button(row, AIOS_OT_hide_person, hiding, data, item)
        _row_button(row, AIOS_OT_build_person, building, data, item)


def _row_button(layout: Any, operator: type, icon: str, take: Any, person: Any) -> None:
    button = layout.operator(operator.bl_idname, text="", icon=icon, emboss=False)
    button.take, button.person = take.name, person.name


def _draw_colour(layout: Any, armature: Any | None) -> None:
    """The colour of the person's mesh, or of the armature where there is none."""
    swatch = layout.row()
    swatch.scale_x = 0.3
    if armature is None:
        swatch.label(text="")
        return
    material = next((m for o in armature.children if o.type == "MESH" for m in o.data.materials if m), None)
    if material is not None:
        swatch.prop(material, "diffuse_color", text="")
    else:
        swatch.prop(armature, "color", text="")


def person_of(take: Any, thing: Any | None) -> Any | None:
    """The collection of the person that an object belongs to."""
    return next((c for c in person_collections(take) if thing is not None and thing.name in c.objects), None)


def attach() -> None:
    """Give scenes the list's chosen row: whoever is active."""
    bpy.types.Scene.aios_person = bpy.props.IntProperty(
        name="Person", description="The active person's row in the list", get=chosen_row, set=choose_row
    )


def detach() -> None:
    """Take it away again."""
    del bpy.types.Scene.aios_person


CLASSES = (AIOS_OT_select_person, AIOS_OT_mark_person, AIOS_OT_hide_person, AIOS_OT_build_person, AIOS_UL_people)
