"""Clean motion: noise goes, motion stays, nobody is turned about, feet stand, and no frame rate or axis is special."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d

from aios_core.body.skinning import full_pose, pose_joints
from aios_core.body.transfer import height
from aios_core.config import RefineConfig
from aios_core.evaluation.motion import motion_scores, soles_in_world
from aios_core.geometry.rotations import (
    axis_angle_to_quat_wxyz,
    axis_angle_to_rotmat,
    geodesic_distance,
    quat_wxyz_to_rotmat,
    rotmat_to_axis_angle,
)
from aios_core.mocap import IMPUTED, INTERPOLATED, MEASURED, Mocap
from aios_core.pipeline.refine import motion, raw_track, refine
from aios_core.pipeline.refine.contacts import detect_contacts
from aios_core.pipeline.refine.ground import camera_pose, estimate_ground, up_in_camera
from aios_core.pipeline.refine.motion import keys_of
from aios_core.pipeline.refine.outliers import place_outliers, rotation_outliers
from aios_core.pipeline.refine.size import betas_for_size
from aios_core.pipeline.refine.slow_errors import slow_errors_of
from aios_core.pipeline.refine.smooth import SLOW_ERRORS, smooth, smooth_curves, smooth_rotations, whittaker
from tests import noisy_mocaps
from tests.motion_clips import clips, mirrored, placed, the_body
from tests.noisy_mocaps import NetworkNoise, drift, observe, scene

RAW = RefineConfig(
    body_seconds=0, hands_seconds=0, face_seconds=0, place_seconds=0, depth_seconds=0, replace_outliers=False,
    lock_feet=False,
)  # fmt: skip
KEYPOINTS = ("keypoints_px", "left_hand_keypoints_px", "right_hand_keypoints_px")


@pytest.fixture(scope="module")
def body():
    return the_body()


def three_people(fps: Fraction = Fraction(30), pitch: float = 0.12) -> Mocap:
    cast = clips()
    return scene(
        [
            placed(cast["dancer"], -1.2, 4.5, np.pi),
            placed(cast["boxer"], 1.2, 4.6, 3.5),
            placed(cast["walker"], -1.0, 3.7, 0.0),
        ],
        fps,
        pitch,
    )


def scores(truth: Mocap, found: Mocap, body):
    pairs = zip(truth.tracks, found.tracks, strict=True)
    return [motion_scores(truth, real, found, track, body) for real, track in pairs]


@pytest.fixture(scope="module")
def measured():
    """The truth and what a noisy network saw of it."""
    truth = three_people()
    return truth, observe(truth, NetworkNoise(), seed=1)


@pytest.fixture(scope="module")
def cleaned(measured, body):
    truth, seen = measured
    return truth, refine(seen, body, RAW), refine(seen, body, RefineConfig())


def test_acceleration_errors_fall_by_more_than_80_percent_and_joints_get_better(cleaned, body):
    truth, raw, clean = cleaned
    for before, after in zip(scores(truth, raw, body), scores(truth, clean, body), strict=True):
        assert after.acceleration_m_s2 < 0.1 * before.acceleration_m_s2
        assert after.mpjpe_mm < before.mpjpe_mm
        assert after.root_mpjpe_mm < before.root_mpjpe_mm


def fastest_tenth_error(truth: Mocap, found: Mocap, body) -> float:
    from aios_core.evaluation.motion import joints_of

    errors = []
    for real, track in zip(truth.tracks, found.tracks, strict=True):
        a, b = joints_of(truth, real, body), joints_of(found, track, body)
        a, b = a - a[:, :1], b - b[:, :1]
        speed = np.linalg.norm(np.gradient(a, axis=0), axis=-1).mean(1)
        errors.append(np.linalg.norm(a - b, axis=-1)[speed >= np.quantile(speed, 0.9)].mean())
    return float(np.mean(errors))


def test_the_fastest_tenth_of_frames_gets_no_worse(cleaned, body):
    truth, raw, clean = cleaned
    assert fastest_tenth_error(truth, clean, body) < fastest_tenth_error(truth, raw, body)


def test_punches_and_steps_keep_95_percent_of_their_height(body):
    """Mean over noise: the smoothed curve at the true extremes, against the true excursion."""
    from scipy.signal import find_peaks

    from aios_core.evaluation.motion import joints_of

    truth = three_people()
    reached = excursion = 0.0
    for seed in range(3):
        found = refine(observe(truth, NetworkNoise(drift=0), seed), body, RefineConfig(lock_feet=False))
        for real, track in zip(truth.tracks, found.tracks, strict=True):
            a, b = joints_of(truth, real, body), joints_of(found, track, body)
            a, b = a - a[:, :1], b - b[:, :1]
            for joint in (4, 5, 10, 11, 18, 19, 20, 21):
                for axis in range(3):
                    true_curve, curve = a[:, joint, axis], b[:, joint, axis]
                    peaks, about = find_peaks(true_curve, prominence=0.08)
                    for k, peak in enumerate(peaks):
                        bases = about["left_bases"][k], about["right_bases"][k]
                        base = max(bases, key=lambda i: true_curve[i])
                        reached += curve[peak] - curve[base]
                        excursion += true_curve[peak] - true_curve[base]
    assert 0.95 < reached / excursion < 1.05


@pytest.fixture
def slowly_wrong(monkeypatch):
    """What a network sees of three people whose errors swing within a third of a second and hardly jitter."""

    def swinging(rng: np.random.Generator, shape: tuple[int, ...], frames: float) -> np.ndarray:
        errors = gaussian_filter1d(rng.normal(0, 1, shape), frames / 2, axis=0)
        return errors / errors.std()

    monkeypatch.setattr(noisy_mocaps, "drift", swinging)
    truth = three_people()
    noise = NetworkNoise(jitter=0.4, drift=12.0, drift_seconds=0.2, keypoints=0.002, place=0.002, depth=0.005)
    return truth, observe(truth, noise, 0)


def test_errors_that_last_are_smoothed_away_though_they_hardly_jitter(slowly_wrong, body, monkeypatch):
    truth, seen = slowly_wrong
    ours = scores(truth, refine(seen, body, RefineConfig()), body)
    monkeypatch.setattr(motion, "slow_errors_of", lambda measured, times: SLOW_ERRORS)
    by_jitter_alone = scores(truth, refine(seen, body, RefineConfig()), body)
    for after, before in zip(ours, by_jitter_alone, strict=True):
        assert after.acceleration_m_s2 < 0.7 * before.acceleration_m_s2
        assert after.root_mpjpe_mm < before.root_mpjpe_mm


def test_how_much_of_the_errors_lasts_is_told_without_regard_to_the_motion(measured, slowly_wrong):
    for track, other in zip(measured[1].tracks, slowly_wrong[1].tracks, strict=True):
        assert slow_errors_of(track.measured, measured[0].timestamps) < 1.2 * SLOW_ERRORS
        times = slowly_wrong[0].timestamps
        found = slow_errors_of(other.measured, times)
        assert found > 2 * SLOW_ERRORS
        at = times[other.measured.frames, None, None]
        way = 200 * at + 30 * np.sin(9 * at)
        moved = {name: getattr(other.measured, name) + way for name in ("keypoints_px", "joints_px")}
        assert slow_errors_of(replace(other.measured, **moved), times) == pytest.approx(found, rel=1e-3)


def test_slow_errors_weigh_the_same_at_twice_the_frame_rate():
    rng = np.random.default_rng(0)
    weight = []
    for fps in (30, 60):
        truth = three_people(Fraction(fps))
        seen = observe(truth, NetworkNoise(0, 0, keypoints=0, depth=0, place=0, flips=0, swaps=0, shape=0)).tracks[0]
        shape = seen.measured.keypoints_px.shape
        slow = gaussian_filter1d(rng.normal(0, 1, shape), 0.2 * fps, axis=0)
        wrong = 9 * slow / slow.std() + rng.normal(0, 2, shape)
        measured = replace(seen.measured, keypoints_px=seen.measured.keypoints_px + wrong)
        weight.append(slow_errors_of(measured, truth.timestamps) ** 2 / fps)  # jitter being as large at both
    assert 0.75 < weight[1] / weight[0] < 1.33


def test_too_short_a_track_has_the_usual_share_of_slow_errors(measured):
    track = measured[1].tracks[0].measured.select(np.arange(20))
    assert slow_errors_of(track, measured[0].timestamps) == SLOW_ERRORS
    assert slow_errors_of(track.select(np.arange(1)), measured[0].timestamps) == SLOW_ERRORS


def test_a_talking_face_and_a_closing_fist_keep_their_size_and_lose_their_noise(body):
    truth = three_people()
    boxer = truth.tracks[1]
    beat = np.sin(2 * np.pi * 2.2 * truth.timestamps[boxer.frames]).astype(np.float32)
    expression, hand = boxer.expression.copy(), boxer.right_hand_pose.copy()
    expression[:, 0] = 1.5 * beat
    hand[:, :12, 2] = (0.6 + 0.5 * np.sin(2 * np.pi * 0.7 * truth.timestamps[boxer.frames]))[:, None]
    real = replace(boxer, expression=expression, right_hand_pose=hand)
    seen = observe(replace(truth, tracks=(real,)), NetworkNoise(), 0)
    found, measured = refine(seen, body, RefineConfig()).tracks[0], seen.tracks[0].measured
    for name, true in (("expression", expression[:, 0]), ("right_hand_pose", hand[:, 3, 2])):
        column = (lambda values: values[:, 0]) if name == "expression" else (lambda values: values[:, 3, 2])
        before, after = column(getattr(measured, name)), column(getattr(found, name))
        assert np.abs(after - true).mean() < np.abs(before - true).mean()
        moved = true - true.mean()
        assert 0.9 < (after * moved).sum() / (moved**2).sum() < 1.1


def test_people_turned_about_and_swapped_limbs_are_replaced_and_marked(body):
    truth = three_people()
    calm, wild = (refine(observe(truth, NetworkNoise(flips=f, swaps=f), 2), body, RefineConfig()) for f in (0.0, 0.05))
    for before, after, track in zip(scores(truth, calm, body), scores(truth, wild, body), wild.tracks, strict=True):
        assert after.root_mpjpe_mm < before.root_mpjpe_mm + 8
        assert (track.key_kinds == IMPUTED).any()
    assert not any((track.key_kinds == IMPUTED).any() for track in calm.tracks)


def test_a_fast_motion_that_stays_is_no_outlier():
    angle = np.concatenate([np.zeros(15), np.full(15, 2.5)])
    quats = axis_angle_to_quat_wxyz(np.stack([0 * angle, angle, 0 * angle], -1))[:, None]
    assert not rotation_outliers(quats, np.arange(30) / 30).any()
    quats[7] = quats[20]
    assert rotation_outliers(quats, np.arange(30) / 30)[:, 0].nonzero()[0].tolist() == [7]


def test_the_last_measurement_before_a_gap_is_left_out_as_soon_as_any_other():
    times = np.r_[0:8, 14:22] / 30
    depths = np.full((16, 1), 1.6)
    depths[7] = 1.85  # half hidden already, and then lost for a fifth of a second
    assert place_outliers(depths, times, 0.1).nonzero()[0].tolist() == [7]


def test_people_whose_pose_was_replaced_stay_at_their_distance(body):
    """The joints that were measured are those of the wrong pose: bent over, it is shorter than the right one."""
    truth = scene([placed(clips()["boxer"], 0.0, 4.5, 3.5)])
    seen, track = observe(truth, NetworkNoise(0.2, flips=0, swaps=0, depth=0.003, shape=0.0), 3), truth.tracks[0]
    orient, joints_px = seen.tracks[0].measured.global_orient.copy(), seen.tracks[0].measured.joints_px.copy()
    wrong = slice(40, 46)
    bent = axis_angle_to_rotmat(orient[wrong]) @ axis_angle_to_rotmat(np.array([1.4, 0.0, 0.0]))
    orient[wrong] = rotmat_to_axis_angle(bent)
    pose = full_pose(orient[wrong], track.body_pose[wrong])
    joints = pose_joints(body, np.tile(track.betas, (6, 1)), pose, track.transl[wrong])[:, :22]
    joints_px[wrong] = truth.camera.project(joints)
    astray = replace(seen.tracks[0].measured, global_orient=orient, joints_px=joints_px)
    found = refine(replace(seen, tracks=(replace(seen.tracks[0], measured=astray),)), body, RefineConfig()).tracks[0]
    assert (found.key_kinds[wrong] == IMPUTED).all()
    depth = found.transl[:, 2] / truth.tracks[0].transl[:, 2]
    assert np.abs(np.log(depth[wrong] / np.median(depth))).max() < 0.04


def test_what_accelerates_more_than_anybody_can_is_not_followed():
    times, rng = np.arange(90) / 30, np.random.default_rng(0)
    noise, ones = rng.normal(0, 0.02, (90, 1)), np.ones(90)
    # At 4.5 m: 0.9 m there and back in a fifth of a second, and the same way in a second.
    leap = 0.2 * np.exp(-0.5 * ((times - 1.5) / 0.1) ** 2)[:, None]
    step = 0.2 / (1 + np.exp(-(times - 1.5) / 0.25))[:, None]
    free, bounded = (smooth(leap + noise, times, ones, 2.0, most) for most in (np.inf, 5 / 4.5))
    assert np.abs(bounded).max() < 0.8 * np.abs(free).max()
    assert np.abs(smooth(step + noise, times, ones, 2.0, 5 / 4.5) - step).max() < 0.025


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_turning_the_world_or_the_joint_commutes_with_smoothing(seed):
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.02, 0.05, 40))
    pose = np.cumsum(rng.normal(0, 0.15, (40, 1, 3)), axis=0)
    weights = rng.uniform(0.2, 1, (40, 1))
    turn, own = axis_angle_to_rotmat(rng.normal(0, 2, (2, 3)))
    rotmats = axis_angle_to_rotmat(pose)

    def run(matrices: np.ndarray) -> np.ndarray:
        from aios_core.geometry.rotations import rotmat_to_quat_wxyz

        return quat_wxyz_to_rotmat(smooth_rotations(rotmat_to_quat_wxyz(matrices), times, weights, 0.6))

    assert geodesic_distance(run(turn @ rotmats @ own), turn @ run(rotmats) @ own).max() < 1e-5


def test_reversed_time_gives_the_reversed_curve():
    rng = np.random.default_rng(0)
    times, values = np.cumsum(rng.uniform(0.02, 0.05, 60)), np.cumsum(rng.normal(0, 1, (60, 3)), axis=0)
    ahead = smooth(values, times, np.ones(60), 0.5)
    back = smooth(values[::-1], -times[::-1], np.ones(60), 0.5)[::-1]
    assert np.allclose(ahead, back, atol=1e-6)


def test_a_straight_line_is_kept_and_gaps_are_crossed_on_it():
    times = np.linspace(0, 2, 61)
    line = np.stack([3 * times, 1 - times], -1)
    weights = np.ones(61)
    weights[20:30] = 0
    broken = line.copy()
    broken[20:30] = 99
    assert np.allclose(smooth(broken, times, weights, 1.0), line, atol=1e-4)
    assert np.allclose(whittaker(broken[None], times, weights[None], np.ones((1, 61))), line, atol=1e-6)


def test_curves_that_are_smoothed_together_know_nothing_of_each_other():
    rng = np.random.default_rng(2)
    times, values = np.cumsum(rng.uniform(0.02, 0.05, 50)), np.cumsum(rng.normal(0, 1, (5, 50, 3)), axis=1)
    weights = rng.uniform(0.1, 1, (5, 50))
    weights[1, 10:14], weights[2, 2:], weights[3] = 0, 0, 0
    together = smooth_curves(values, times, weights, 0.5)
    alone = [smooth(v, times, w, 0.5) for v, w in zip(values, weights, strict=True)]
    assert np.allclose(together, alone, atol=1e-9)
    assert np.array_equal(smooth_curves(values, times, weights, 0.0)[0], values[0])


def test_twice_the_frame_rate_is_the_same_motion_in_seconds(body):
    noise = NetworkNoise(jitter=0.2, drift=0, flips=0, swaps=0, depth=0.002, place=0.002, shape=0)
    slow, fast = (
        refine(observe(three_people(Fraction(fps)), noise, 3), body, RefineConfig(lock_feet=False)) for fps in (30, 60)
    )
    for a, b in zip(slow.tracks, fast.tracks, strict=True):
        common = b.frames % 2 == 0
        first, second = axis_angle_to_rotmat(a.body_pose), axis_angle_to_rotmat(b.body_pose[common][: len(a)])
        assert np.degrees(geodesic_distance(first[: len(second)], second)).mean() < 1.0
        assert np.abs(a.transl[: len(second)] - b.transl[common][: len(a)]).mean() < 0.01


def test_a_mirrored_scene_gives_mirrored_people(body):
    """Left and right swap: the mirrored dancer's left wrist moves like the dancer's right one."""
    from aios_core.body.joints import MIRROR_55
    from aios_core.evaluation.motion import joints_of

    quiet = NetworkNoise(jitter=0, drift=0, flips=0, swaps=0, depth=0, place=0, keypoints=0, shape=0)
    dancer = replace(clips()["dancer"], betas=np.zeros(10))
    there = refine(observe(scene([placed(dancer, 0, 4.5, np.pi)]), quiet), body, RefineConfig())
    other = scene([placed(mirrored(dancer), 0, 4.5, -np.pi)])
    back = refine(observe(other, quiet), body, RefineConfig())
    a, b = joints_of(there, there.tracks[0], body), joints_of(back, back.tracks[0], body)
    assert np.abs(a[:, MIRROR_55[:22]] * [-1, 1, 1] - b).mean() < 0.01
    assert there.tracks[0].contacts.mean(0)[[2, 3, 0, 1]] == pytest.approx(back.tracks[0].contacts.mean(0), abs=0.06)


def test_a_cropped_frame_with_a_shifted_principal_point_gives_the_same_people(measured, body):
    _, seen = measured
    shift = np.array([-60.0, -25.0], np.float32)
    center = (seen.camera.center_px[0] + shift[0], seen.camera.center_px[1] + shift[1])
    points = ("keypoints_px", "joints_px", "left_hand_keypoints_px", "right_hand_keypoints_px", "face_keypoints_px")

    def crop(track):
        moved = {name: getattr(track.measured, name) + shift for name in points}
        boxes = track.measured.boxes_xyxy_px + np.tile(shift, 2)
        return replace(track, measured=replace(track.measured, boxes_xyxy_px=boxes, **moved))

    cropped = replace(
        seen, camera=replace(seen.camera, center_px=center), tracks=tuple(crop(track) for track in seen.tracks)
    )
    whole, part = refine(seen, body, RefineConfig()), refine(cropped, body, RefineConfig())
    for a, b in zip(whole.tracks, part.tracks, strict=True):
        assert np.abs(a.transl - b.transl).max() < 0.02


def test_planted_feet_rest_where_the_truth_says_they_stand(body):
    truth, before, after = three_people(), [], []
    for seed in (1, 2, 3):
        seen = observe(truth, NetworkNoise(), seed)
        before += scores(truth, refine(seen, body, RefineConfig(lock_feet=False)), body)
        clean = refine(seen, body, RefineConfig())
        after += scores(truth, clean, body)
    assert np.mean([s.sliding_mm for s in after]) < 5 < 0.2 * np.mean([s.sliding_mm for s in before])
    for names, allowed in (("root_mpjpe_mm", 2), ("mpjpe_mm", 5)):
        worse = [getattr(b, names) - getattr(a, names) for a, b in zip(before, after, strict=True)]
        assert np.mean(worse) < allowed
    for track in clean.tracks:
        assert soles_in_world(clean, track, body)[..., 2].min() > -0.03


def test_feet_do_not_pop_when_contacts_begin_and_end(cleaned, measured, body):
    """Joints of the legs accelerate there no more than a quarter harder than with free feet."""
    from aios_core.evaluation.motion import joints_of

    truth, _, clean = cleaned
    free = refine(measured[1], body, RefineConfig(lock_feet=False))
    for loose, locked, real in zip(free.tracks, clean.tracks, truth.tracks, strict=True):
        changes = np.flatnonzero(np.diff(locked.contacts.astype(int), axis=0).any(1))
        if not len(changes):
            continue  # the boxer stands all the time
        near = np.unique(np.clip(changes[:, None] + np.arange(-2, 3), 0, len(locked) - 3))
        hardest = []
        for mocap, track in ((free, loose), (clean, locked), (truth, real)):
            legs = joints_of(mocap, track, body)[: len(loose), [4, 5, 7, 8, 10, 11]]
            hardest.append(np.linalg.norm(np.diff(legs, 2, axis=0), axis=-1)[near].max() * 30**2)
        assert hardest[1] < 1.25 * max(hardest[0], hardest[2]), hardest


@pytest.fixture(scope="module")
def fitted(measured, body):
    return refine(measured[1], body, RefineConfig(fit_picture=True))


def test_fitting_to_the_picture_lowers_reprojection_error_and_3d_error(cleaned, fitted, body):
    truth, _, clean = cleaned
    pairs = list(zip(scores(truth, clean, body), scores(truth, fitted, body), strict=True))
    for before, after in pairs:
        assert after.root_mpjpe_mm < 0.75 * before.root_mpjpe_mm, (before, after)
        assert after.pa_mpjpe_mm < before.pa_mpjpe_mm, (before, after)
    before, after = (np.mean([(s.reprojection_px, s.mpjpe_mm) for s in side], 0) for side in zip(*pairs, strict=True))
    assert after[0] < 0.8 * before[0] and after[1] < 0.9 * before[1], (before, after)


def test_feet_of_fitted_people_rest_too(cleaned, fitted, body):
    assert np.mean([score.sliding_mm for score in scores(cleaned[0], fitted, body)]) < 5


def test_acceleration_errors_of_fitted_people_fall_by_more_than_80_percent(cleaned, fitted, body):
    truth, raw, _ = cleaned
    for before, after in zip(scores(truth, raw, body), scores(truth, fitted, body), strict=True):
        assert after.acceleration_m_s2 < 0.2 * before.acceleration_m_s2


def test_a_fit_without_2d_joints_inside_the_picture_changes_no_pose(measured, body):
    _, seen = measured
    outside = {name: np.full_like(getattr(seen.tracks[0].measured, name), -50) for name in KEYPOINTS}
    blind = replace(seen.tracks[0], measured=replace(seen.tracks[0].measured, **outside))
    config = RefineConfig(lock_feet=False)
    plain = refine(replace(seen, tracks=(blind,)), body, config)
    fitted = refine(replace(seen, tracks=(blind,)), body, replace(config, fit_picture=True))
    assert np.array_equal(plain.tracks[0].body_pose, fitted.tracks[0].body_pose)


@pytest.mark.parametrize("pitch", [0.0, 0.12, 0.3])
def test_the_ground_is_found_from_everybodys_feet(body, pitch):
    truth = three_people(pitch=pitch)
    found = refine(observe(truth, NetworkNoise(), 4), body, RefineConfig()).camera_to_world[0]
    tilt = np.degrees(np.arccos(found[2, :3] @ truth.camera_to_world[0, 2, :3]))
    assert tilt < 2.5
    assert found[2, 3] == pytest.approx(1.6, abs=0.2)


def test_a_ground_plane_that_is_given_exactly_comes_back():
    rng = np.random.default_rng(0)
    pose = camera_pose(0.02, 0.25, 1.7)
    world = np.stack([rng.uniform(-3, 3, 40), rng.uniform(3, 9, 40), np.zeros(40)], -1)
    soles = (world - pose[:3, 3]) @ pose[:3, :3]
    trunks = np.tile(up_in_camera(0.02, 0.25), (30, 1))
    found, _ = estimate_ground([soles], trunks)
    assert np.abs(found - pose).max() < 0.02
    on_a_box = soles[:5] + up_in_camera(0.02, 0.25) * 0.5
    assert np.abs(estimate_ground([soles[5:20], soles[20:], on_a_box], trunks)[0] - pose).max() < 0.03


def test_people_whose_size_is_misjudged_do_not_tilt_the_ground():
    rng = np.random.default_rng(0)
    pose = camera_pose(0.0, 0.1, 1.6)
    trunks = np.tile(up_in_camera(0.0, 0.1), (30, 1))
    tilts = []
    for misjudged in (-0.06, 0.06):
        soles = []
        for middle, share in (((-1.5, 5.0), misjudged), ((1.5, 5.0), -misjudged), ((0.0, 7.0), misjudged)):
            world = np.concatenate([middle + rng.uniform(-0.5, 0.5, (10, 2)), np.zeros((10, 1))], -1)
            soles.append((1 + share) * ((world - pose[:3, 3]) @ pose[:3, :3]))
        found, _ = estimate_ground(soles, trunks)
        tilts.append(np.degrees(np.arccos(found[2, :3] @ pose[2, :3])))
        together, _ = estimate_ground([np.concatenate(soles)], trunks)  # as if they were one person, who has one size
        assert np.degrees(np.arccos(together[2, :3] @ pose[2, :3])) > 2 * tilts[-1]
    assert max(tilts) < 2


@pytest.mark.parametrize("misjudged", [-1.5, 1.5])
def test_a_person_of_misjudged_size_is_built_as_tall_as_the_ground_says_and_seen_as_before(body, misjudged):
    truth = three_people()
    seen = observe(truth, NetworkNoise(), 0)
    measured = seen.tracks[0].measured
    betas = measured.betas + np.float32(misjudged) * np.eye(10, dtype=np.float32)[0]  # of which one is about 0.09 m
    first = raw_track(1, replace(measured, betas=betas), "misjudged")
    seen = replace(seen, tracks=(first, *seen.tracks[1:]))
    free = RefineConfig(sizes_from_ground=False)
    before, after = refine(seen, body, free), refine(seen, body, RefineConfig())
    heights = [height(body, mocap.tracks[0].betas) - height(body, truth.tracks[0].betas) for mocap in (before, after)]
    assert abs(heights[1]) < 0.75 * abs(heights[0])  # a third of the error looks like another height of the camera
    old, new = scores(truth, before, body)[0], scores(truth, after, body)[0]
    assert new.mpjpe_mm < 0.9 * old.mpjpe_mm
    assert new.reprojection_px < old.reprojection_px + 0.2
    known = refine(seen, body, RefineConfig(), shapes={1: first.betas}).tracks[0]
    assert np.array_equal(known.betas, first.betas), "a shape that is known is kept"


def test_betas_for_a_size_make_every_limb_so_much_longer(body):
    betas = np.random.default_rng(0).normal(0, 1, 10)
    for factor in (0.9, 1.0, 1.1):
        ratio = height(body, betas_for_size(body, betas, factor)) / height(body, betas)
        assert ratio == pytest.approx(factor, abs=0.01)


def test_short_gaps_are_closed_and_long_ones_stay(measured, body):
    _, seen = measured
    track = seen.tracks[0]
    kept = np.setdiff1d(np.arange(len(track)), np.r_[30:38, 80:110])
    holes = replace(seen, tracks=(replace(track, measured=track.measured.select(kept)),))
    found = refine(holes, body, RefineConfig()).tracks[0]
    assert found.gaps() == [(80, 110)]
    assert found.key_kinds[30:38].tolist() == [INTERPOLATED] * 8
    assert (found.confidence[30:38] == 0).all()
    assert MEASURED in found.key_kinds


def test_keys_fill_only_what_is_short():
    keys = keys_of(np.array([0, 1, 4, 20, 21]), np.arange(30) / 10, 0.5)
    assert keys.frames.tolist() == [0, 1, 2, 3, 4, 20, 21]
    assert keys.is_measured.tolist() == [True, True, False, False, True, True, True]
    assert keys.stretches == (slice(0, 5), slice(5, 7))


def test_somebody_who_jumps_does_not_touch_the_ground():
    times = np.arange(60) / 30
    height = np.maximum(0, np.sin(2 * np.pi * times / 2) * 0.4)
    soles = np.zeros((60, 4, 3)) + [0, 4, 0]
    soles[..., 2] = height[:, None]
    standing = detect_contacts(soles, np.tile([0, 0, 1.6], (60, 1)), times)
    assert not standing[8:22].any()
    assert standing[35:].all()


def test_a_foot_that_only_seems_to_wander_keeps_standing_and_one_that_steps_does_not():
    times = np.arange(120) / 30
    wander = gaussian_filter1d(drift(np.random.default_rng(0), (120, 2, 3), 9), 4, axis=0).repeat(2, 1)
    soles = np.array([0.0, 4.0, 0.0]) + 0.03 * wander
    soles[:, :2, 0] += np.interp(np.arange(120), [54, 66], [0, 0.5])[:, None]
    assert np.linalg.norm(np.gradient(soles[:, 2], times, axis=0), axis=-1).max() > 0.15, "faster than feet that stand"
    standing = detect_contacts(soles, np.tile([0, 0, 1.6], (120, 1)), times)
    assert standing[:, 2:].mean() > 0.97
    assert standing[:54, :2].mean() > 0.9 and standing[66:, :2].mean() > 0.9
    assert standing[57:63, :2].mean() < 0.2


@pytest.mark.parametrize("count", [1, 2, 3])
def test_photographs_and_very_short_clips_work(measured, body, count):
    _, seen = measured
    tracks = tuple(replace(t, measured=t.measured.select(np.arange(count))) for t in seen.tracks)
    short = replace(seen, timestamps=seen.timestamps[:count], tracks=tracks)
    found = refine(short, body, RefineConfig())
    assert [len(track) for track in found.tracks] == [count] * 3
    assert all(np.isfinite(track.transl).all() for track in found.tracks)


def test_a_camera_that_drives_past_leaves_a_standing_person_where_he_stands(body):
    """Everything is measured from the moving camera; in the world the boxer's feet stay."""
    truth = scene([placed(clips()["boxer"], 0.0, 4.5, 3.5)])
    count = truth.frame_count
    path = np.tile(truth.camera_to_world[0], (count, 1, 1))
    path[:, 0, 3] = np.linspace(-0.5, 0.5, count)
    moved = replace(
        truth.tracks[0],
        transl=truth.tracks[0].transl - np.stack([path[:, 0, 3], *np.zeros((2, count))], -1).astype(np.float32),
    )
    joints_shift = truth.camera.focal_px * path[:, 0, 3] / moved.transl[:, 2]
    pixels = replace(
        moved, keypoints_px=moved.keypoints_px - joints_shift[:, None, None] * np.array([1, 0], np.float32)
    )
    seen = observe(replace(truth, tracks=(pixels,)), NetworkNoise(flips=0, swaps=0), 0)
    found = refine(replace(seen, camera_to_world=path), body, RefineConfig())
    assert found.camera_to_world.shape == (count, 4, 4)
    world = soles_in_world(found, found.tracks[0], body)
    assert np.ptp(world[..., 0].mean(1)) < 0.35, "a person under a standing camera would have moved by a metre"
    assert found.tracks[0].contacts.mean() > 0.5


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_who_hides_somebody_stands_before_them(body, seed):
    """In every frame in which boxes overlap, depths are in the true order."""
    from aios_core.evaluation.motion import joints_of
    from aios_core.geometry.boxes import iou_matrix

    walker = clips()["walker"]
    truth = scene([placed(walker, -1.0, 4.1, 0.0), placed(walker, 1.0, 4.8, np.pi)])
    found = refine(observe(truth, NetworkNoise(), seed), body, RefineConfig())
    near, far = (joints_of(found, track, body)[:, 0, 2] for track in found.tracks)
    boxes = [track.boxes_xyxy_px for track in truth.tracks]
    overlapping = [i for i in range(len(near)) if iou_matrix(boxes[0][i : i + 1], boxes[1][i : i + 1])[0, 0] > 0.05]
    assert len(overlapping) > 10
    assert (near < far)[overlapping].all()
