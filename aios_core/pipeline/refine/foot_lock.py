"""Feet that stand: first the whole person is moved so that planted soles rest, then the legs take up what is left.

Both steps are least squares over the whole clip, so that nothing pops when a contact begins or ends.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix, diags
from scipy.sparse.linalg import spsolve

from aios_core.body.body_model import BodyModel
from aios_core.body.skinning import rest_joints
from aios_core.geometry.rotations import axis_angle_to_rotmat, rotation_between, rotmat_to_axis_angle
from aios_core.pipeline.refine.feet import body_transforms, posed_soles, runs, sole_points
from aios_core.pipeline.refine.smooth import sample_spans

LEG_SIGMA = 0.06
"""Metres: error of a sole's place relative to the pelvis; a planted sole pulls at the person no harder than this."""
ACROSS_SIGMA = 0.015
"""Metres: error of the person's place across the line of sight, and ..."""
DEPTH_SIGMA = 0.015
"""... along it, as a share of the distance, from moment to moment, and ..."""
SIZE_SIGMA = 0.04
"""... throughout, since the person may be smaller and nearer than believed."""
SHIFT_ACCELERATION = 1.0
"""Metres a second squared: how sharply a person's shift may bend."""
FLAT_SIGMA = 0.002
"""Metres: how far a planted heel and toe may be from being a foot's length apart."""
HELD_SIGMA = 0.001
"""Metres: how far a planted sole may be from its place in the end."""
FOOT_SIGMA = 0.1
"""Metres: how far a swinging foot may be moved, ..."""
FOOT_ACCELERATION = 4.0
"""how sharply, metres a second squared, and ..."""
TOE_HEEL_SIGMA = 0.03
"""how differently its heel and toe, metres."""
REACH = 0.998
"""Share of its length to which a leg may be stretched."""

LEGS = ((1, 4, 7, 0, 1), (2, 5, 8, 2, 3))
"""Hip, knee, ankle, heel and toe of both legs; the last two are columns of the contacts."""


@dataclass(frozen=True)
class LockedMotion:
    """A motion whose planted feet rest, in the upright world."""

    pose: np.ndarray
    """(N, 55, 3) axis-angle"""
    transl: np.ndarray
    """(N, 3) metres"""


def lock_feet(
    body: BodyModel,
    betas: np.ndarray,
    pose: np.ndarray,
    transl: np.ndarray,
    contacts: np.ndarray,
    eyes: np.ndarray,
    times: np.ndarray,
) -> LockedMotion:
    """The motion with its planted soles at rest on the ground.

    pose: (N, 55, 3) axis-angle and transl: (N, 3), both in the upright world (z up, ground at z = 0); contacts: (N, 4)
    bool; eyes: (N, 3) the camera's place, along whose line of sight people may be moved most; times: (N,) seconds.
    """
    if not contacts.any() or len(times) < 3:
        return LockedMotion(pose, transl)
    rest, soles = rest_joints(body, betas).astype(np.float64), sole_points(body, betas)
    transforms = body_transforms(body, betas, pose, transl)
    points = posed_soles(transforms, soles, rest)
    length = float(np.linalg.norm(soles[1] - soles[0]))
    shift, anchors = shift_person(points, contacts, transforms[:, 0, :3, 3] - eyes, times, length)
    transforms[..., :3, 3] += shift[:, None]
    targets = foot_targets(points + shift[:, None], contacts, anchors, times)
    rotmats = axis_angle_to_rotmat(pose[:, :22].astype(np.float64))
    for hip, knee, ankle, heel, toe in LEGS:
        local = soles[[heel, toe]] - rest[ankle]
        _bend_leg(rotmats, transforms, (hip, knee, ankle), local, targets[:, [heel, toe]], contacts[:, [heel, toe]])
    answer = pose.astype(np.float64).copy()
    legs = [1, 2, 4, 5, 7, 8]
    answer[:, legs] = rotmat_to_axis_angle(rotmats[:, legs])
    return LockedMotion(answer, transl + shift)


