"""The same person stays the same person: crossings, occlusions, ways out of the picture and back, missed detections."""

from collections import Counter
from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pytest

from aios_core.body.joints import MIRROR_COCO17
from aios_core.body.skinning import mirrored_body_pose
from aios_core.evaluation.identity import FrameBoxes, IdentityScores, frame_boxes, identity_scores
from aios_core.pipeline.link import is_somebody, one_body, whole_people
from aios_core.pipeline.people import FramePeople, joined, without_duplicates
from aios_core.pipeline.track import Fragment, Tracker, _sights, pair_costs, same_body
from tests.mocaps import make_mocap
from tests.tracking_scenes import (
    BIRTH_SCORE,
    FAIR,
    DetectorNoise,
    Error,
    Scene,
    circling,
    crossing,
    crowd,
    detect,
    entrances,
)

SHORT_GAP_SECONDS = 0.5
"""Gaps up to here are closed in a Mocap, so they are closed here."""


def tracked(scene: Scene, frames, memory_seconds: float = 0.7) -> list[np.ndarray]:
    """For every frame the person of each detection, 0 for nobody."""
    tracker = Tracker(memory_seconds)
    ids = [tracker.update(people, float(t), BIRTH_SCORE) for t, (people, _) in zip(scene.times, frames, strict=True)]
    person = whole_people(tracker)
    return [np.array([person.get(int(i), 0) for i in row], int) for row in ids]


def found_boxes(scene: Scene, frames, people: list[np.ndarray]) -> list[FrameBoxes]:
    """The tracked boxes with short gaps closed by straight lines, those too short to be anybody left out."""
    seen: dict[int, dict[int, np.ndarray]] = {}
    for t, (row, (detections, _)) in enumerate(zip(people, frames, strict=True)):
        for i in np.argsort(detections.scores):  # of two sights of one person the better stays
            if row[i]:
                seen.setdefault(int(row[i]), {})[t] = detections.boxes_xyxy_px[i]
    step = float(np.median(np.diff(scene.times)))
    answer: list[tuple[list, list]] = [([], []) for _ in scene.times]
    for person, boxes in seen.items():
        at = np.array(sorted(boxes))
        if not is_somebody(at, step):
            continue
        for t in range(at[0], at[-1] + 1):
            after = int(np.searchsorted(at, t))
            a, b = at[max(after - 1, 0)], at[after]
            if t == b or (b - a) * step <= SHORT_GAP_SECONDS:
                share = 1.0 if t == b else (t - a) / (b - a)
                answer[t][0].append(person)
                answer[t][1].append((1 - share) * boxes[int(a)] + share * boxes[int(b)])
    return [FrameBoxes(np.array(ids, int), np.array(b, float).reshape(-1, 4)) for ids, b in answer]


def true_boxes(scene: Scene) -> list[FrameBoxes]:
    """Everybody who can be seen."""
    visible, boxes = scene.visible(), scene.boxes()
    return [FrameBoxes(np.flatnonzero(visible[:, t]), boxes[visible[:, t], t]) for t in range(len(scene.times))]


def score(scene: Scene, noise: DetectorNoise, seed: int) -> IdentityScores:
    frames = detect(scene, noise, seed)
    return identity_scores(found_boxes(scene, frames, tracked(scene, frames)), true_boxes(scene))


@pytest.mark.parametrize("make", [crossing, circling])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_nobody_is_swapped_where_people_cross(make, seed):
    found = score(make(), FAIR, seed)
    assert found.identity_switches == 0
    assert found.idf1 > 0.96, "who is hidden keeps a closed gap, which counts against it"


@pytest.mark.parametrize("make", [crossing, circling, entrances, lambda: crowd(5)])
def test_with_a_tenth_of_detections_missing_identities_hold(make):
    found = [score(make(), replace(FAIR, dropped=0.1), seed).idf1 for seed in range(2)]
    assert np.mean(found) >= 0.95


