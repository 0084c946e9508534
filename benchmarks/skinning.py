"""Our bodies against the smplx package, 1 and 256 at a time: python -m benchmarks.skinning"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import smplx
import torch

import aios_core
from aios_core.body import skinning
from aios_core.body.files import open_body
from aios_core.body.skinning_torch import TorchBody
from aios_core.geometry.rotations import axis_angle_to_rotmat


def seconds_of(function: Callable[[], object], repeats: int) -> float:
    """Median seconds of a call, after one that is not counted."""
    function()
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        function()
        times.append(time.perf_counter() - begun)
    return float(np.median(times))


@torch.inference_mode()
def main() -> None:
    """Measure and print."""
    body = open_body()
    torch_body = TorchBody(body)
    path = Path(aios_core.__file__).parent / "assets" / "OPEN_NEUTRAL.npz"
    for count, repeats in ((1, 15), (256, 3)):
        rng = np.random.default_rng(0)
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
        theirs = seconds_of(lambda m=model, a=arguments: m(**a), repeats)
        numpy = seconds_of(lambda b=betas, e=expression, p=pose: skinning.pose_body(body, b, e, p), repeats)
        torch_ = seconds_of(lambda a=arguments, r=rotmats: torch_body(a["betas"], a["expression"], r), repeats)
        joints = seconds_of(lambda b=betas, p=pose: skinning.pose_joints(body, b, p), repeats)
        print(
            f"{count:>4} bodies: smplx {theirs * 1e3:8.1f} ms; numpy {numpy * 1e3:8.1f} ms ({theirs / numpy:.1f}x);"
            f" torch {torch_ * 1e3:8.1f} ms ({theirs / torch_:.1f}x); joints alone {joints * 1e3:6.1f} ms"
        )


if __name__ == "__main__":
    main()
