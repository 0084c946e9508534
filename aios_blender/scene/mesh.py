"""The skinned mesh: one person's shape as the basis, expressions as shape keys."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np

from aios_core.body.body_model import BodyModel
from aios_core.body.joints import JOINT_NAMES
from aios_core.body.skinning import rest_vertices

from .. import compat

SLIDER = 10.0
"""Coefficients beyond 0..1 are usual: sliders reach this far both ways."""
LEAST_CORRECTIVE = 1e-4
"""Metres; pose correctives that move no vertex so far are left out."""
COLOURS = (
    (0.10, 0.45, 0.80), (0.85, 0.38, 0.05), (0.06, 0.50, 0.22), (0.75, 0.15, 0.30), (0.80, 0.68, 0.10),
    (0.30, 0.22, 0.75), (0.65, 0.12, 0.06), (0.20, 0.60, 0.60),
)  # fmt: skip


def body_mesh(name: str, body: BodyModel) -> Any:
    """A smooth mesh of the body with UVs and vertex groups; `new_person_mesh` copies it for every person."""
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(body.v_template, [], body.faces, shade_flat=False)
    if body.uv is not None:
        layer = mesh.uv_layers.new(name="UVMap")
        layer.uv.foreach_set("vector", body.uv[body.uv_faces].astype(np.float32).ravel())
    # Groups can be added through an object only, but they are the mesh's and are copied with it.
    carrier = bpy.data.objects.new(name, mesh)
    add_vertex_groups(carrier, body.lbs_weights)
    bpy.data.objects.remove(carrier)
    return mesh


def new_person_mesh(
    name: str, template: Any, body: BodyModel, betas: np.ndarray, armature: Any, collection: Any, number: int,
    with_correctives: bool = False,
) -> Any:  # fmt: skip
    """A skinned mesh object in the shape of betas (10,), bound to an armature.

    with_correctives: also the shape keys that mend bent joints (some ten times slower to play).
    """
    mesh = template.copy()
    mesh.name = name
    vertices = rest_vertices(body, betas)
    mesh.vertices.foreach_set("co", vertices.astype(np.float32).ravel())
    mesh.update()
    person = bpy.data.objects.new(name, mesh)
    collection.objects.link(person)
    person.parent = armature
    modifier = person.modifiers.new("Armature", "ARMATURE")
    modifier.object = armature
    _add_shape_keys(person, body, vertices)
    if with_correctives:
        _add_pose_correctives(person, body, vertices)
    mesh.materials.append(_material(f"{name}_material", colour_of(number)))
    return person


def colour_of(number: int) -> tuple[float, float, float]:
    """The colour of a person's mesh and bones."""
    return COLOURS[(number - 1) % len(COLOURS)]


def add_vertex_groups(person: Any, weights: np.ndarray) -> None:
    """One vertex group for every joint, from skinning weights (V, 55)."""
    for joint, name in enumerate(JOINT_NAMES):
        group = person.vertex_groups.new(name=name)
        column = weights[:, joint]
        group.add(np.flatnonzero(column == 1).tolist(), 1.0, "REPLACE")
        for vertex in np.flatnonzero((column > 0) & (column < 1)).tolist():
            group.add([vertex], float(column[vertex]), "REPLACE")


def _add_shape_keys(person: Any, body: BodyModel, vertices: np.ndarray) -> None:
    person.shape_key_add(name="Basis", from_mix=False)
    for k in range(body.exprdirs.shape[-1]):
        key = person.shape_key_add(name=f"Exp{k:03d}", from_mix=False)
        key.slider_min, key.slider_max = -SLIDER, SLIDER
        key.value = 0.0
        key.data.foreach_set("co", (vertices + body.exprdirs[..., k]).astype(np.float32).ravel())
    for k, meaning in enumerate(body.expression_names):
        person.data.shape_keys[f"Exp{k:03d}"] = meaning


def _add_pose_correctives(person: Any, body: BodyModel, vertices: np.ndarray) -> None:
    """Shape keys Pose000..: nine for each joint but the pelvis, by the entries of its rotation matrix less identity."""
    for k, offsets in enumerate(body.posedirs.reshape(len(body.posedirs), -1, 3) if body.posedirs is not None else ()):
        if np.abs(offsets).max() < LEAST_CORRECTIVE:
            continue
        key = person.shape_key_add(name=corrective_name(k), from_mix=False)
        key.slider_min, key.slider_max = -SLIDER, SLIDER
        key.value = 0.0
        key.data.foreach_set("co", (vertices + offsets).astype(np.float32).ravel())


def corrective_name(k: int) -> str:
    """Of the k-th pose corrective, counted from 0: joint 1 + k // 9, entry k % 9 of its matrix, row by row."""
    return f"Pose{k:03d}"


def _material(name: str, colour: tuple[float, float, float]) -> Any:
    material = bpy.data.materials.new(name)
    material.diffuse_color = (*colour, 1)
    compat.use_nodes(material)
    shader = material.node_tree.nodes.get("Principled BSDF")
    if shader is not None:
        shader.inputs["Base Color"].default_value = (*colour, 1)
        shader.inputs["Roughness"].default_value = 0.6
    return material
