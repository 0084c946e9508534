"""Our bodies against the smplx package, 1 to 256 at a time: python -m benchmarks.skinning [--write]"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import smplx
import torch

import aios_core
from aios_core.body import skinning
from aios_core.body.files import open_body
from aios_core.body.skinning_torch import TorchBody
from aios_core.geometry.rotations import axis_angle_to_rotmat
from benchmarks.tables import column, parser, show


@dataclass(frozen=True)
class Row:
    """Milliseconds for so many bodies with all vertices, and how many times as fast as smplx that is."""

    bodies: int
    smplx_ms: float = column("`smplx`, ms")
    numpy_ms: float = column("numpy, ms")
    numpy_ratio: float = column("ratio", ".1f")
    torch_ms: float = column("torch, ms")
    torch_ratio: float = column("ratio", ".1f")
    joints_ms: float = column("joints alone in numpy, ms")


def fastest(functions: list[Callable[[], object]], repeats: int) -> list[float]:
    """Shortest milliseconds of each call: they take turns, so that other work disturbs all alike."""
    best = [float("inf")] * len(functions)
    for _ in range(repeats + 1):
        for i, function in enumerate(functions):
            begun = time.perf_counter()
            function()
            best[i] = min(best[i], 1e3 * (time.perf_counter() - begun))
    return best


@torch.inference_mode()
def measure(count: int, repeats: int) -> Row:
    """A row of the table."""
    body, rng = open_body(), np.random.default_rng(0)
    torch_body = TorchBody(body)
    path = Path(aios_core.__file__).parent / "assets" / "OPEN_NEUTRAL.npz"
    pose = rng.normal(0, 0.3, (count, 55, 3)).astype(np.float32)
    betas, expression = (rng.normal(0, 1, (count, 10)).astype(np.float32) for _ in range(2))
    model = smplx.SMPLX(
        str(path), use_pca=False, flat_hand_mean=True, batch_size=count, num_betas=10, num_expression_coeffs=10,
        ext="npz",
    )  # fmt: skip
    flat = torch.tensor(pose)
    arguments = {
        "betas": torch.tensor(betas), "expression": torch.tensor(expression),
        "global_orient": flat[:, 0], "body_pose": flat[:, 1:22].flatten(1), "jaw_pose": flat[:, 22],
        "left_hand_pose": flat[:, 25:40].flatten(1), "right_hand_pose": flat[:, 40:].flatten(1),
    }  # fmt: skip
    rotmats = torch.tensor(axis_angle_to_rotmat(pose))
    theirs, numpy, torch_, joints = fastest(
        [
            lambda: model(**arguments),
            lambda: skinning.pose_body(body, betas, expression, pose),
            lambda: torch_body(arguments["betas"], arguments["expression"], rotmats),
            lambda: skinning.pose_joints(body, betas, pose),
        ],
        repeats,
    )
    return Row(count, theirs, numpy, theirs / numpy, torch_, theirs / torch_, joints)


def main() -> None:
    """Measure and print."""
    options = parser(__doc__).parse_args()
    torch.set_num_threads(options.threads)
    show("skinning", [measure(*size) for size in ((1, 20), (16, 6), (256, 3))], options.write)


if __name__ == "__main__":
    main()
