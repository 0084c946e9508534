"""AiOS in Blender: captures, and rigged people from Mocap files. `scene.build` is the plain function behind it all."""

from __future__ import annotations

import importlib
import sys

_registered_commands: list = []


def register() -> None:
    """Called by Blender when the extension is enabled."""
    import bpy

    from . import command_line, jobs, operators, people_list, properties, runtime
    from .export import operators as export_operators
    from .retarget import operators as retarget_operators

    for cls in _classes():
        bpy.utils.register_class(cls)
    properties.attach()
    people_list.attach()
    jobs.attach()
    retarget_operators.attach()
    runtime.show_state()
    bpy.types.TOPBAR_MT_file_import.append(operators.draw_import_menu)
    bpy.types.TOPBAR_MT_file_export.append(export_operators.draw_export_menu)
    _registered_commands.append(bpy.utils.register_cli_command("aios", command_line.main_in_blender))


def unregister() -> None:
    """Called by Blender when the extension is disabled."""
    import bpy

    from . import jobs, operators, people_list, properties
    from .export import operators as export_operators
    from .retarget import operators as retarget_operators

    jobs.stop()
    while _registered_commands:
        bpy.utils.unregister_cli_command(_registered_commands.pop())
    bpy.types.TOPBAR_MT_file_export.remove(export_operators.draw_export_menu)
    bpy.types.TOPBAR_MT_file_import.remove(operators.draw_import_menu)
    retarget_operators.detach()
    jobs.detach()
    people_list.detach()
    properties.detach()
    for cls in reversed(_classes()):
        bpy.utils.unregister_class(cls)
    if __package__.startswith("bl_ext."):
        _forget_core()


def _forget_core() -> None:
    """An update disables the extension, replaces it and its aios_core, and enables it: both must be new then."""
    for name in [name for name in sys.modules if name == "aios_core" or name.startswith("aios_core.")]:
        del sys.modules[name]
    importlib.invalidate_caches()


def _classes() -> list[type]:
    """Everything that Blender has to know, in the order in which it can."""
    from . import jobs, operators, panels, people, people_list, preferences, properties, queue, refining
    from .export import operators as export_operators
    from .retarget import operators as retarget_operators
    from .runtime import operators as runtime_operators

    modules = (
        jobs, properties, preferences, runtime_operators, operators, people, people_list, refining, export_operators,
        queue, panels, retarget_operators,
    )  # fmt: skip
    return [cls for module in modules for cls in module.CLASSES]