def test_people_who_leave_the_picture_are_known_again():
    scene = entrances()
    frames = detect(scene, FAIR, 1)
    assert len({int(i) for row in tracked(scene, frames) for i in row if i}) == 4


def test_shuffled_detections_give_the_same_tracks():
    scene = crowd(5, seconds=4)
    frames = detect(scene, replace(FAIR, dropped=0.05), 0)
    rng = np.random.default_rng(9)
    orders = [rng.permutation(len(people)) for people, _ in frames]
    shuffled = [(people.select(o), who[o]) for (people, who), o in zip(frames, orders, strict=True)]
    first, second = tracked(scene, frames), tracked(scene, shuffled)
    assert all(np.array_equal(a[o], b) for a, b, o in zip(first, second, orders, strict=True))


def test_a_mirrored_scene_gives_the_same_tracks():
    scene = circling(seconds=3)
    frames = detect(scene, FAIR, 0)

    def flip(people):
        boxes = people.boxes_xyxy_px * [-1, 1, -1, 1] + [1280, 0, 1280, 0]
        return replace(
            people, boxes_xyxy_px=boxes[:, [2, 1, 0, 3]], keypoints_px=people.keypoints_px * [-1, 1] + [1280, 0]
        )

    mirrored = [(flip(people), who) for people, who in frames]
    first, second = tracked(scene, frames), tracked(scene, mirrored)
    pairs = {(int(a), int(b)) for x, y in zip(first, second, strict=True) for a, b in zip(x, y, strict=True)}
    assert len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(pairs)


def test_reversed_video_gives_the_same_people():
    scene = circling(seconds=4)
    frames = detect(scene, FAIR, 0)
    back = replace(scene, joints=scene.joints[:, ::-1], pose=scene.pose[:, ::-1])
    first, second = tracked(scene, frames), tracked(back, frames[::-1])[::-1]
    pairs = [(int(a), int(b)) for x, y in zip(first, second, strict=True) for a, b in zip(x, y, strict=True) if a and b]
    most = max(set(pairs), key=pairs.count)
    agreeing = [p for p in pairs if (p[0] == most[0]) == (p[1] == most[1])]
    assert len(agreeing) > 0.98 * len(pairs)


def test_twice_the_frame_rate_gives_the_same_people():
    for fps in (30.0, 60.0):
        found = score(circling(fps=fps), FAIR, 0)
        assert found.identity_switches == 0


def test_somebody_alone_stays_the_same_however_strangely_seen():
    scene = crossing()
    frames = [(people.select(np.flatnonzero(who == 0)), who[who == 0]) for people, who in detect(scene, FAIR, 0)]
    odd, _ = frames[20]
    limbs = odd.keypoints_px + 0.08 * np.random.default_rng(0).normal(0, 1, odd.keypoints_px.shape) * 300
    frames[20] = replace(odd, keypoints_px=limbs, body_pose=odd.body_pose + 1, colours=odd.colours + 30), frames[20][1]
    assert {int(i) for row in tracked(scene, frames) for i in row} == {1}


def test_somebody_seen_strangely_beside_another_who_is_not_stays_the_same():
    frames = detect(crossing(), FAIR, 0)
    close = next(t for t, (people, _) in enumerate(frames) if len(people) == 2 and gap(people) < -20)
    people, who = frames[close]
    odd = (who == 0)[:, None, None]
    limbs = people.keypoints_px + odd * 0.08 * np.random.default_rng(0).normal(0, 1, people.keypoints_px.shape) * 300
    pose, colours = people.body_pose + odd, people.colours + 30 * odd
    frames[close] = replace(people, keypoints_px=limbs, body_pose=pose, colours=colours), who
    tracker = Tracker(0.7)
    numbers = [tracker.update(people, t / 30, BIRTH_SCORE) for t, (people, _) in enumerate(frames[: close + 1])]
    assert {int(number) for row in numbers for number in row} == {1, 2}


