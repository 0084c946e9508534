"""Evaluation: COCO's and AGORA's rules by hand and against pycocotools; a perfect answer measures as one."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from aios_core.body import skinning
from aios_core.body.files import load_body, open_body
from aios_core.body.joints import COCO17_FROM_137, FACE6_FROM_137, LEFT_HAND6_FROM_137, RIGHT_HAND6_FROM_137
from aios_core.pipeline.people import FramePeople
from tests.aios_synth import smplx_arrays
from tests.training.humandata_files import arrays_of, everybody, save, write_pictures
from tests.training.test_training import make_sample
from training.data.humandata.kinds import KINDS
from training.data.sample import write_shard
from training.evaluate import main
from training.evaluation import coco
from training.evaluation.agora import Detection, match_people, normalised, total, whole_body_error
from training.evaluation.sheet import picked
from training.evaluation.tally import MATCHED_137, Tally, add_detections, add_matches, summary
from training.evaluation.truth import HumanDataTruths, truth_of_sample
from training.evaluation.vertex_parts import BODY, PARTS, vertices_of
from training.metrics import acceleration_error, pa_pve, pve

SIZE = (1000, 1000)


# --- COCO ---------------------------------------------------------------------------------------------------------


def boxes_case(scores, boxes, truth, **more):
    return coco.compare_boxes(np.array(scores), np.array(boxes, float).reshape(-1, 4), np.array(truth, float), **more)


def test_box_ap_and_ar_on_hand_worked_cases():
    square = [0, 0, 100, 100]
    assert coco.curves([boxes_case([0.9], [square], [square])]).ap == pytest.approx(1)
    # Overlap 0.82: right up to a threshold of 0.80, that is seven of ten.
    near = coco.curves([boxes_case([0.9], [[0, 0, 100, 82]], [square])])
    assert near.ap == pytest.approx(0.7) and near.ar == pytest.approx(0.7)
    assert near.ap_at(0.5) == pytest.approx(1) and near.ap_at(0.95) == 0
    # A better scored false box before the right one halves the precision.
    behind = coco.curves([boxes_case([0.9, 0.8], [[500, 500, 600, 600], square], [square])])
    assert behind.ap == pytest.approx(0.5) and behind.ar == pytest.approx(1)
    # One of two people found: precision 1 up to a recall of 0.5, which are 51 of the 101 recalls.
    half = coco.curves([boxes_case([0.9], [square], [square, [500, 500, 600, 600]])])
    assert half.ap == pytest.approx(51 / 101) and half.ar == pytest.approx(0.5)
    assert np.isnan(coco.curves([boxes_case([0.9], [square], np.zeros((0, 4)))]).ap)
    assert coco.curves([boxes_case([], [], [square])]).ap == 0


def test_ignored_people_and_those_of_other_sizes_count_neither_way():
    square, small = [0, 0, 100, 100], [500, 500, 510, 510]
    ignored = boxes_case([0.9, 0.8], [small, square], [small, square], ignored=np.array([True, False]))
    assert coco.curves([ignored]).ap == pytest.approx(1)
    both = boxes_case([0.9, 0.8], [small, square], [small, square])
    assert coco.curves([both], "large").ap == coco.curves([both], "small").ap == pytest.approx(1)
    assert np.isnan(coco.curves([both], "medium").ap)
    crowd = boxes_case(
        [0.9, 0.8, 0.7], [[0, 0, 50, 50], [50, 0, 100, 50], small], [square, small], crowd=np.array([True, False])
    )
    assert coco.curves([crowd]).ap == pytest.approx(1), "parts of a crowd are no false alarms"


def test_keypoint_similarity_on_hand_worked_cases():
    truth, seen = np.zeros((1, 17, 2)), np.ones((1, 17), bool)
    area, box = np.array([10000.0]), np.array([[0.0, 0, 100, 100]])
    off = np.zeros((1, 17, 2))
    off[0, :, 0] = 2 * coco.COCO_SIGMAS * 100  # one tolerance away: exp(-1/2)
    found = coco.compare_keypoints(np.ones(1), off, truth, seen, box, area)
    assert found.similarity[0, 0] == pytest.approx(np.exp(-0.5))
    half = np.where(np.arange(17)[None, :, None] < 8, off, 0)
    seen[0, 8:] = False
    assert coco.compare_keypoints(np.ones(1), half, truth, seen, box, area).similarity[0, 0] == pytest.approx(
        np.exp(-0.5)
    )
    nobody = coco.compare_keypoints(np.ones(1), half, truth, seen & False, box, area)
    assert nobody.ignored[0] and nobody.similarity[0, 0] == pytest.approx(1)


def _random_pictures(rng, count=30):
    """(scores, found xyxy, true xyxy, crowd) with near misses, misses, false alarms, ties of overlap."""
    for _ in range(count):
        n = rng.integers(0, 7)
        corner, side = rng.uniform(0, 400, (n, 2)), np.exp(rng.uniform(2, 5.5, (n, 2)))
        truth = np.concatenate([corner, corner + side], -1)
        keep = rng.random(n) < 0.8
        found = truth[keep] + rng.normal(0, 0.08, (keep.sum(), 4)) * np.tile(side[keep], 2)
        found = np.concatenate([found, found[:1], rng.uniform(0, 200, (2, 4)) + [0, 0, 200, 200]])
        found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
        yield np.round(rng.random(len(found)), 6), found, truth, rng.random(n) < 0.1


def _pycocotools(kind, truths, found):
    pytest.importorskip("pycocotools")
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    reference = COCO()
    count = 1 + max([t["image_id"] for t in [*truths, *found]])
    reference.dataset = {"images": [{"id": i} for i in range(count)], "categories": [{"id": 1}], "annotations": truths}
    reference.createIndex()
    run = COCOeval(reference, reference.loadRes(found), kind)
    run.evaluate()
    run.accumulate()
    run.summarize()
    return run.stats


def test_box_ap_and_ar_equal_pycocotools():
    rng, truths, found, pictures = np.random.default_rng(0), [], [], []
    for i, (scores, boxes, truth, crowd) in enumerate(_random_pictures(rng)):
        pictures.append(coco.compare_boxes(scores, boxes, truth, crowd=crowd))
        for box, many in zip(truth, crowd, strict=True):
            x, y, w, h = *box[:2], *(box[2:] - box[:2])
            truths.append({"id": len(truths) + 1, "image_id": i, "category_id": 1, "bbox": [x, y, w, h], "area": w * h,
                           "iscrowd": int(many)})  # fmt: skip
        for score, box in zip(scores, boxes, strict=True):
            found.append({"image_id": i, "category_id": 1, "bbox": [*box[:2], *(box[2:] - box[:2])], "score": score})
    stats = _pycocotools("bbox", truths, found)
    whole = coco.curves(pictures)
    areas = [coco.curves(pictures, area) for area in ("small", "medium", "large")]
    ours = [whole.ap, whole.ap_at(0.5), whole.ap_at(0.75), *(a.ap for a in areas)]
    ours += [*(coco.curves(pictures, most=most).ar for most in (1, 10, 100)), *(a.ar for a in areas)]
    assert ours == pytest.approx(stats.tolist(), abs=1e-9)
    assert 0.2 < whole.ap < 0.9


def test_keypoint_ap_and_ar_equal_pycocotools():
    rng, truths, found, pictures = np.random.default_rng(1), [], [], []
    for i, (_, _, truth, crowd) in enumerate(_random_pictures(rng)):
        crowd &= False
        n = len(truth)
        side = truth[:, None, 2:] - truth[:, None, :2]
        points = truth[:, None, :2] + rng.random((n, 17, 2)) * side
        seen = (rng.random((n, 17)) < 0.7) & (rng.random((n, 1)) < 0.85)
        area = side[:, 0].prod(-1) * 0.6
        guess = np.concatenate([points + rng.normal(0, 0.03, points.shape) * side, rng.uniform(0, 400, (2, 17, 2))])
        scores = np.round(rng.random(len(guess)), 6)
        pictures.append(coco.compare_keypoints(scores, guess, points, seen, truth, area, crowd))
        for box, p, s, a in zip(truth, points, seen, area, strict=True):
            flat = np.concatenate([p, 2.0 * s[:, None]], -1).ravel().tolist()
            person = {
                "id": len(truths) + 1,
                "image_id": i,
                "category_id": 1,
                "keypoints": flat,
                "area": a,
                "iscrowd": 0,
            }
            truths.append(person | {"num_keypoints": int(s.sum()), "bbox": [*box[:2], *(box[2:] - box[:2])]})
        for score, p in zip(scores, guess, strict=True):
            flat = np.concatenate([p, np.ones((17, 1))], -1).ravel().tolist()
            found.append({"image_id": i, "category_id": 1, "keypoints": flat, "score": score})
    stats = _pycocotools("keypoints", truths, found)
    most = coco.MAX_POSES
    whole = coco.curves(pictures, most=most)
    medium, large = (coco.curves(pictures, area, most) for area in ("medium", "large"))
    ours = [whole.ap, whole.ap_at(0.5), whole.ap_at(0.75), medium.ap, large.ap]
    ours += [whole.ar, whole.recall[0], whole.recall[5], medium.ar, large.ar]
    assert ours == pytest.approx(stats.tolist(), abs=1e-9)
    assert 0.2 < whole.ap < 0.95


# --- AGORA --------------------------------------------------------------------------------------------------------


def figure(x, y=500.0, size=100.0):
    return np.array([[x, y], [x + size, y], [x, y + size], [x + size, y + size]])


def test_the_nearest_pairs_are_matched_first_and_everybody_once():
    truth = np.stack([figure(100), figure(140)])
    predicted = np.stack([figure(130), figure(150), figure(700)])
    # 130 and 150 are both ten pixels from 140; 130 comes first in the order of pairs, and 100 is left for 150.
    matches = match_people(predicted, truth, SIZE)
    assert dict(zip(matches.predictions.tolist(), matches.people.tolist(), strict=True)) == {0: 1, 1: 0}
    assert matches.detection == Detection(found=2, missed=0, false_alarms=1)
    matches = match_people(predicted[1:], truth, SIZE)
    assert (matches.predictions.tolist(), matches.people.tolist()) == ([0], [1])
    assert matches.detection == Detection(found=1, missed=1, false_alarms=1)


def test_pairs_whose_boxes_hardly_overlap_are_no_matches():
    just, hardly = figure(100 + 80), figure(100 + 83)  # IoU 20/180 = 0.111 and 17/183 = 0.093
    truth = figure(100)[None]
    assert match_people(just[None], truth, SIZE).detection == Detection(1, 0, 0)
    assert match_people(hardly[None], truth, SIZE).detection == Detection(0, 1, 1)


def test_ignored_people_are_neither_missed_nor_false_alarms():
    truth = np.stack([figure(100), figure(500)])
    ignored = np.array([False, True])
    for predicted, expected in (
        ([figure(100), figure(500)], Detection(1, 0, 0)),
        ([figure(100)], Detection(1, 0, 0)),
        ([figure(500), figure(505)], Detection(0, 1, 1)),
    ):
        matches = match_people(np.stack(predicted), truth, SIZE, ignored=ignored)
        assert matches.detection == expected
        assert len(matches.alone) == expected.false_alarms and 0 not in matches.alone


def test_empty_pictures_and_unannotated_people_are_counted():
    nothing = np.zeros((0, 4, 2))
    assert match_people(nothing, nothing, SIZE).detection == Detection(0, 0, 0)
    assert match_people(figure(1)[None], nothing, SIZE).detection == Detection(0, 0, 1)
    assert match_people(nothing, figure(1)[None], SIZE).detection == Detection(0, 1, 0)
    unknown = np.zeros((1, 4), bool)
    assert match_people(figure(1)[None], figure(1)[None], SIZE, unknown).detection == Detection(0, 1, 1)


def test_unknown_joints_take_no_part_in_the_distance():
    truth = np.stack([figure(100), figure(300)])
    truth[0, 3] = [9000, 9000]
    known = np.ones((2, 4), bool)
    known[0, 3] = False
    matches = match_people(np.stack([figure(310), figure(95)]), truth, SIZE, known)
    assert matches.people.tolist() == [1, 0]


def test_f1_precision_recall_and_normalised_errors_by_hand():
    detection = total([Detection(5, 1, 2), Detection(1, 1, 0)])
    assert detection == Detection(6, 2, 2)
    assert detection.precision == detection.recall == detection.f1 == pytest.approx(0.75)
    assert Detection(3, 1, 0).f1 == pytest.approx(6 / 7)
    assert normalised(90.0, detection) == pytest.approx(120)
    assert normalised(90.0, Detection(0, 1, 0)) == np.inf
    # The paper's table 6: OSX with true boxes, and AiOS.
    assert whole_body_error(75.2, 47.5, 48.8, 39.4) == pytest.approx(120.4, abs=0.05)
    assert pytest.approx(106.4, abs=0.05) == 101.1 / 0.95


# --- errors -------------------------------------------------------------------------------------------------------


def test_vertex_errors_by_hand():
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 1, (2, 50, 3))
    root, moved_root = truth[:, 0], truth[:, 0] + [1, 2, 3]
    assert pve(truth + [1, 2, 3], truth, moved_root, root) == pytest.approx([0, 0])
    assert pve(truth + [1, 2, 3], truth, root, root) == pytest.approx([np.sqrt(14)] * 2)
    half = truth.copy()
    half[:, :25] += [0, 0.2, 0]
    assert pve(half, truth, root, root) == pytest.approx([0.1, 0.1])
    turn = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]])
    assert pa_pve(truth @ turn.T * 0.4 - 7, truth) == pytest.approx([0, 0], abs=1e-9)
    assert pa_pve(half, truth).max() < 0.1, "a similarity transform takes up a part of the shift"


def test_acceleration_error_by_hand():
    t = np.arange(5.0)[:, None, None]
    truth = np.zeros((5, 2, 3))
    falling = truth + 0.5 * 3.0 * t**2 * [0, 1, 0]  # 3 a frame squared
    assert acceleration_error(falling, truth) == pytest.approx([3, 3, 3])
    assert acceleration_error(falling, truth, 0.1) == pytest.approx([300, 300, 300])
    assert acceleration_error(truth + 4 + 7 * t, truth) == pytest.approx([0, 0, 0]), "steady motion has none"


@pytest.fixture(scope="module")
def smplx(tmp_path_factory):
    path = tmp_path_factory.mktemp("body") / "SMPLX_NEUTRAL.npz"
    np.savez(path, **smplx_arrays())
    return path


def test_the_parts_share_all_vertices_and_lie_where_they_should(smplx):
    for body in (open_body(), load_body(smplx)):
        parts = [vertices_of(body, part) for part in (BODY, *PARTS)]
        assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(len(body.v_template)))
    body = open_body()
    trunk, left, right, face = (body.v_template[vertices_of(body, part)] for part in (BODY, *PARTS))
    joints = body.joint_template
    assert left[:, 0].min() > joints[18, 0] and right[:, 0].max() < joints[19, 0], "hands begin behind the elbows"
    assert abs(len(left) - len(right)) < 0.02 * len(left)
    assert face[:, 1].min() > joints[9, 1] and trunk[:, 1].min() < joints[7, 1]


# --- from pictures to numbers -------------------------------------------------------------------------------------


def perfect(truth, scores=None) -> FramePeople:
    """What a network would say that knows the truth."""
    n = len(truth.pose)
    points = truth.joints_px
    return FramePeople(
        scores=np.linspace(0.9, 0.8, n) if scores is None else scores, boxes_xyxy_px=truth.boxes_xyxy_px,
        keypoints_px=points[:, COCO17_FROM_137], left_hand_keypoints_px=points[:, LEFT_HAND6_FROM_137],
        right_hand_keypoints_px=points[:, RIGHT_HAND6_FROM_137], face_keypoints_px=points[:, FACE6_FROM_137],
        global_orient=truth.pose[:, 0], body_pose=truth.pose[:, 1:22], left_hand_pose=truth.pose[:, 25:40],
        right_hand_pose=truth.pose[:, 40:], jaw_pose=truth.pose[:, 22], expression=truth.expression,
        betas=truth.betas, camera=np.ones((n, 3)), tokens=np.zeros((n, 2)), colours=np.zeros((n, 7, 3)),
    )  # fmt: skip


def measured(truth, people, body=None) -> dict:
    tally = Tally(body or open_body())
    matches = match_people(perfect_joints(truth, people), truth.joints_px[:, MATCHED_137], truth.rgb.shape[1::-1],
                           truth.joints_known[:, MATCHED_137], truth.ignored)  # fmt: skip
    add_detections(tally, people, people, truth)
    add_matches(tally, people, truth, matches, tally.body.family)
    return summary(tally)


def perfect_joints(truth, people):
    """The true 2-d joints of those predicted, found again by their boxes."""
    rows = [np.abs(truth.boxes_xyxy_px - box).sum(1).argmin() for box in people.boxes_xyxy_px]
    return truth.joints_px[rows][:, MATCHED_137]


@pytest.fixture(scope="module")
def truth():
    sample = make_sample(people=3, width=256, height=192)
    sample.full_pose[:, 23:25] = 0  # the network does not predict eyes
    return truth_of_sample(sample, "sample")


def test_a_perfect_answer_measures_as_one(truth):
    numbers = measured(truth, perfect(truth))
    for name in (
        "AP",
        "AP50",
        "AR@10",
        "keypoint AP",
        "F1",
        "precision",
        "recall",
        "PCK@0.1",
        "hand PCK@0.2",
        "face PCK@0.2",
    ):
        assert numbers[name] == pytest.approx(1), name
    for name, value in numbers.items():
        if name.endswith("mm") and not name.startswith("mean pose"):
            assert value == pytest.approx(0, abs=1e-2), name
    assert numbers["mean pose MPJPE mm"] > 1
    assert numbers["found"] == numbers["people"] == 3


def test_misses_and_turned_people_show_in_the_numbers_they_should(truth):
    two = measured(truth, perfect(truth).select(np.array([0, 2])))
    assert two["recall"] == pytest.approx(2 / 3) and two["precision"] == 1 and two["F1"] == pytest.approx(0.8)
    assert two["PVE mm"] == pytest.approx(0, abs=1e-2)
    people = perfect(truth)
    turned = measured(truth, replace(people, global_orient=people.global_orient * [[-1, 1, 1]]))
    assert turned["PVE mm"] > 20 and turned["PA-PVE mm"] == pytest.approx(0, abs=0.1)
    assert turned["FB-NMVE mm"] == pytest.approx(turned["FB-MVE mm"])
    fist = measured(truth, replace(people, left_hand_pose=people.left_hand_pose + [0, 0, 0.8]))
    assert fist["PVE hands mm"] > 5 and fist["PVE face mm"] == pytest.approx(0, abs=1e-2)
    assert fist["PVE body mm"] < 1, "a fist moves hardly a vertex of the rest"


def test_the_vertices_are_those_of_the_body(truth):
    """The tally's error of a shifted shape is that of skinning both by hand."""
    people = perfect(truth)
    numbers = measured(truth, replace(people, betas=people.betas + 0.7))
    body, errors = open_body(), []
    for betas, expression, pose in zip(truth.betas, truth.expression, truth.pose, strict=True):
        a, b = (skinning.pose_body(body, x, expression, pose) for x in (betas, betas + np.float32(0.7)))
        errors.append(np.linalg.norm((a.vertices - a.joints[0]) - (b.vertices - b.joints[0]), axis=-1).mean())
    assert numbers["PVE mm"] == pytest.approx(np.mean(errors) * 1000, rel=1e-3)


