"""Shape keys beyond 0..1 after an import: Blender clamps them to their sliders, which importers set too narrow.

Some importers also leave a key's action in a muted NLA track, where it does not play; it is made the active one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .. import compat
from ..scene.mesh import SLIDER


def fix_shape_key_ranges(objects: Iterable[Any]) -> int:
    """Widen the sliders of all shape keys of these objects to at least -10..10; the number of keys widened."""
    widened = 0
    for keys in {o.data.shape_keys for o in objects if o.type == "MESH" and o.data.shape_keys}:
        _play_stashed_action(keys)
        for block in keys.key_blocks:
            if block == keys.reference_key or (block.slider_min <= -SLIDER and block.slider_max >= SLIDER):
                continue
            block.slider_min, block.slider_max = min(block.slider_min, -SLIDER), max(block.slider_max, SLIDER)
            widened += 1
    return widened


def _play_stashed_action(keys: Any) -> None:
    animation = keys.animation_data
    if animation is None or animation.action or not animation.nla_tracks:
        return
    strips = [strip for track in animation.nla_tracks if track.mute for strip in track.strips if strip.action]
    if not strips:
        return
    animation.action = strips[0].action
    if compat.HAS_SLOTS:
        animation.action_slot = strips[0].action_slot
