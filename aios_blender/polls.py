"""What polls of operators share: each question says the reason when its answer is no, for the button's tooltip."""

from __future__ import annotations

from collections.abc import Callable

import bpy

from aios_core.errors import AiosError

from .jobs import is_busy


def is_in_object_mode(operator: type[bpy.types.Operator], context: bpy.types.Context) -> bool:
    """Whether objects can be made and chosen now."""
    if context.mode != "OBJECT":
        operator.poll_message_set("Switch to object mode first")
        return False
    return True


def is_idle(operator: type[bpy.types.Operator]) -> bool:
    """Whether no capture and no other job runs."""
    if is_busy():
        operator.poll_message_set("Something is running: wait for it or cancel it")
        return False
    return True


def is_there(operator: type[bpy.types.Operator], find: Callable[..., object], *arguments: object) -> bool:
    """Whether find(*arguments) finds what it looks for; the reason is the AiosError that it raises."""
    try:
        find(*arguments)
    except AiosError as error:
        operator.poll_message_set(str(error))
        return False
    return True