def test_the_sheet_shows_no_picture_that_has_no_error_and_the_right_rows():
    errors = np.array([0.3, np.nan, 0.1, 0.5, 0.2, 0.4, 0.6])
    rows = picked(errors, columns=2)
    assert {title: row.tolist() for title, row in rows.items()} == {"Best": [2, 4], "Median": [0, 5], "Worst": [6, 3]}
    assert picked(errors[:3])["All"].tolist() == [2, 0]
    assert picked(errors[1:2])["All"].tolist() == [0], "if there is nothing else, pictures of nobody"


def test_the_command_measures_shards_and_writes_json_and_a_sheet(tmp_path, capsys):
    write_shard(tmp_path / "shards", 0, [make_sample(seed, people=2) for seed in range(4)])
    sheet, numbers = tmp_path / "sheet.png", tmp_path / "numbers.json"
    assert main(["--data", str(tmp_path / "shards"), "--sheet", str(sheet), "--json", str(numbers)]) == 0
    said, out = json.loads(numbers.read_text()), capsys.readouterr().out
    assert said["pictures"] == 4 and said["people"] == 8
    assert all(line.split()[0] in out for line in said)
    assert min(cv2.imread(str(sheet)).shape[:2]) > 300


@pytest.fixture(scope="module")
def humandata(tmp_path_factory, smplx):
    folder = tmp_path_factory.mktemp("ehf")
    people = everybody([1, 2], body=load_body(smplx))
    write_pictures(folder / "images", people)
    return save(folder / "EHF.npz", arrays_of(people))