def shift_person(
    points: np.ndarray, contacts: np.ndarray, sight: np.ndarray, times: np.ndarray, length: float
) -> tuple[np.ndarray, np.ndarray]:
    """(N, 3) shifts of the whole person that bring planted soles to rest, and (N, 4, 3) the places they rest at.

    points: (N, 4, 3) soles; sight: (N, 3) from the camera to the person; length: metres from heel to toe.
    """
    count = len(points)
    episodes = [(i, a, b) for i in range(4) for a, b in runs(contacts[:, i])]
    distance = np.linalg.norm(sight, axis=-1, keepdims=True)
    ray = sight / np.maximum(distance, 1e-9)
    span = sample_spans(times)
    along = np.einsum("ni,nj->nij", ray, ray)
    prior = (np.eye(3) - along) / ACROSS_SIGMA**2 + along / (DEPTH_SIGMA * distance[..., None]) ** 2
    # Sums over frames stand for integrals over time, so that the frame rate does not change the balance.
    normal = _block_diagonal(prior * span[:, None, None]) + _bending(times, SHIFT_ACCELERATION, 3)
    size = 3 * count  # the unknowns: shifts, one change of size, two coordinates of every resting place
    rows, columns, values, right = [], [], [], []
    for k, (i, a, b) in enumerate(episodes):
        for t in range(a, b):
            weight = np.sqrt(span[t]) / LEG_SIGMA
            for axis in range(3):
                terms = {3 * t + axis: weight, size: weight * sight[t, axis]}
                if axis < 2:  # planted soles lie at z = 0; where they rest on the ground is found along the way
                    terms[size + 1 + 2 * k + axis] = -weight
                rows += [len(right)] * len(terms)
                columns += terms.keys()
                values += terms.values()
                right.append(-weight * points[t, i, axis])
    for heel, toe, way in _flat_feet(points, episodes, length):
        for axis in range(2):
            rows += [len(right)] * 2
            columns += [size + 1 + 2 * toe + axis, size + 1 + 2 * heel + axis]
            values += [1 / FLAT_SIGMA, -1 / FLAT_SIGMA]
            right.append(way[axis] / FLAT_SIGMA)
    total = size + 1 + 2 * len(episodes)
    held = csr_matrix((values, (rows, columns)), (len(right), total))
    small = np.full(total, 1e-9 * span.mean())
    small[size] = span.sum() / SIZE_SIGMA**2
    solution = spsolve((_padded(normal, total) + held.T @ held + diags(small)).tocsc(), held.T @ np.array(right))
    anchors = np.zeros((count, 4, 3))
    for k, (i, a, b) in enumerate(episodes):
        anchors[a:b, i, :2] = solution[size + 1 + 2 * k : size + 3 + 2 * k]
    return solution[:size].reshape(count, 3) + solution[size] * sight, anchors


def _flat_feet(
    points: np.ndarray, episodes: list[tuple[int, int, int]], length: float
) -> list[tuple[int, int, np.ndarray]]:
    """(heel, toe, (2,) way on the ground) of overlapping contacts of one foot: flat on the ground it has its length."""
    found = []
    for k, (heel, a, b) in enumerate(episodes):
        for other, (toe, c, d) in enumerate(episodes):
            if heel % 2 == 0 and toe == heel + 1 and max(a, c) < min(b, d):
                both = slice(max(a, c), min(b, d))
                way = (points[both, toe, :2] - points[both, heel, :2]).mean(0)
                found.append((k, other, way * length / max(np.linalg.norm(way), 1e-9)))
    return found


def foot_targets(points: np.ndarray, contacts: np.ndarray, anchors: np.ndarray, times: np.ndarray) -> np.ndarray:
    """(N, 4, 3) where heels and toes shall be: planted ones at their anchors, the others near where they were.

    Swinging soles that would be under the ground are lifted onto it.
    """
    answer = points.copy()
    for _, _, _, heel, toe in LEGS:
        pair = [heel, toe]
        held = contacts[:, pair]
        pull = np.where(held[..., None], anchors[:, pair] - points[:, pair], 0.0)
        answer[:, pair] = points[:, pair] + _foot_corrections(pull, held, times)
        under = ~held & (answer[:, pair, 2] < 0)
        if under.any():
            pull[..., 2] = np.where(under, -points[:, pair, 2], pull[..., 2])
            answer[:, pair] = points[:, pair] + _foot_corrections(pull, held, times, under)
    return answer


def _foot_corrections(
    pull: np.ndarray, held: np.ndarray, times: np.ndarray, lifted: np.ndarray | None = None
) -> np.ndarray:
    """(N, 2, 3) smooth corrections of heel and toe that meet `pull` where they are held; lifted: in z alone."""
    count, span = len(pull), sample_spans(times)
    answer = np.zeros_like(pull)
    bend = _bending(times, FOOT_ACCELERATION, 1)
    couple = diags(span / TOE_HEEL_SIGMA**2)
    for axis in range(3):
        firm = held if lifted is None or axis < 2 else held | lifted
        weight = firm * (span / HELD_SIGMA**2)[:, None] + (span / FOOT_SIGMA**2)[:, None]
        blocks = [bend + couple + diags(weight[:, i]) for i in range(2)]
        normal = _two_by_two(blocks[0], blocks[1], couple)
        right = (firm * (span / HELD_SIGMA**2)[:, None] * pull[..., axis]).T.ravel()
        answer[..., axis] = spsolve(normal.tocsc(), right).reshape(2, count).T
    return answer


