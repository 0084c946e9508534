"""HumanData files: read safely and by every data set's rules; views move pictures and labels together."""

import io
import os
import pickle
from dataclasses import fields, replace

import cv2
import numpy as np
import pytest
import torch

from aios_core.body import skinning
from aios_core.body.files import load_body, open_body
from aios_core.body.joints import JOINTS_137_FROM_144, MIRROR_55, MIRROR_137, MIRROR_COCO17
from aios_core.config import AIOS
from aios_core.errors import DataSetError
from aios_core.model.preprocess import normalise, preprocess
from tests.aios_synth import smplx_arrays
from tests.training.humandata_files import (
    FOCAL,
    HEIGHT,
    WIDTH,
    arrays_of,
    compressed,
    everybody,
    save,
    write_pictures,
)
from training.data.humandata import archive as archive_module
from training.data.humandata.archive import Archive
from training.data.humandata.augmentation import (
    MIRROR_53,
    PLAIN,
    Augmentation,
    View,
    coloured,
    crop_around,
    draw_view,
    fitted,
    look,
    show,
    targets,
)
from training.data.humandata.columns import read_columns
from training.data.humandata.dataset import DataSet
from training.data.humandata.kinds import KINDS, RECIPES, Kind
from training.data.humandata.landmarks import full_pose, joints_137, landmark_body
from training.data.humandata.mixture import Mixture, MixtureConfig, probabilities
from training.paper.targets import PictureTargets

PLAIN_KIND = Kind("plain", "Plain")
WHOLE = View((0, 0, WIDTH, HEIGHT), False, (WIDTH, HEIGHT), np.ones(3, np.float32))


@pytest.fixture(scope="module")
def people():
    return everybody([2, 1, 3])


@pytest.fixture(scope="module")
def body():
    return landmark_body(open_body())