def test_the_truth_of_humandata_is_measured_as_perfect_on_its_own_body(humandata, smplx):
    body = load_body(smplx)
    truths = HumanDataTruths(humandata, humandata.parent / "images", KINDS["ehf"], body, count=10)
    assert len(truths) == 2
    numbers = measured(truths[1], perfect(truths[1]), body)
    assert numbers["people"] == numbers["found"] == 2 and numbers["AP"] == pytest.approx(1)
    for name in ("PVE mm", "PVE hands mm", "PVE face mm", "MPJPE mm", "FB-NMVE mm"):
        assert numbers[name] == pytest.approx(0, abs=1e-2), name
    flat = HumanDataTruths(humandata, humandata.parent / "images", KINDS["ehf"], body, 10, absolute_hands=True)
    assert measured(truths[1], perfect(flat[1]), body)["PVE hands mm"] > 1, "the mean hand lies between"


def test_agora_ignores_people_that_are_hardly_seen(tmp_path):
    arrays = arrays_of(everybody([2]))
    arrays["meta"]["occ"] = [10, 95]
    write_pictures(tmp_path / "images", everybody([2]))
    path = save(tmp_path / "agora.npz", arrays)
    truth = HumanDataTruths(path, tmp_path / "images", KINDS["agora"], open_body(), 1)[0]
    assert truth.ignored.tolist() == [False, True]
    assert measured(truth, perfect(truth).select(np.array([0])))["recall"] == 1


