"""People seen from behind whom the network took for seen from the front, or the other way round.

One picture leaves two ways to understand a figure that fill the same outline: the one mirrored along the line of sight
has the sides swapped and looks the other way. A network that hesitates between them changes from one to the other from
one frame to the next, which no body can. The course through the measurements and their mirrored selves that moves most
like a body, walks forwards rather than backwards, and is mirrored for as short as that allows, is taken for what
happened. Where both are alike, as for somebody seen from the side whose legs pass each other, a change goes unseen.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.ndimage import gaussian_filter1d

from aios_core.body.body_model import BodyModel
from aios_core.body.joints import BODY, BODY_JOINTS, JAW, LEFT_HAND, MIRROR_55, MIRROR_COCO17, MIRROR_FACE6, RIGHT_HAND
from aios_core.body.skinning import full_pose, mirrored_pose, pose_joints
from aios_core.errors import AiosError
from aios_core.geometry.rotations import axis_angle_to_rotmat, geodesic_distance, rotmat_to_axis_angle
from aios_core.mocap import AS_MEASURED, AUTOMATIC, IMPUTED, MIRRORED, Camera, Measured, Mocap, Track
from aios_core.pipeline.placement import place
from aios_core.tracks import change_track

FASTEST = 1.0
"""Metres a second that joints move at about their pelvis, on average over a body: about a turn in a second."""
NOISE = 0.03
"""Metres that they seem to move besides, from frame to frame."""
TOLERANCE = 0.05
"""Metres beyond both that cost one unit."""
CHANGE = 0.2
"""Units that it costs to go from one way to the other;"""
MIRRORED_PER_SECOND = 1.5
"""that a second of mirrored measurements costs,"""
BACKWARDS_PER_SECOND = 1.0
"""a second of walking backwards, which is less, so that who is always seen to walk backwards does,"""
OMITTED_PER_SECOND = 25.0
"""and a second left out, since single frames may show anything, ..."""
LONGEST_OMISSION = 0.2
"""... of so many seconds at once."""
STROLL, WALK = 0.4, 1.2
"""Metres a second along the line of sight: slower steps count nothing, faster ones fully."""
WALK_SECONDS = 0.3
"""Ways are looked at over about so long."""


def facing_one_way(track: Track, times: np.ndarray, body: BodyModel, camera: Camera, find_out: bool = True) -> Track:
    """A raw track whose measurements are mirrored along the line of sight where they were taken the wrong way round.

    Those are marked as imputed. times: (T,) seconds of the Mocap's frames. What the user has stated holds; the rest
    stays as measured without find_out.
    """
    measured = track.measured
    other = mirrored_along_sight(measured, camera)
    is_mirrored, is_stated = measured.facing == MIRRORED, measured.facing != AUTOMATIC
    if find_out:
        times = times[measured.frames]
        joints = np.stack([_joints(way, body) for way in (measured, other)], 1)  # (M, 2, 22, 3)
        depth = place(joints[:, 0], measured.joints_px, measured.keypoints_px, camera, 0.0)[:, 2]
        in_picture = np.stack([_joints_in_picture(way, depth, camera) for way in (measured, other)], 1)
        joints = np.concatenate([joints, in_picture], 2)  # (M, 2, 39, 3)
        odd = BACKWARDS_PER_SECOND * _backwards(measured, depth, times) + [0.0, MIRRORED_PER_SECOND]
        is_out = np.stack([is_mirrored, is_stated & ~is_mirrored], 1)
        is_mirrored = np.where(is_stated, is_mirrored, _course(joints, times, odd, is_out))
    kinds = np.where(is_mirrored, np.uint8(IMPUTED), track.key_kinds)
    return replace(track, measured=either(measured, other, is_mirrored), key_kinds=kinds)


def either(first: Measured, second: Measured, is_second: np.ndarray) -> Measured:
    """The measurements of the first, and of the second where is_second (M,) says so."""
    rows = np.flatnonzero(is_second)
    arrays = {name: value.copy() for name, value in vars(first).items()}
    for name, value in arrays.items():
        value[rows] = getattr(second, name)[rows]
    return Measured(**arrays)


def turned_about(mocap: Mocap, number: int, first: int, last: int) -> Mocap:
    """The Mocap in which it is stated that a track faces the other way than now in frames first..last; refine it then.

    Raises:
        AiosError: there is no such track, nothing was measured of it in those frames.
    """

    def turn(track: Track) -> list[Track]:
        frames = np.zeros(0, int) if track.measured is None else track.measured.frames
        rows = np.flatnonzero((frames >= first) & (frames <= last))
        if not len(rows):
            raise AiosError(f"Nothing was measured of track {number} in frames {first} to {last}.")
        seen = track.measured.select(rows)
        keys = np.searchsorted(track.frames, seen.frames).clip(max=len(track) - 1)
        now = axis_angle_to_rotmat(track.global_orient[keys].astype(np.float64))
        ways = [way.global_orient.astype(np.float64) for way in (seen, mirrored_along_sight(seen, mocap.camera))]
        off = [geodesic_distance(now, axis_angle_to_rotmat(way)) for way in ways]
        facing = track.measured.facing.copy()
        facing[rows] = np.where(off[0] < off[1], MIRRORED, AS_MEASURED)
        return [replace(track, measured=replace(track.measured, facing=facing))]

    return change_track(mocap, number, turn)


def mirrored_along_sight(measured: Measured, camera: Camera) -> Measured:
    """The other figures (camera frame) that the same pictures may show: nearer is farther and left is right."""
    pose = full_pose(
        measured.global_orient, measured.body_pose, measured.left_hand_pose, measured.right_hand_pose, measured.jaw_pose
    )
    sight = (measured.joints_px[:, 0] - camera.center_px) / camera.focal_px
    sight = np.concatenate([sight, np.ones((len(sight), 1))], 1)
    sight /= np.linalg.norm(sight, axis=1, keepdims=True)
    mirror = np.eye(3) - 2 * sight[:, :, None] * sight[:, None]
    turned = mirror @ axis_angle_to_rotmat(pose[:, 0].astype(np.float64)) @ np.diag([-1.0, 1, 1])
    pose = mirrored_pose(pose)
    return replace(
        measured,
        global_orient=rotmat_to_axis_angle(turned).astype(np.float32),
        body_pose=pose[:, BODY],
        left_hand_pose=pose[:, LEFT_HAND],
        right_hand_pose=pose[:, RIGHT_HAND],
        jaw_pose=pose[:, JAW],
        keypoints_px=measured.keypoints_px[:, MIRROR_COCO17],
        left_hand_keypoints_px=measured.right_hand_keypoints_px,
        right_hand_keypoints_px=measured.left_hand_keypoints_px,
        face_keypoints_px=measured.face_keypoints_px[:, MIRROR_FACE6],
        joints_px=measured.joints_px[:, MIRROR_55[:BODY_JOINTS]],
    )


def _joints(measured: Measured, body: BodyModel) -> np.ndarray:
    """(M, 22, 3) metres from the pelvis, of the neutral shape."""
    pose = full_pose(measured.global_orient, measured.body_pose)
    joints = pose_joints(body, np.zeros((len(pose), 10), np.float32), pose)[:, :BODY_JOINTS]
    return joints - joints[:, :1]


def _joints_in_picture(measured: Measured, depth: np.ndarray, camera: Camera) -> np.ndarray:
    """(M, 17, 3) metres from their middle: the 2-d joints at the person's depth (M,), which leap where legs are
    confused, however alike the two figures are."""
    apart = measured.keypoints_px - measured.keypoints_px.mean(1, keepdims=True)
    apart = apart * (depth / camera.focal_px)[:, None, None]
    return np.concatenate([apart, np.zeros_like(apart[..., :1])], -1)


def _backwards(measured: Measured, depth: np.ndarray, times: np.ndarray) -> np.ndarray:
    """(M, 2) how much the measured figure at depths (M,), and the mirrored one, walk backwards, 0..1."""
    if len(times) < 2:
        return np.zeros((len(times), 2))
    usual = float(np.median(np.diff(times)))
    smoothed = gaussian_filter1d(np.log(depth), WALK_SECONDS / usual, mode="nearest")
    speed = np.gradient(smoothed, times) * depth
    ahead = axis_angle_to_rotmat(measured.global_orient.astype(np.float64))[:, 2, 2]  # away from the camera
    share = np.clip((np.abs(speed) - STROLL) / (WALK - STROLL), 0, 1)
    forwards = share * np.sign(speed) * ahead
    return np.stack([-forwards, forwards], 1).clip(0)


def _course(joints: np.ndarray, times: np.ndarray, odd: np.ndarray, is_out: np.ndarray) -> np.ndarray:
    """(M,) bool: where the second of two ways is taken, by dynamic programming over the kept frames.

    joints: (M, 2, J, 3) metres; odd: (M, 2) what a second of each costs; is_out: (M, 2) bool, which cannot be taken.
    """
    count = len(joints)
    steps = np.diff(times, prepend=times[0])
    spent = np.cumsum(np.minimum(steps, 2 * np.median(steps[1:]) if count > 1 else 0))  # a gap is not one long frame
    cost = np.full((count, 2), np.inf)
    cost[0] = np.where(is_out[0], np.inf, 0.0)
    before = np.zeros((count, 2, 2), int)  # the frame and the way that came before
    for t in range(1, count):
        first = min(int(np.searchsorted(times, times[t] - LONGEST_OMISSION)), t - 1)
        back = np.arange(first, t)
        moved = np.linalg.norm(joints[t][None, None] - joints[back, :, None], axis=-1).mean(-1)  # (L, 2, 2)
        free = NOISE + FASTEST * (times[t] - times[back])
        leap = np.maximum(moved - free[:, None, None], 0) / TOLERANCE
        left_out = OMITTED_PER_SECOND * (spent[t - 1] - spent[back])
        oddly = (spent[t] - spent[back])[:, None] * odd[t]
        reach = cost[back][:, :, None] + leap + CHANGE * (1 - np.eye(2)) + left_out[:, None, None] + oddly[:, None]
        flat = reach.transpose(2, 0, 1).reshape(2, -1)
        best = flat.argmin(1)
        cost[t] = np.where(is_out[t], np.inf, flat.min(1))
        before[t] = np.stack([back[best // 2], best % 2], 1)
    answer = np.zeros(count, bool)
    t, way = count - 1, int(cost[-1].argmin())
    while True:
        earlier, way_before = (int(i) for i in before[t, way]) if t else (-1, way)
        answer[earlier + 1 : t + 1] = bool(way)
        if t == 0:
            return answer
        t, way = earlier, way_before