def gap(people: FramePeople) -> float:
    """Pixels between the boxes of two people; less than 0 where they overlap."""
    return float(np.maximum(*people.boxes_xyxy_px[:, 0]) - np.minimum(*people.boxes_xyxy_px[:, 2]))


def test_a_second_sight_of_somebody_is_nobody_new():
    scene = crossing()
    noise = DetectorNoise(duplicates=0.2)
    frames = detect(scene, noise, 3)
    boxes = found_boxes(scene, frames, tracked(scene, frames))
    assert len({int(i) for frame in boxes for i in frame.ids}) == 2


def test_a_weak_second_sight_of_somebody_does_not_bring_back_who_is_missing():
    people, who = detect(crossing(), replace(FAIR, missed=0), 0)[0]
    usual = people.select(np.flatnonzero(who == 0))
    other = replace(
        usual, body_pose=usual.body_pose + 1, colours=usual.colours + 40, tokens=-usual.tokens, betas=usual.betas + 5
    )
    both = [np.concatenate([getattr(other, f.name), getattr(usual, f.name)]) for f in fields(FramePeople)]
    both = replace(FramePeople(*both), scores=np.array([0.9, 0.2], np.float32))
    for missing_seconds, expected in ((0.1, [2, 1]), (0.5, [2, 0])):
        tracker = Tracker(0.7)
        assert tracker.update(usual, 0.0, BIRTH_SCORE).tolist() == [1]
        assert tracker.update(other, missing_seconds - 0.05, BIRTH_SCORE).tolist() == [2]
        assert tracker.update(both, missing_seconds, BIRTH_SCORE).tolist() == expected


def with_sides_swapped(people: FramePeople) -> FramePeople:
    """What a network says that takes them for seen from the other side."""
    keypoints, pose = people.keypoints_px[:, MIRROR_COCO17], mirrored_body_pose(people.body_pose)
    return replace(people, keypoints_px=keypoints, body_pose=pose)


def test_a_person_seen_from_the_other_side_is_the_same_person():
    exact = replace(FAIR, keypoints=Error(0, 0, 0), box=Error(0, 0, 0), pose_deg=Error(0, 0, 0))
    frames = [people for people, _ in detect(crossing(), exact, 0)[:40]]
    usual, noise = Tracker(0.7), Tracker(0.7)
    for t, people in enumerate(frames):
        other = with_sides_swapped(people) if t % 10 > 6 else people
        assert np.array_equal(noise.update(other, t / 30, 0.5), usual.update(people, t / 30, 0.5))
    costs = [pair_costs(_sights(frames[0], 0.0), _sights(way, 0.03), noise._noise)
             for way in (frames[1], with_sides_swapped(frames[1]))]  # fmt: skip
    assert np.allclose(*costs)


def test_a_second_sight_from_the_other_side_is_the_same_body():
    people = detect(crossing(), FAIR, 0)[0][0].select(np.array([0]))
    both = joined([people, with_sides_swapped(people)])
    assert same_body(both).tolist() == [[False, True], [True, False]]
    assert len(without_duplicates(both, 0.4)) == 1


def test_who_is_half_hidden_lends_no_looks():
    people = next(p for p, _ in detect(crossing(), FAIR, 0) if len(p) == 2)
    near, far = np.array([100.0, 100, 300, 600]), np.array([150.0, 150, 320, 580])
    for covering in (near, near + 1000):
        boxes = np.stack([covering, far]).astype(np.float32)
        camera = np.array([[1 / 3.0, 0, 0], [1 / 5.0, 0, 0]], np.float32)
        keypoints = np.stack([np.stack([covering[:2], far[2:]])] * 17, 1)  # joints are not where boxes overlap
        tracker = Tracker(0.7)
        tracker.update(replace(people, boxes_xyxy_px=boxes, camera=camera, keypoints_px=keypoints), 0.0)
        lent = [len(fragment.looks["colours"].means) for fragment in tracker.fragments.values()]
        assert sorted(lent) == ([0, 1] if covering is near else [1, 1])