def test_the_command_measures_humandata_on_the_users_body(tmp_path, humandata, smplx, capsys):
    arguments = ["--data", str(humandata), "--threshold", "0", "--body", str(smplx), "--json", str(tmp_path / "n.json")]
    assert main(arguments) == 0
    assert "neutral shape" in capsys.readouterr().err
    numbers = json.loads((tmp_path / "n.json").read_text())
    assert numbers["people"] == 3 and numbers["pictures"] == 2
    assert numbers["precision"] < 0.5, "at a threshold of zero nearly all are false alarms"


def test_pictures_of_nobody_are_measured_and_drawn_too(tmp_path, capsys):
    people = everybody([1])
    people.boxes["bbox_xywh"] = people.boxes["bbox_xywh"] + [5000, 0, 0, 0, 0]
    write_pictures(tmp_path / "images", people)
    path, sheet = save(tmp_path / "a.npz", arrays_of(people)), tmp_path / "sheet.png"
    assert (
        main(["--data", str(path), "--sheet", str(sheet), "--threshold", "1", "--json", str(tmp_path / "n.json")]) == 0
    )
    numbers = json.loads((tmp_path / "n.json").read_text())
    assert numbers["people"] == 0 and numbers["person-free pictures"] == 1 and numbers["AP"] is None
    assert sheet.is_file()


