"""Joints as fixed combinations of skin vertices: SMPL-X's J_regressor."""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls

from aios_core.body.joints import JOINT_NAMES, PARENTS
from aios_core.body.open_body.expressions import still_skin
from aios_core.body.open_body.skinning_weights import JOINT
from aios_core.body.open_body.source import LEFT_EYE, RIGHT_EYE

_SLIDING = ("knee", "hip", "shoulder", "elbow")  # bone heads that MakeHuman slides under the skin
_TOLERANCE = 0.006  # metres; beyond it a sliding joint is fitted with signed weights
_SUM_WEIGHT = 30.0  # metres of error that a row sum off by one costs
_SHRINKAGE = 1e-4
_RIDGE = 1e-2
_DIRECTIONS = np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1], [-1, 0, 1]), -1).reshape(-1, 3)[np.arange(27) != 13]


def fit_joint_regressor(
    bodies: np.ndarray,
    joints: np.ndarray,
    weights: np.ndarray,
    expressions: np.ndarray,
    groups: np.ndarray,
    template: np.ndarray,
    template_joints: np.ndarray,
) -> np.ndarray:
    """(55, V) rows that sum to 1 and use only vertices that expressions leave alone.

    bodies: (N, V, 3) with their joints (N, 55, 3). Rows are non-negative, except those of joints that slide under the
    skin, which get small signed weights.
    """
    regressor = np.zeros((55, bodies.shape[1]))
    allowed = _allowed_vertices(weights, still_skin(expressions, groups), groups)
    for j in range(55):
        centre, distance = template_joints[j], np.linalg.norm(template - template_joints[j], axis=1)
        distance[~allowed[j]] = 9
        chosen = _surrounding(template - centre, distance)
        offsets = bodies[:, chosen] - centre
        row = _convex_row(offsets, joints[:, j] - centre)
        error = np.linalg.norm(np.einsum("v,nvc->nc", row, offsets) + centre - joints[:, j], axis=-1)
        if error.max() > _TOLERANCE and any(name in JOINT_NAMES[j] for name in _SLIDING):
            chosen = _limb_around(j, allowed[j], weights, distance)
            chosen, row = _signed_row(chosen, bodies[:, chosen] - centre, joints[:, j] - centre)
        regressor[j, chosen] = row
    return regressor


def _allowed_vertices(weights: np.ndarray, still: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """(55, V) vertices each joint may be measured from."""
    allowed = np.tile(still, (55, 1))
    on_head = weights[:, [JOINT["head"], JOINT["jaw"], JOINT["neck"]]].sum(1) > 0.5
    allowed[[JOINT["head"], JOINT["jaw"]]] &= on_head
    allowed[JOINT["left_eye_smplhf"]] = groups == LEFT_EYE
    allowed[JOINT["right_eye_smplhf"]] = groups == RIGHT_EYE
    return allowed


def _surrounding(offsets: np.ndarray, distance: np.ndarray, nearest: int = 60) -> np.ndarray:
    """Candidates: the nearest vertices and some in each of 26 directions; offsets: (V, 3) from the joint."""
    order = np.argsort(distance)
    chosen = set(order[:nearest].tolist())
    near = order[distance[order] < 4 * distance[order[:20]].mean() + 0.03]
    directions = offsets / np.maximum(distance, 1e-9)[:, None]
    for axis in _DIRECTIONS / np.linalg.norm(_DIRECTIONS, axis=1, keepdims=True):
        there = near[directions[near] @ axis > 0.9]
        chosen |= set(there[:4].tolist()) | set(there[:: max(1, len(there) // 8)][:8].tolist())
    return np.array(sorted(chosen))


def _limb_around(j: int, allowed: np.ndarray, weights: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """About 450 vertices of the limbs that meet at joint j."""
    children = np.flatnonzero(j == PARENTS)
    limb = weights[:, j] + weights[:, max(PARENTS[j], 0)] + weights[:, children].sum(1)
    chosen = np.flatnonzero(allowed & (limb > 0.3) & (distance < 0.42))
    chosen = chosen[np.argsort(np.round(distance[chosen], 6), kind="stable")]
    return chosen[:: max(1, len(chosen) // 450)]


def _equations(offsets: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least-squares rows: each coordinate of each body, then the sum of the weights."""
    count, vertices, _ = offsets.shape
    matrix = offsets.transpose(0, 2, 1).reshape(count * 3, vertices)
    return np.vstack([matrix, np.full((1, vertices), _SUM_WEIGHT)]), np.append(targets.ravel(), _SUM_WEIGHT)


def _convex_row(offsets: np.ndarray, targets: np.ndarray) -> np.ndarray:
    matrix, values = _equations(offsets, targets)
    count = matrix.shape[1]
    matrix = np.vstack([matrix, _SHRINKAGE * np.sqrt(len(offsets)) * np.eye(count)])
    row, _ = nnls(matrix, np.append(values, np.zeros(count)), maxiter=20 * count)
    row[row < 1e-4] = 0
    return row / row.sum()


def _signed_row(chosen: np.ndarray, offsets: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    matrix, values = _equations(offsets, targets)
    row = _ridge(matrix, values)
    used = np.abs(row) > 1e-3
    row = _ridge(matrix[:, used], values)
    return chosen[used], row / row.sum()


def _ridge(matrix: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.linalg.solve(matrix.T @ matrix + _RIDGE * np.eye(matrix.shape[1]), matrix.T @ values)
