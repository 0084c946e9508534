"""Rotations: every way round gives the same rotation, also at zero and at half a turn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from aios_core.geometry import rotations as r

axis_angles = arrays(np.float64, (4, 3), elements=st.floats(-7, 7, allow_subnormal=False))


@settings(max_examples=60, deadline=None)
@given(axis_angles)
def test_matrices_and_quaternions_agree_with_scipy(axis_angle):
    theirs = Rotation.from_rotvec(axis_angle)
    assert np.allclose(r.axis_angle_to_rotmat(axis_angle), theirs.as_matrix(), atol=1e-9)
    assert np.allclose(np.abs((r.axis_angle_to_quat_wxyz(axis_angle)[:, [1, 2, 3, 0]] * theirs.as_quat()).sum(1)), 1)


@settings(max_examples=60, deadline=None)
@given(axis_angles)
def test_there_and_back_is_the_same_rotation(axis_angle):
    rotmat = r.axis_angle_to_rotmat(axis_angle)
    for back in (
        r.axis_angle_to_rotmat(r.rotmat_to_axis_angle(rotmat)),
        r.quat_wxyz_to_rotmat(r.rotmat_to_quat_wxyz(rotmat)),
        r.axis_angle_to_rotmat(r.quat_wxyz_to_axis_angle(r.axis_angle_to_quat_wxyz(axis_angle))),
    ):
        assert np.allclose(back, rotmat, atol=1e-7)


@pytest.mark.parametrize("axis", [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.6, 0.8, 0], [0.48, 0.6, 0.64]])
@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-4, 1.0, np.pi - 1e-7, np.pi])
def test_zero_and_half_turns_are_exact(axis, angle):
    given = np.array(axis) * angle
    back = r.rotmat_to_axis_angle(r.axis_angle_to_rotmat(given))
    assert np.linalg.norm(back) == pytest.approx(angle, abs=1e-6)
    assert np.allclose(r.axis_angle_to_rotmat(back), r.axis_angle_to_rotmat(given), atol=1e-7)


def test_types_are_kept():
    for kind in (np.float32, np.float64):
        pose = np.full((2, 5, 3), 0.3, kind)
        assert r.axis_angle_to_rotmat(pose).dtype == kind
        assert r.rotmat_to_axis_angle(r.axis_angle_to_rotmat(pose)).dtype == kind


def test_distance_is_the_angle_between():
    a, b = r.axis_angle_to_rotmat(np.array([0.2, 0, 0])), r.axis_angle_to_rotmat(np.array([-0.5, 0, 0]))
    assert r.geodesic_distance(a, b) == pytest.approx(0.7)


def test_continuous_quaternions_are_the_same_rotations_without_flips():
    turns = np.stack([np.linspace(0, 12, 50), np.zeros(50), np.zeros(50)], 1)
    quats = r.rotmat_to_quat_wxyz(r.axis_angle_to_rotmat(turns))
    smooth = r.continuous_quat_wxyz(quats)
    assert ((smooth[1:] * smooth[:-1]).sum(1) > 0).all()
    assert np.allclose(r.quat_wxyz_to_rotmat(smooth), r.quat_wxyz_to_rotmat(quats))


def test_mirroring_is_conjugation_by_the_mirror():
    pose = np.random.default_rng(0).normal(0, 1, (6, 3))
    mirror = np.diag([-1.0, 1, 1])
    assert np.allclose(
        r.axis_angle_to_rotmat(r.mirror_axis_angle(pose)), mirror @ r.axis_angle_to_rotmat(pose) @ mirror
    )
