"""Compare the published architecture with a fixture: python -m tests.conformance FIXTURE.npz --salt SALT

Builds the preset `aios`, gives every tensor the value that follows from its name and the salt, runs the fixture's
pictures and prints the largest difference of every output. Exits with 1 when one exceeds its tolerance.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from aios_core.config import AIOS, ModelConfig
from aios_core.model.aios import AiOS
from aios_core.model.predictions import LayerPredictions
from tests.deterministic_weights import fill, normalise, value

FIELDS = {
    "pred_logits": "logits", "pred_boxes": "boxes", "pred_lhand_boxes": "left_hand_boxes",
    "pred_rhand_boxes": "right_hand_boxes", "pred_face_boxes": "face_boxes", "pred_keypoints": "keypoints",
    "pred_lhand_keypoints": "left_hand_keypoints", "pred_rhand_keypoints": "right_hand_keypoints",
    "pred_face_keypoints": "face_keypoints", "pred_smpl_pose": "body_rotmats",
    "pred_smpl_lhand_pose": "left_hand_rotmats", "pred_smpl_rhand_pose": "right_hand_rotmats",
    "pred_smpl_jaw_pose": "jaw_rotmats", "pred_smpl_expr": "expression", "pred_smpl_beta": "betas",
    "pred_smpl_cam": "camera",
}  # fmt: skip
"""Names of outputs in the fixtures to fields of LayerPredictions."""
TOLERANCE, ROTATION_TOLERANCE, ROTATION_MEDIAN = 1e-4, 2e-3, 2e-5


@dataclass(frozen=True)
class Difference:
    """How far one output is from the fixture's."""

    name: str
    largest: float
    median: float
    passes: bool


def pictures(fixture: dict[str, np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    """The fixture's pictures (B, 3, H, W), normalised and padded, and their padding mask (B, H, W)."""
    images = [fixture[f"image{i}"] for i in range(sum(key.startswith("image") for key in fixture))]
    height, width = (max(image.shape[axis] for image in images) for axis in (0, 1))
    padded = torch.zeros(len(images), 3, height, width, dtype=torch.float64)
    mask = torch.ones(len(images), height, width, dtype=torch.bool)
    for i, image in enumerate(images):
        h, w, _ = image.shape
        padded[i, :, :h, :w] = torch.from_numpy(normalise(image))
        mask[i, :h, :w] = False
    return padded, mask


def published_layout(name: str, found: torch.Tensor) -> np.ndarray:
    """An output as the published model lays it out: keypoints are x0 y0 x1 y1 ... and constant visibilities."""
    if not name.endswith("keypoints"):
        return found.numpy()
    visibility = torch.sigmoid(torch.ones(found.shape[:-1], dtype=found.dtype))
    return torch.cat((found.flatten(-2), visibility), dim=-1).numpy()


def compare(layers: dict[str, LayerPredictions], fixture: dict[str, np.ndarray]) -> list[Difference]:
    """Differences of the layers' predictions, by the prefix their outputs have in the fixture."""
    differences = []
    for prefix, layer in layers.items():
        for output, field in FIELDS.items():
            if f"{prefix}_{output}" not in fixture:
                continue
            found = published_layout(output, getattr(layer, field))
            error = np.abs(found - fixture[f"{prefix}_{output}"])
            is_rotation = field.endswith("rotmats")
            median = float(np.median(error))
            passes = error.max() <= (ROTATION_TOLERANCE if is_rotation else TOLERANCE)
            passes = bool(passes and (not is_rotation or median <= ROTATION_MEDIAN))
            differences.append(Difference(f"{prefix}_{output}", float(error.max()), median, passes))
    return differences


def run(
    path: str, salt: str, dtype: torch.dtype = torch.float32, network: Callable[[ModelConfig], AiOS] = AiOS
) -> list[Difference]:
    """Differences between a network of the published sizes, filled by the salt, and the fixture at `path`."""
    with np.load(path, allow_pickle=False) as stored:
        fixture = dict(stored)
    model = network(AIOS).eval().to(dtype)
    fill(model, partial(value, salt=salt))
    images, mask = pictures(fixture)
    with torch.inference_mode():
        predictions = model(images.to(dtype), mask, all_layers=True)
    layers = {f"aux{index}": layer for index, layer in enumerate(predictions.layers[:-1])}
    return compare({"out": predictions.final, **layers}, fixture)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__.splitlines()[0])
    parser.add_argument("fixture", help="an .npz with pictures and the published model's outputs")
    parser.add_argument("--salt", default="", help="text that was appended to every name (default: none)")
    parser.add_argument("--double", action="store_true", help="run in float64")
    options = parser.parse_args(arguments)
    differences = run(options.fixture, options.salt, torch.float64 if options.double else torch.float32)
    for d in differences:
        print(f"{d.name:28s} largest {d.largest:.1e}  median {d.median:.1e}  {'ok' if d.passes else 'FAILS'}")
    failed = [d.name for d in differences if not d.passes]
    print(f"{len(failed)} of {len(differences)} outputs differ too much" if failed else "all outputs agree")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