class Harmful:
    """A pickle that would make a file when it is read."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


@pytest.mark.parametrize(
    ("harmful", "name"),
    [
        (lambda flag: Harmful(os.system, f"touch {flag}"), f"{os.system.__module__}.system"),
        (lambda flag: Harmful(eval, f"open({str(flag)!r}, 'w')"), "builtins.eval"),
        (lambda flag: Harmful(getattr, 1, "real"), "builtins.getattr"),
        (lambda flag: Harmful(np.loadtxt, str(flag)), "loadtxt"),
    ],
)
def test_a_file_that_wants_to_run_something_is_refused_by_name_and_nothing_runs(tmp_path, people, harmful, name):
    flag = tmp_path / "flag"
    arrays = arrays_of(people)
    arrays["smplx"]["extra"] = harmful(flag)
    path = save(tmp_path / "bad.npz", arrays)
    with pytest.raises(DataSetError, match=name):
        read_columns(PLAIN_KIND, path)
    assert not flag.exists()


def test_a_dotted_name_does_not_reach_what_hangs_on_an_allowed_class():
    # Protocol 4's STACK_GLOBAL with 'ndarray.tofile'
    stream = b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93."
    with pytest.raises(archive_module.ForbiddenClassError, match=r"ndarray\.tofile"):
        archive_module.PlainUnpickler(io.BytesIO(stream)).load()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_values_of_every_pickle_protocol_are_read(protocol):
    values = {"a": np.arange(6.0).reshape(2, 3), "b": [np.float32(2), "x", b"y", None, (1, {2})], "c": np.array(["s"])}
    again = archive_module.PlainUnpickler(io.BytesIO(pickle.dumps(values, protocol))).load()
    assert np.array_equal(again["a"], values["a"]) and again["b"] == values["b"] and again["c"].tolist() == ["s"]


def test_a_file_gives_back_everybody_picture_by_picture(tmp_path, people):
    data = DataSet(PLAIN_KIND, save(tmp_path / "a.npz", arrays_of(people)), tmp_path / "images")
    assert len(data) == 3
    start = 0
    for i, count in enumerate(people.counts):
        rows = slice(start, start + count)
        found = data.annotations(i)
        assert found.image_path == tmp_path / f"images/scene/{i:04d}.png"
        assert found.labelled_size == (WIDTH, HEIGHT)
        assert np.allclose(found.joints_2d[..., :2], people.points[rows][:, JOINTS_137_FROM_144], atol=1e-3)
        assert np.allclose(found.joints_3d[..., :3], people.joints[rows][:, JOINTS_137_FROM_144], atol=1e-5)
        order = [*range(22), *range(25, 55), 22]
        assert np.array_equal(found.pose, people.pose[rows][:, order])
        assert np.array_equal(found.betas, people.betas[rows])
        assert np.array_equal(found.expression, people.expression[rows])
        box = people.boxes["lhand_bbox_xywh"][rows]
        assert np.allclose(found.boxes[:, 1, :4], np.c_[box[:, :2], box[:, :2] + box[:, 2:4]], atol=1e-3)
        assert found.pose_valid.min() == found.shape_valid.min() == found.boxes[..., 4].min() == 1
        start += count


def test_compressed_keypoints_come_back_in_their_places_and_missing_ones_count_for_nothing(tmp_path, people):
    plain = read_columns(PLAIN_KIND, save(tmp_path / "a.npz", arrays_of(people)))
    squeezed = read_columns(PLAIN_KIND, save(tmp_path / "b.npz", compressed(arrays_of(people))))
    missing = np.isin(JOINTS_137_FROM_144, [60, 130])
    assert missing.sum() == 2
    for name in ("joints_2d", "joints_3d"):
        assert np.array_equal(getattr(squeezed, name)[:, ~missing], getattr(plain, name)[:, ~missing])
        assert (getattr(squeezed, name)[:, missing] == 0).all()


def test_without_frame_ranges_every_row_is_a_picture(tmp_path, people):
    arrays = arrays_of(people)
    del arrays["frame_range"]
    columns = read_columns(PLAIN_KIND, save(tmp_path / "a.npz", arrays))
    assert columns.starts.tolist() == list(range(7))
    assert columns.image_paths[0] == columns.image_paths[1] == b"scene/0000.png"


def test_paths_may_be_listed_once_a_picture(tmp_path, people):
    arrays = dict(arrays_of(people), image_path=np.array(["a.png", "b.png", "c.png"], object))
    columns = read_columns(PLAIN_KIND, save(tmp_path / "a.npz", arrays), every=2)
    assert columns.image_paths.tolist() == [b"a.png", b"c.png"]
    assert np.array_equal(columns.pose[2:, 0], people.pose[3:, 0])


def test_sizes_may_be_stated_a_row_a_picture_or_once(tmp_path):
    people = everybody([1, 2, 1, 1])
    arrays = dict(arrays_of(people), image_path=list("abcd"))
    by_picture = np.array([[10, 1], [20, 2], [30, 3], [40, 4]])
    by_row = np.repeat(by_picture, people.counts, 0)
    for every, expected in ((1, by_picture), (2, by_picture[::2])):
        for stated in (by_picture, by_row):
            arrays["meta"] = {"width": stated[:, 0].tolist(), "height": stated[:, 1]}
            assert np.array_equal(read_columns(PLAIN_KIND, save(tmp_path / "a.npz", arrays), every).sizes, expected)
    arrays["meta"] = {"width": 640, "height": [480]}
    assert (read_columns(PLAIN_KIND, save(tmp_path / "a.npz", arrays)).sizes == [640, 480]).all()
    arrays["meta"] = {"width": [640] * 5}
    assert not read_columns(PLAIN_KIND, save(tmp_path / "a.npz", arrays)).sizes.any()


def test_reading_in_small_blocks_changes_nothing(tmp_path, people, monkeypatch):
    path = save(tmp_path / "a.npz", arrays_of(people))
    whole = read_columns(PLAIN_KIND, path, every=2)
    monkeypatch.setattr(archive_module, "BLOCK_BYTES", 5000)
    blocks = read_columns(PLAIN_KIND, path, every=2)
    for f in fields(whole):
        assert np.array_equal(getattr(whole, f.name), getattr(blocks, f.name)), f.name


def test_a_cache_holds_the_same_on_disk_and_is_used_again(tmp_path, people):
    path, kind = save(tmp_path / "a.npz", arrays_of(people)), KINDS["agora"]
    plain = DataSet(kind, path, tmp_path).columns
    cached = DataSet(kind, path, tmp_path, cache=tmp_path / "cache").columns
    for f in fields(plain):
        assert np.array_equal(getattr(plain, f.name), getattr(cached, f.name)), f.name
    assert isinstance(cached.joints_2d, np.memmap)
    (folder,) = (tmp_path / "cache").iterdir()
    before = (folder / "pose.npy").stat().st_mtime_ns
    DataSet(kind, path, tmp_path, cache=tmp_path / "cache")
    DataSet(kind, path, tmp_path, every=2, cache=tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 2, "another subsampling is another cache"
    assert (folder / "pose.npy").stat().st_mtime_ns == before


def test_a_copy_for_another_process_maps_the_cache_instead_of_holding_it(tmp_path, people):
    path = save(tmp_path / "a.npz", arrays_of(people))
    data = DataSet(PLAIN_KIND, path, tmp_path, cache=tmp_path / "cache")
    pickled = pickle.dumps(data)
    assert len(pickled) < 2000
    again = pickle.loads(pickled)
    assert isinstance(again.columns.pose, np.memmap)
    assert np.array_equal(again.annotations(2).joints_2d, data.annotations(2).joints_2d)
    held = pickle.loads(pickle.dumps(DataSet(PLAIN_KIND, path, tmp_path)))
    assert np.array_equal(held.annotations(2).joints_2d, data.annotations(2).joints_2d)


def test_parts_are_valid_where_their_boxes_are_and_their_poses_are_there(tmp_path, people):
    arrays = arrays_of(people)
    arrays["lhand_bbox_xywh"] = arrays["lhand_bbox_xywh"].copy()
    arrays["lhand_bbox_xywh"][0, 4] = 0
    del arrays["smplx"]["right_hand_pose"], arrays["smplx"]["expression"]
    arrays["meta"]["smplx_valid"] = [1, 1, 1, 0, 1, 1]
    columns = read_columns(PLAIN_KIND, save(tmp_path / "a.npz", arrays))
    assert columns.pose_valid[0, 22:37].max() == 0 and columns.pose_valid[1, 22:37].min() == 1
    assert columns.pose_valid[:, 37:52].max() == 0, "no right hands in the file"
    assert columns.pose_valid[3].max() == 0 and columns.shape_valid[3].max() == 0
    assert columns.shape_valid[:, 0].tolist() == [1, 1, 1, 0, 1, 1]
    assert columns.shape_valid[:, 1].max() == 0
    assert columns.boxes[3, :, 4].min() == 1, "a person without a fit still has a box"


def test_smpl_annotations_are_good_for_the_bodys_pose_alone(tmp_path, people):
    arrays = arrays_of(people, "smpl")
    arrays["smpl"]["body_pose"] = np.concatenate([people.pose[:, 1:22], people.pose[:, 25:27]], 1).reshape(6, 69)
    columns = read_columns(PLAIN_KIND, save(tmp_path / "a.npz", arrays))
    assert np.array_equal(columns.pose[:, :22], people.pose[:, :22])
    assert columns.pose_valid[:, :22].min() == 1 and columns.pose_valid[:, 22:].max() == 0
    assert not columns.shape.any() and not columns.expression.any() and not columns.shape_valid.any()


def test_values_that_are_no_numbers_are_never_valid(tmp_path, people):
    arrays = arrays_of(people)
    arrays["smplx"]["body_pose"] = arrays["smplx"]["body_pose"].copy()
    arrays["smplx"]["body_pose"][2, 3] = np.nan
    arrays["keypoints2d_smplx"][1, 5, 0] = np.inf
    columns = read_columns(PLAIN_KIND, save(tmp_path / "a.npz", arrays))
    for f in fields(columns):
        if f.name != "image_paths":
            assert np.isfinite(getattr(columns, f.name)).all(), f.name
    assert columns.pose_valid[2, 1:22].max() == 0 and columns.pose_valid[2, 0] == 1
    assert columns.joints_2d[1, JOINTS_137_FROM_144 == 5, 2] == 0


def test_agora_keeps_the_boxes_alone_of_people_nearly_hidden(tmp_path, people):
    arrays = arrays_of(people)
    arrays["meta"]["occ"] = [0, 96.5, 97, 20, 100, 0]
    columns = read_columns(KINDS["agora"], save(tmp_path / "a.npz", arrays))
    hidden = np.array([False, False, True, False, True, False])
    assert (columns.boxes[:, 0, 4] == 1).all()
    for values in (columns.pose_valid, columns.shape_valid, columns.joints_2d[..., 2], columns.joints_3d[..., 3]):
        assert (values[hidden] == 0).all() and (values[~hidden] == 1).all()
    assert (columns.boxes[hidden, 1:, 4] == 0).all()


def test_coco_trusts_no_3d_and_keypoints_of_valid_parts_alone(tmp_path, people):
    arrays = arrays_of(people)
    arrays["face_bbox_xywh"] = arrays["face_bbox_xywh"] * [1, 1, 1, 1, 0]
    arrays["keypoints2d_ori"] = arrays["keypoints2d_smplx"] + [1, 0, 0]
    data = DataSet(KINDS["coco"], save(tmp_path / "a.npz", arrays), tmp_path)
    found = data.annotations(0)
    assert not found.has_3d
    assert np.allclose(found.joints_2d[..., 0], people.points[:2][:, JOINTS_137_FROM_144, 0] + 1, atol=1e-3)
    assert found.joints_2d[:, 65:, 2].max() == 0 and found.joints_2d[:, :65, 2].min() == 1


def test_ubody_reads_its_own_keypoints_and_leaves_out_crowds_and_unlabelled_people(tmp_path, people):
    arrays = arrays_of(people)
    arrays["keypoints2d_ubody"] = arrays["keypoints2d_smplx"] * [1, 1, 0.5]
    meta = arrays["meta"]
    meta["valid_label"], meta["iscrowd"] = [2, 0, 2, 2, 2, 2], [0, 0, 1, 0, 0, 0]
    meta["lefthand_valid"], meta["righthand_valid"] = [1] * 6, [1, 1, 1, 0, 1, 1]
    meta["face_valid"] = [1] * 6
    columns = read_columns(KINDS["ubody"], save(tmp_path / "a.npz", arrays))
    assert columns.starts.tolist() == [0, 1, 4], "the second picture has nobody left"
    assert np.array_equal(columns.pose[:, 0], people.pose[[0, 3, 4, 5], 0])
    assert columns.pose_valid[1, 37:52].max() == 0 and columns.pose_valid[2, 37:52].min() == 1
    assert columns.joints_2d[1, 45:65, 2].max() == 0
    assert (columns.joints_3d[..., 3] == columns.joints_2d[..., 2]).all() and columns.joints_3d[0, 0, 3] == 0.5


def test_of_longer_shapes_the_first_ten_numbers_are_taken_and_neutral_ones_first(tmp_path, people):
    arrays = arrays_of(people)
    arrays["smplx"]["betas"] = np.pad(people.betas, [(0, 0), (0, 6)], constant_values=9)
    columns = read_columns(KINDS["bedlam"], save(tmp_path / "a.npz", arrays))
    assert np.array_equal(columns.shape, people.betas)
    arrays["smplx"]["betas_neutral"] = people.betas[:, None] + 1  # (R, 1, 10)
    columns = read_columns(KINDS["agora"], save(tmp_path / "b.npz", arrays))
    assert np.array_equal(columns.shape, people.betas + 1)


def test_every_so_many_pictures_are_used(tmp_path):
    people = everybody([1] * 11)
    columns = read_columns(KINDS["bedlam"], save(tmp_path / "a.npz", arrays_of(people)), every=5)
    assert columns.image_paths.tolist() == [b"scene/0000.png", b"scene/0005.png", b"scene/0010.png"]
    assert KINDS["bedlam"].every == 5 and KINDS["arctic"].every == 1000


def _without(arrays, name):
    return {key: value for key, value in arrays.items() if key != name}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda a: _without(a, "bbox_xywh") | {"bbox": np.zeros((6, 4))}, "lacks 'bbox_xywh'"),
        (lambda a: {"0": {"a": 1}, "data_len": 1, "data_strategy": "x", "bbox_xywh": [0]}, "cache of another program"),
        (lambda a: dict(a, bbox_xywh=np.zeros((6, 3))), r"shape \(6, 3\)"),
        (lambda a: dict(a, frame_range=np.array([[0, 9]])), "'frame_range' points outside of the 6 people"),
        (lambda a: dict(a, frame_range=np.array([[0, 3], [2, 6]]), image_path=["a", "b"]), "belong to two pictures"),
        (lambda a: dict(a, image_path=["a.png"]), "'image_path' has 1 entries"),
        (lambda a: dict(a, keypoints2d_smplx=np.zeros((6, 99, 3))), "99 joints"),
        (lambda a: dict(a, keypoints2d_smplx=np.zeros((4, 144, 3))), "4 rows where 6 are needed"),
        (lambda a: dict(a, smplx=dict(a["smplx"], body_pose=np.zeros((6, 60)))), "'smplx.body_pose' has 60 numbers"),
        (
            lambda a: dict(a, smplx=dict(a["smplx"], transl=np.zeros((2, 3)))),
            "not an array with a row for every person",
        ),
        (lambda a: dict(a, smplx=[1, 2]), "not a dict of parameters"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_one_sentence(tmp_path, people, change, sentence):
    with pytest.raises(DataSetError, match=sentence):
        read_columns(PLAIN_KIND, save(tmp_path / "a.npz", change(arrays_of(people))))


def test_files_that_are_missing_foreign_or_cut_off_are_refused(tmp_path, people):
    with pytest.raises(DataSetError, match="No such data set file"):
        read_columns(PLAIN_KIND, tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(DataSetError, match=r"not an \.npz"):
        read_columns(PLAIN_KIND, tmp_path / "text.npz")
    data = bytearray(save(tmp_path / "a.npz", arrays_of(people)).read_bytes())
    with Archive(tmp_path / "a.npz") as archive:
        info = archive._zip.getinfo("keypoints2d_smplx.npy")
    data[info.header_offset + 2000 : info.header_offset + 2600] = bytes(600)
    (tmp_path / "broken.npz").write_bytes(data)
    with pytest.raises(DataSetError, match="is damaged: 'keypoints2d_smplx'"):
        read_columns(PLAIN_KIND, tmp_path / "broken.npz")


def test_few_vertices_give_the_same_joints_as_all(smplx):
    rng = np.random.default_rng(0)
    for whole in (open_body(), smplx):
        pose = rng.normal(0, 0.3, (3, 55, 3)).astype(np.float32)
        betas, expression = rng.normal(0, 1, (2, 3, 10)).astype(np.float32)
        transl = rng.normal(0, 1, (3, 3)).astype(np.float32)
        posed = skinning.pose_body(whole, betas, expression, pose, transl)
        expected = skinning.joints_144(whole, posed, pose)[:, JOINTS_137_FROM_144]
        few = landmark_body(whole)
        assert len(few.v_template) < len(whole.v_template) / 3
        assert np.abs(joints_137(few, pose, betas, expression, transl) - expected).max() < 1e-5


@pytest.fixture(scope="module")
def smplx(tmp_path_factory):
    path = tmp_path_factory.mktemp("body") / "SMPLX_NEUTRAL.npz"
    np.savez(path, **smplx_arrays())
    return load_body(path)


def test_hands_are_relative_to_the_mean_hand(smplx):
    whole = smplx
    pose = np.random.default_rng(0).normal(0, 0.2, (2, 53, 3)).astype(np.float32)
    full = full_pose(pose, whole, hands_relative=True)
    assert np.allclose(full[:, 25:40], pose[:, 22:37] + whole.hands_mean_left)
    assert np.allclose(full[:, 40:], pose[:, 37:52] + whole.hands_mean_right)
    assert np.array_equal(full[:, 22], pose[:, 52]) and not full[:, 23:25].any()


def test_targets_of_the_whole_picture_are_the_annotations_as_fractions(tmp_path, people, body):
    data = DataSet(PLAIN_KIND, save(tmp_path / "a.npz", arrays_of(people)), tmp_path)
    found = targets(data.annotations(0), WHOLE, body)
    box = people.boxes["bbox_xywh"][:2]
    low, high = np.clip(box[:, :2], 0, [WIDTH, HEIGHT]), np.clip(box[:, :2] + box[:, 2:4], 0, [WIDTH, HEIGHT])
    expected = np.concatenate([(low + high) / 2, high - low], -1) / [WIDTH, HEIGHT, WIDTH, HEIGHT]
    assert np.allclose(found.boxes, expected, atol=1e-5)
    points = people.points[:2][:, JOINTS_137_FROM_144] / [WIDTH, HEIGHT]
    assert np.allclose(found.joints_2d, points, atol=1e-5)
    inside = ((points >= 0) & (points < 1)).all(-1)
    assert np.array_equal(found.joints_2d_valid > 0, inside)
    assert np.allclose(found.keypoints[:, 5], points[:, 8], atol=1e-5), "COCO's left shoulder"
    assert np.allclose(found.part_keypoints[:, 1, 0], points[:, 13], atol=1e-5), "the right hand begins at its wrist"
    assert np.abs(found.body_joints_3d - found.joints_3d).max() < 1e-4, "the file's joints are those of its bodies"


def symmetric(body):
    """The body with exactly mirrored joints, whatever its shape."""
    joints = body.joint_template
    joints = (joints + joints[MIRROR_55] * [-1, 1, 1]).astype(np.float32) / 2
    return replace(
        body,
        hands_mean_right=body.hands_mean_left * np.array([1, -1, -1], np.float32),
        joint_template=joints,
        joint_shapedirs=body.joint_shapedirs * 0,
        joint_exprdirs=body.joint_exprdirs * 0,
    )


def test_the_mirrored_body_seen_by_the_camera_lies_on_the_mirrored_points(tmp_path, body):
    body = symmetric(body)
    people = everybody([2], seed=3, body=symmetric(open_body()))
    data = DataSet(PLAIN_KIND, save(tmp_path / "a.npz", arrays_of(people)), tmp_path)
    found = targets(data.annotations(0), replace(WHOLE, is_flipped=True), body)
    skeleton = JOINTS_137_FROM_144 < 55
    for joints in (found.joints_3d, found.body_joints_3d):
        points = joints[..., :2] / joints[..., 2:] * FOCAL / torch.tensor([WIDTH, HEIGHT]) + 0.5
        assert np.abs(points - found.joints_2d)[:, skeleton].max() < 1e-4
    mirrored = people.points[:, JOINTS_137_FROM_144][:, MIRROR_137]
    assert np.allclose(found.joints_2d[..., 0], 1 - mirrored[..., 0] / WIDTH, atol=1e-5)


def test_mirroring_swaps_the_sides_of_everything(tmp_path, people, body):
    arrays = arrays_of(people)
    arrays["lhand_bbox_xywh"] = arrays["lhand_bbox_xywh"] * [1, 1, 1, 1, 0]
    arrays["keypoints2d_smplx"][:, 16, 2] = 0  # the left shoulder
    data = DataSet(PLAIN_KIND, save(tmp_path / "a.npz", arrays), tmp_path)
    plain = targets(data.annotations(0), WHOLE, body)
    flipped = targets(data.annotations(0), replace(WHOLE, is_flipped=True), body)
    shown = plain.part_boxes_valid > 0
    assert torch.equal(flipped.part_boxes_valid[:, [1, 0, 2]] > 0, shown)
    assert flipped.part_boxes_valid[:, 1].max() == 0
    sides = plain.part_boxes[:, [1, 0, 2]]
    assert torch.allclose(flipped.part_boxes[..., 1:], sides[..., 1:], atol=1e-5)
    assert torch.allclose(flipped.part_boxes[..., 0], 1 - sides[..., 0], atol=1e-5)
    assert torch.allclose(flipped.keypoints[..., 0], 1 - plain.keypoints[:, MIRROR_COCO17, 0], atol=1e-5)
    assert flipped.keypoints_valid[:, 6].max() == 0 and plain.keypoints_valid[:, 5].max() == 0
    assert flipped.pose_valid[:, 37:52].max() == 0 and flipped.pose_valid[:, 22:37].min() == 1
    assert torch.allclose(flipped.part_keypoints[:, 2, 3, 0], 1 - plain.part_keypoints[:, 2, 5, 0], atol=1e-5)
    mirror = torch.tensor([1.0, -1, -1])
    assert torch.allclose(flipped.pose[:, 22:37], plain.pose[:, 37:52] * mirror)
    assert torch.allclose(flipped.pose[:, 16], plain.pose[:, 17] * mirror)
    assert torch.allclose(flipped.pose[:, 52], plain.pose[:, 52] * mirror), "the jaw has no other side"
    assert np.array_equal(MIRROR_53[MIRROR_53], np.arange(53))


DOTS = {20: (255, 0, 0), 21: (0, 255, 0), 15: (0, 0, 255), 7: (255, 255, 0), 8: (0, 255, 255)}
"""Wrists, head, ankles: their colours."""


def test_picture_and_points_move_together_through_crop_flip_and_resizing(tmp_path, body):
    people = everybody([1, 1, 1], seed=5)
    write_pictures(tmp_path, people, DOTS)
    data = DataSet(PLAIN_KIND, save(tmp_path / "a.npz", arrays_of(people)), tmp_path)
    kind = replace(PLAIN_KIND, crop_probability=1.0)
    augmentation = replace(PLAIN, crop=True, flip=0.5, short_sides=(200, 333, 480))
    of_joint = {int(j): JOINTS_137_FROM_144.tolist().index(j) for j in DOTS}
    seen = flips = 0
    for draw in range(24):
        annotations = data.annotations(draw % 3)
        rgb = cv2.cvtColor(cv2.imread(str(annotations.image_path)), cv2.COLOR_BGR2RGB)
        rng = np.random.default_rng(draw)
        view = draw_view((WIDTH, HEIGHT), annotations.boxes[:, 0], kind, augmentation, rng)
        image, found = look(rgb, annotations, view, body)
        flips += view.is_flipped
        shown = (image.permute(1, 2, 0).numpy() * [58.395, 57.12, 57.375] + [123.675, 116.28, 103.53]).round()
        for joint, colour in DOTS.items():
            place = of_joint[joint]
            place = MIRROR_137[place] if view.is_flipped else place  # the left wrist's dot is the mirror's right wrist
            if found.joints_2d_valid[0, place] == 0:
                continue
            where = np.argwhere(np.abs(shown - colour).max(-1) < 60)[:, ::-1]
            point = found.joints_2d[0, place].numpy() * view.size
            scale = view.size[0] / (view.crop[2] - view.crop[0])
            if (point < 4 * scale).any() or (point > np.array(view.size) - 4 * scale).any():
                continue  # a dot cut by the edge has its middle elsewhere
            assert len(where), (draw, joint)
            assert np.abs(where.mean(0) - point).max() < 0.25 * max(scale, 1) + 0.5, (draw, joint)
            seen += 1
    assert seen > 60 and 4 < flips < 20


def test_an_unchanged_picture_is_what_the_product_shows_the_network():
    for width, height in ((320, 240), (1200, 900), (200, 700)):
        rgb = cv2.GaussianBlur(
            np.random.default_rng(0).integers(0, 255, (height, width, 3)).astype(np.uint8), (0, 0), 5
        )
        view = draw_view((width, height), np.zeros((0, 5)), PLAIN_KIND, PLAIN, np.random.default_rng(0))
        ours, products = coloured(show(rgb, view), view.gain), preprocess(rgb, AIOS)
        assert ours.shape == products.shape
        edge = int(np.ceil(view.size[0] / width)) + 1  # beyond the last pixel the product's picture fades to black
        assert (ours - products)[:, :-edge, :-edge].abs().max() < 1.0 / 57, "within one of the 255 steps"


def test_colour_gain_is_drawn_for_each_channel_and_clipped():
    gain = np.array([0.8, 1.2, 1.0], np.float32)
    shown = coloured(np.full((4, 5, 3), 250, np.uint8), gain)
    assert torch.allclose(shown, normalise(np.broadcast_to([200.0, 255, 250], (4, 5, 3))), atol=1e-5)
    views = [
        draw_view((9, 9), np.zeros((0, 5)), PLAIN_KIND, Augmentation(), np.random.default_rng(i)) for i in range(50)
    ]
    gains = np.stack([view.gain for view in views])
    assert 0.8 <= gains.min() < 0.83 and 1.17 < gains.max() <= 1.2 and np.ptp(gains, 1).min() > 0


def test_a_crop_holds_its_boxes_has_the_pictures_aspect_and_lies_inside():
    rng = np.random.default_rng(0)
    for _ in range(200):
        size = rng.integers(40, 2000, 2)
        start = rng.uniform(-0.2, 0.9, (3, 2)) * size
        boxes = np.concatenate([start, start + rng.uniform(0.02, 0.9, (3, 2)) * size], -1)
        x0, y0, x1, y1 = crop_around(boxes, tuple(size))
        assert 0 <= x0 < x1 <= size[0] and 0 <= y0 < y1 <= size[1]
        low, high = np.clip(boxes[:, :2].min(0), 0, size - 1), np.clip(boxes[:, 2:].max(0), 0, size)
        assert x0 <= low[0] and y0 <= low[1] and x1 >= high[0] - 2 and y1 >= high[1] - 2
        assert abs((x1 - x0) / size[0] - (y1 - y0) / size[1]) < 2.5 / min(size)


def test_people_outside_the_crop_are_no_targets_and_boxes_are_clipped(tmp_path, people, body):
    data = DataSet(PLAIN_KIND, save(tmp_path / "a.npz", arrays_of(people)), tmp_path)
    annotations = data.annotations(0)  # one left, one right of the middle
    x = int(annotations.boxes[0, 0, 2])
    assert x < annotations.boxes[1, 0, 0], "they stand apart"
    found = targets(annotations, View((0, 0, x - 10, HEIGHT), False, (300, 400), np.ones(3)), body)
    assert len(found.boxes) == 1
    assert float(found.boxes[0, 0] + found.boxes[0, 2] / 2) == pytest.approx(1)
    assert found.image_size_px == (300, 400)


def test_a_view_of_nobody_has_empty_targets(tmp_path, people, body):
    arrays = dict(arrays_of(people), bbox_xywh=people.boxes["bbox_xywh"] + [5000, 0, 0, 0, 0])
    found = targets(DataSet(PLAIN_KIND, save(tmp_path / "a.npz", arrays), tmp_path).annotations(0), WHOLE, body)
    shapes = {
        f.name: getattr(found, f.name).shape[0] for f in fields(found) if f.name not in ("image_size_px", "has_3d")
    }
    assert set(shapes.values()) == {0}
    assert found.body_joints_3d.shape == (0, 137, 3) and found.part_keypoints.shape == (0, 3, 6, 2)


def test_labels_of_a_bigger_picture_are_scaled_to_the_stored_one(tmp_path, people, body):
    data = DataSet(PLAIN_KIND, save(tmp_path / "a.npz", arrays_of(people)), tmp_path)
    expected = targets(data.annotations(0), WHOLE, body)
    half = fitted(data.annotations(0), (WIDTH // 2, HEIGHT // 2))
    view = View((0, 0, WIDTH // 2, HEIGHT // 2), False, (WIDTH, HEIGHT), np.ones(3, np.float32))
    found = targets(half, view, body)
    assert torch.allclose(found.joints_2d, expected.joints_2d, atol=1e-5)
    assert torch.allclose(found.part_boxes, expected.part_boxes, atol=1e-5)


@pytest.fixture(scope="module")
def root(tmp_path_factory, people):
    folder = tmp_path_factory.mktemp("data")
    for name, kind in KINDS.items():
        if kind.for_training:
            save(folder / name / "train.npz", arrays_of(people))
            write_pictures(folder / name / "images", people)
    save(folder / "agora" / "train_2.npz", arrays_of(everybody([1], 9)))
    return folder


def test_a_mixture_draws_the_same_whoever_asks_and_ranks_share_the_draws(root, tmp_path):
    config = MixtureConfig(str(root), augmentation=replace(PLAIN, flip=0.5, crop=True, gain=0.2, short_sides=(64, 96)))
    one = Mixture(config, seed=4)
    ranks = [Mixture(replace(config, cache=str(tmp_path)), seed=4, rank=rank, world=2) for rank in (0, 1)]
    first = [one.sample(i) for i in range(8)]
    for i in (7, 2):  # in any order, from another process's copy
        image, found = ranks[i % 2].sample(i // 2)
        assert torch.equal(image, first[i][0])
        for f in fields(PictureTargets):
            a, b = getattr(found, f.name), getattr(first[i][1], f.name)
            assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b, f.name
    other = Mixture(config, seed=5).sample(0)[0]
    assert other.shape != first[0][0].shape or not torch.equal(other, first[0][0])


def test_data_sets_are_drawn_as_often_as_the_recipe_says(root):
    paper = probabilities(MixtureConfig(""))
    assert paper == pytest.approx(
        {"agora": 0.2, "bedlam": 0.2, "coco": 0.2, "egobody": 0.2, "arctic": 0.1, "ubody": 0.1}
    )
    assert probabilities(MixtureConfig("", phase="pretrain")) == {"agora": 0.4, "bedlam": 0.3, "coco": 0.3}
    assert probabilities(MixtureConfig("", recipe="published"))["ubody"] == pytest.approx(0.2)
    assert probabilities(MixtureConfig("", only=("agora", "arctic"))) == pytest.approx(
        {"agora": 2 / 3, "arctic": 1 / 3}
    )
    assert all(
        sum(getattr(r, phase).values()) == pytest.approx(1) for r in RECIPES.values() for phase in ("pretrain", "train")
    )
    mixture = Mixture(MixtureConfig(str(root), phase="pretrain"), seed=1)
    drawn = [mixture.draw(i)[0].kind.name for i in range(2000)]
    for name, share in (("agora", 0.4), ("bedlam", 0.3), ("coco", 0.3)):
        assert drawn.count(name) / 2000 == pytest.approx(share, abs=0.04)
    assert len({str(mixture.draw(i)[0].columns.starts) + str(mixture.draw(i)[1]) for i in range(200)}) > 4


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"only": ("ehf",)}, "EHF is for evaluation only"),
        ({"only": ("h36m",)}, "no kind of data set 'h36m'"),
        ({"phase": "pretrain", "only": ("ubody",)}, "no part in the phase 'pretrain'"),
        ({"phase": "finetune"}, "no phase 'finetune'"),
        ({"recipe": "mine"}, "no recipe 'mine'"),
        ({"data": "/nowhere"}, r"No AGORA: there is no train\*.npz in"),
    ],
)
def test_a_mixture_that_cannot_be_is_refused_in_one_sentence(root, change, sentence):
    with pytest.raises(DataSetError, match=sentence):
        Mixture(replace(MixtureConfig(str(root)), **change))


def test_a_missing_picture_is_named(root, tmp_path, people):
    save(tmp_path / "agora" / "train.npz", arrays_of(people))
    mixture = Mixture(MixtureConfig(str(tmp_path), only=("agora",)))
    with pytest.raises(DataSetError, match=r"agora/images/scene/000\d\.png is missing"):
        mixture.sample(0)
