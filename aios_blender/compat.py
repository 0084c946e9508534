"""Every difference between Blender 4.2 and 5.2 that this add-on meets. Nothing else asks for Blender's version."""

from __future__ import annotations

from typing import Any

import bpy

HAS_SLOTS = bpy.app.version >= (4, 4)
"""Actions hold slots, so one action can move an object and its shape keys."""


def channelbag(data_block: Any, action: Any, slot_name: str) -> Any:
    """Where F-curves of `data_block` go in `action`: a new slot's channelbag, or the action itself before 4.4."""
    animation = data_block.animation_data_create()
    animation.action = action
    if not HAS_SLOTS:
        return action
    slot = action.slots.new(id_type=data_block.id_type, name=slot_name)
    animation.action_slot = slot
    layer = action.layers[0] if action.layers else action.layers.new("Layer")
    strip = layer.strips[0] if layer.strips else layer.strips.new(type="KEYFRAME")
    return strip.channelbag(slot, ensure=True)


def new_fcurve(bag: Any, path: str, index: int, group: str) -> Any:
    """A new F-curve in a channelbag, in a group of channels."""
    if not HAS_SLOTS:
        return bag.fcurves.new(path, index=index, action_group=group)
    if bpy.app.version >= (5, 0):
        return bag.fcurves.new(path, index=index, group_name=group)
    curve = bag.fcurves.new(path, index=index)
    curve.group = bag.groups.get(group) or bag.groups.new(group)
    return curve


def actions_for(name: str, count: int) -> list[Any]:
    """Actions for `count` data blocks of one person: one with slots for all, or one each before 4.4."""
    if HAS_SLOTS:
        return [bpy.data.actions.new(name)] * count
    return [bpy.data.actions.new(name if i == 0 else f"{name}_{i}") for i in range(count)]


def fcurves_of(data_block: Any) -> list[Any]:
    """All F-curves that move a data block."""
    animation = data_block.animation_data
    if animation is None or animation.action is None:
        return []
    if not HAS_SLOTS:
        return list(animation.action.fcurves)
    bags = [strip.channelbag(animation.action_slot) for layer in animation.action.layers for strip in layer.strips]
    return [curve for bag in bags if bag is not None for curve in bag.fcurves]


def use_nodes(material: Any) -> None:
    """Give a new material its shader nodes; from 5.0 on every material has them."""
    if bpy.app.version < (5, 0):
        material.use_nodes = True