def _bend_leg(
    rotmats: np.ndarray,
    transforms: np.ndarray,
    leg: tuple[int, int, int],
    local: np.ndarray,
    targets: np.ndarray,
    held: np.ndarray,
) -> None:
    """Turn hip, knee and ankle, in place, so that heel and toe (2, 3, in the ankle's frame) meet targets (N, 2, 3).

    The knee stays in the plane it was in. rotmats: (N, 22, 3, 3) relative to the parent.
    """
    hip, knee, ankle = leg
    turns, places = transforms[..., :3, :3], transforms[..., :3, 3]
    foot = turns[:, ankle]
    foot = rotation_between(foot @ (local[1] - local[0]), targets[:, 1] - targets[:, 0]) @ foot
    # The planted end is met exactly; with both planted the toe is, since it leaves last.
    lead = np.where(held[:, 0] & ~held[:, 1], 0, 1)
    rows = np.arange(len(foot))
    goal = targets[rows, lead] - np.einsum("nij,nj->ni", foot, local[lead])
    start, old_knee, old_ankle = places[:, hip], places[:, knee], places[:, ankle]
    thigh = np.linalg.norm(old_knee - start, axis=-1, keepdims=True)
    shin = np.linalg.norm(old_ankle - old_knee, axis=-1, keepdims=True)
    old_reach = np.linalg.norm(old_ankle - start, axis=-1, keepdims=True)
    way = goal - start
    wanted = np.linalg.norm(way, axis=-1, keepdims=True)
    # Towards a straight leg the reach gives in bit by bit: a knee that straightens at once is a pop.
    room = np.maximum(REACH * (thigh + shin) - old_reach, 1e-6)
    stretched = old_reach + room * -np.expm1(-np.maximum(wanted - old_reach, 0) / room)
    reach = np.maximum(np.minimum(wanted, stretched), np.abs(thigh - shin) + 1e-3)
    ahead = way / np.maximum(np.linalg.norm(way, axis=-1, keepdims=True), 1e-9)
    swing = rotation_between(old_ankle - start, way)
    pole = np.einsum("nij,nj->ni", swing, _knee_direction(turns[:, hip], old_knee - start, old_ankle - start))
    pole -= (pole * ahead).sum(-1, keepdims=True) * ahead
    pole /= np.maximum(np.linalg.norm(pole, axis=-1, keepdims=True), 1e-9)
    near = (thigh**2 - shin**2 + reach**2) / (2 * reach)
    new_knee = start + near * ahead + np.sqrt(np.maximum(thigh**2 - near**2, 0)) * pole
    new_ankle = start + reach * ahead
    new_thigh = rotation_between(old_knee - start, new_knee - start) @ turns[:, hip]
    new_shin = rotation_between(old_ankle - old_knee, new_ankle - new_knee) @ turns[:, knee]
    rotmats[:, hip] = np.swapaxes(turns[:, 0], 1, 2) @ new_thigh
    rotmats[:, knee] = np.swapaxes(new_thigh, 1, 2) @ new_shin
    rotmats[:, ankle] = np.swapaxes(new_shin, 1, 2) @ foot


def _knee_direction(thigh: np.ndarray, to_knee: np.ndarray, to_ankle: np.ndarray) -> np.ndarray:
    """(N, 3) where the knee points: off the line from hip to ankle, or for a straight leg to the thigh's front."""
    line = to_ankle / np.maximum(np.linalg.norm(to_ankle, axis=-1, keepdims=True), 1e-9)
    off = to_knee - (to_knee * line).sum(-1, keepdims=True) * line
    front = thigh[..., 2] - (thigh[..., 2] * line).sum(-1, keepdims=True) * line
    return off + 0.02 * front


def _bending(times: np.ndarray, sigma: float, size: int) -> csr_matrix:
    """(N size, N size) quadratic form of the integral of |x''|^2 / sigma^2 over vectors of `size` components."""
    count, step = len(times), np.diff(times)
    middle = (step[1:] + step[:-1]) / 2
    rows = np.stack([1 / step[:-1], -1 / step[:-1] - 1 / step[1:], 1 / step[1:]], 1) / middle[:, None]
    rows *= np.sqrt(middle)[:, None] / sigma
    at = np.arange(count - 2)
    matrix = coo_matrix(
        (rows.ravel(), (np.repeat(at, 3), (at[:, None] + np.arange(3)).ravel())), (count - 2, count)
    ).tocsr()
    bend = (matrix.T @ matrix).tocoo()
    if size == 1:
        return bend.tocsr()
    spread = [(bend.row * size + k, bend.col * size + k) for k in range(size)]
    places = np.concatenate([r for r, _ in spread]), np.concatenate([c for _, c in spread])
    return coo_matrix((np.tile(bend.data, size), places), (count * size, count * size)).tocsr()


def _block_diagonal(blocks: np.ndarray) -> csr_matrix:
    """Sparse matrix of blocks (N, K, K)."""
    count, size = blocks.shape[:2]
    base = np.arange(count)[:, None, None] * size
    rows = base + np.arange(size)[:, None] + np.zeros((1, 1, size), int)
    columns = base + np.arange(size)[None, :] + np.zeros((1, size, 1), int)
    return coo_matrix((blocks.ravel(), (rows.ravel(), columns.ravel())), (count * size, count * size)).tocsr()


def _padded(matrix: csr_matrix, size: int) -> csr_matrix:
    matrix = matrix.tocoo()
    return coo_matrix((matrix.data, (matrix.row, matrix.col)), (size, size)).tocsr()


def _two_by_two(first: csr_matrix, second: csr_matrix, couple: csr_matrix) -> csr_matrix:
    from scipy.sparse import bmat

    return bmat([[first, -couple], [-couple, second]])