def test_a_hundred_people_take_less_than_ten_milliseconds_a_frame():
    import time

    frames = [people for people, _ in detect(crowd(30, seconds=1.0), FAIR, 0)]
    # A hundred people of several such crowds side by side, far enough apart not to be mixed up.
    tracker, spent = Tracker(0.7), []
    for t, people in enumerate(frames):
        copies = [
            replace(people, boxes_xyxy_px=people.boxes_xyxy_px + k * 4000, keypoints_px=people.keypoints_px + k * 4000)
            for k in range(100 // max(len(people), 1) + 1)
        ]
        everybody = FramePeople(**{
            f.name: np.concatenate([getattr(c, f.name) for c in copies])[:100] for f in fields(FramePeople)
        })  # fmt: skip
        begun = time.process_time()
        tracker.update(everybody, t / 30, BIRTH_SCORE)
        spent.append(time.process_time() - begun)
    assert len(everybody) == 100
    assert np.median(spent) < 0.03, "the benchmark states the number; this guards against another order of growth"


def test_the_truth_scores_one_and_a_swap_is_a_switch():
    mocap = make_mocap()
    boxes = frame_boxes(mocap)
    boxes = [FrameBoxes(f.ids, f.boxes_xyxy_px + 300.0 * (f.ids == 2)[:, None]) for f in boxes]
    perfect = identity_scores(boxes, boxes)
    assert (perfect.hota, perfect.idf1, perfect.mota, perfect.identity_switches) == pytest.approx((1, 1, 1, 0))
    swapped = [FrameBoxes(3 - f.ids if t >= 9 else f.ids, f.boxes_xyxy_px) for t, f in enumerate(boxes)]
    found = identity_scores(swapped, boxes)
    # Of 12 and 7 boxes, 3 each carry the other's name in the last three frames: 2 x 13 right ones of 2 x 19.
    assert found.identity_switches == 2
    assert found.idf1 == pytest.approx(13 / 19)
    nobody = [FrameBoxes(np.zeros(0, int), np.zeros((0, 4))) for _ in boxes]
    assert identity_scores(nobody, boxes).idf1 == 0


def on_one_body(shared: int, together: int) -> bool:
    """Whether two numbers are one person that were on one body in so many of the frames in which both were seen."""
    (people, _), *_ = detect(crossing(seconds=0.2), FAIR, 0)
    fragments = {}
    for (number, other, count), sight in zip(((1, 2, 60), (2, 1, 40)), _sights(people, 0.0), strict=True):
        fragments[number] = Fragment(sight, sight, count, shared=Counter({other: shared}))
        fragments[number].together[other] = together
    return len(set(one_body(fragments).values())) == 1


def test_two_numbers_seen_on_one_body_are_one_person():
    assert on_one_body(shared=8, together=10)
    assert not on_one_body(shared=1, together=1), "once is an encounter"
    assert not on_one_body(shared=8, together=38), "two who are seen side by side are two"


def test_two_numbers_that_take_turns_on_one_body_are_one_person():
    scene, tracker = crossing(seconds=2.0), Tracker(0.7)
    alone = replace(scene, joints=scene.joints[:1], pose=scene.pose[:1], betas=scene.betas[:1])
    for t, (people, _) in enumerate(detect(alone, FAIR, 0)):
        if t // 4 % 2:  # the network's other answer: the same outline, another pose, farther away
            people = replace(people, body_pose=people.body_pose + 0.8, camera=people.camera * 0.4)
        tracker.update(people, float(scene.times[t]), BIRTH_SCORE)
    spans = sorted((f.first.time, f.last.time) for f in tracker.fragments.values())
    assert len(spans) == len(scene.times) / 4
    assert all(end < begin for (_, end), (begin, _) in pairwise(spans)), "numbers are cut where they take turns"
    assert len(set(whole_people(tracker).values())) == 1
