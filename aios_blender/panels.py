"""The panel in the 3D view's sidebar. Drawing only shows what is known; it never does work."""

from __future__ import annotations

import bpy

from .operators import AIOS_OT_cancel, AIOS_OT_capture, AIOS_OT_import_mocap


class AIOS_PT_capture(bpy.types.Panel):
    """Footage to people."""

    bl_label = "AiOS"
    bl_idname = "AIOS_PT_capture"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "AiOS"

    def draw(self, context: bpy.types.Context) -> None:
        """Show settings, progress and buttons."""
        settings, layout = context.scene.aios, self.layout
        layout.use_property_split = True
        layout.prop(settings, "footage")
        layout.prop(settings, "threshold")
        layout.prop(settings, "max_people")
        if settings.is_running:
            layout.progress(factor=settings.progress, text=settings.status)
            layout.operator(AIOS_OT_cancel.bl_idname, icon="X")
        else:
            layout.operator(AIOS_OT_capture.bl_idname, icon="ARMATURE_DATA")
            if settings.status:
                layout.label(text=settings.status)
        layout.separator()
        layout.operator(AIOS_OT_import_mocap.bl_idname, icon="IMPORT")


CLASSES = (AIOS_PT_capture,)