def test_people_found_in_pictures_without_any_are_counted(tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    for name in ("meadow.png", "wall.jpg"):
        cv2.imwrite(str(tmp_path / "photos" / name), np.random.default_rng(0).integers(0, 255, (60, 80, 3)))
    (tmp_path / "photos/notes.txt").write_text("no picture")
    numbers = {}
    for threshold in ("0", "1"):
        arguments = ["--empty", str(tmp_path / "photos"), "--threshold", threshold, "--json", str(tmp_path / "n.json")]
        assert main(arguments) == 0
        numbers[threshold] = json.loads((tmp_path / "n.json").read_text())
    assert numbers["0"]["person-free pictures"] == numbers["0"]["of these with any"] == 2
    assert numbers["0"]["false people in them"] > 2
    assert numbers["1"]["false people in them"] == numbers["1"]["of these with any"] == 0
    assert 0 < numbers["1"]["highest false score"] < 1
    assert "AP" not in numbers["1"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--data", "{}"], "no shards"),
        (["--empty", "{}"], "no pictures"),
        (["--data", "{}/none.npz"], "No such data set file"),
        (["--data", "{}", "--sheet", "{}/none/sheet.png"], "does not exist"),
        (["--data", "{}", "--body", "{}/none.npz"], "No such body file"),
    ],
)
def test_what_cannot_be_measured_is_one_sentence_and_status_2(tmp_path, capsys, arguments, sentence):
    assert main([argument.format(tmp_path) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.startswith("error: ") and error.count("\n") == 1
