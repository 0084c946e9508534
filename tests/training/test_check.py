"""python -m training.data.check: what it says of good, faulty and foreign files, and its exit status."""

import json
import os
import re

import cv2
import numpy as np
import pytest

from aios_core.body.files import open_body
from aios_core.errors import DataSetError
from tests.training.humandata_files import arrays_of, everybody, save, write_pictures
from training.data.check import check, kind_of, main
from training.data.humandata.drawing import FACE, LEFT, MIDDLE, RIGHT
from training.data.humandata.kinds import KINDS


@pytest.fixture
def arrays():
    arrays = arrays_of(everybody([2, 1, 3]))
    arrays["meta"]["occ"] = [0] * 6
    return arrays


def test_of_a_good_file_nothing_is_wrong(tmp_path, arrays, capsys):
    write_pictures(tmp_path / "images", everybody([2, 1, 3]))
    path = save(tmp_path / "agora_train.npz", arrays)
    assert main([str(path), "--images", str(tmp_path / "images")]) == 0
    said = capsys.readouterr().out
    assert "6 people in 3 pictures, read as AGORA." in said and "Nothing is wrong with it." in said
    assert "bbox_xywh (6x5)" in said and "Pictures missing: 0 of 3." in said
    assert re.search(r"left hand poses +6 +100", said)


def test_json_says_the_same(tmp_path, arrays, capsys):
    assert main([str(save(tmp_path / "a.npz", arrays)), "--kind", "bedlam", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["people"], said["pictures"], said["kind"], said["parameters"]) == (6, 3, "bedlam", "smplx")
    assert said["problems"] == [] and said["missing_pictures"] is None and said["valid"]["face poses"] == 6


def _smplx(arrays, **changes):
    arrays["smplx"] = {k: v for k, v in (arrays["smplx"] | changes).items() if v is not None}


FAULTS = [
    (lambda a: a.pop("frame_range"), "'frame_range' is missing"),
    (lambda a: a.pop("keypoints3d_smplx"), "no 3-d keypoints"),
    (lambda a: a.pop("keypoints2d_smplx"), "no 2-d keypoints"),
    (lambda a: a.pop("smplx"), "no body parameters"),
    (lambda a: a.update(smpl=a.pop("smplx")), "parameters are smpl's"),
    (lambda a: a.pop("face_bbox_xywh"), "no boxes of hands or faces: face_bbox_xywh"),
    (lambda a: _smplx(a, jaw_pose=None), "'smplx' lacks jaw_pose"),
    (lambda a: _smplx(a, body_pose=np.degrees(a["smplx"]["body_pose"])), "look like degrees"),
    (lambda a: _smplx(a, betas=a["smplx"]["betas"] * np.nan), r"'smplx.betas' holds values .* 6 of 6"),
    (lambda a: a.update(keypoints2d_smplx=a["keypoints2d_smplx"] * np.nan), "'keypoints2d_smplx' holds values"),
    (lambda a: a.update(bbox_xywh=a["bbox_xywh"] - [900, 0, 0, 0, 0]), "outside of the picture for 6 of 6"),
    (lambda a: a.update(bbox_xywh=a["bbox_xywh"] * [1, 1, 1, 1, 0]), "empty or marked as invalid for 6 of 6"),
    (lambda a: a.update(bbox_xywh=a["bbox_xywh"] * [3, 3, 3, 3, 1]), "far beyond the picture"),
    (lambda a: a.update(keypoints2d_smplx=a["keypoints2d_smplx"] + [300, 0, 0]), "outside of the body box for 6 of 6"),
    (lambda a: a.update(keypoints3d_smplx=a["keypoints3d_smplx"] * [1e3, 1e3, 1e3, 1]), "not millimetres"),
    (lambda a: a["meta"].pop("occ"), "'meta' lacks occ"),
]


@pytest.mark.parametrize(("spoil", "sentence"), FAULTS)
def test_every_fault_is_one_sentence(tmp_path, arrays, spoil, sentence):
    spoil(arrays)
    report = check(save(tmp_path / "a.npz", arrays), KINDS["agora"])
    assert any(re.search(sentence, problem) for problem in report.problems), report.problems
    assert len(report.problems) <= 3 and all(problem.endswith(".") for problem in report.problems)


def test_missing_and_broken_pictures_and_those_of_another_size_are_named(tmp_path, arrays):
    images = tmp_path / "images"
    path = save(tmp_path / "a.npz", arrays)
    write_pictures(images, everybody([2, 1, 3]))
    (images / "scene/0001.png").unlink()
    (images / "scene/0002.png").write_bytes(b"no picture")
    report = check(path, KINDS["agora"], images)
    assert report.missing_pictures == 1
    said = " ".join(report.problems)
    assert "1 of 3 pictures are missing, the first is" in said and "scene/0001.png" in said
    assert "1 pictures looked at cannot be decoded" in said and "scene/0002.png" in said
    del arrays["meta"]["width"]
    arrays["bbox_xywh"] = arrays["bbox_xywh"] * [3, 3, 3, 3, 1]
    report = check(save(tmp_path / "b.npz", arrays), KINDS["agora"], images)
    assert any("Labels seem to be of bigger pictures" in problem for problem in report.problems)
    assert check(path, KINDS["agora"], tmp_path / "none").missing_pictures == 3


def test_absolute_hands_are_told_from_relative_ones(tmp_path, arrays):
    body = open_body()
    relative = check(save(tmp_path / "a.npz", arrays), KINDS["agora"], body=body)
    assert not relative.problems
    arrays["smplx"]["left_hand_pose"] = arrays["smplx"]["left_hand_pose"] + body.hands_mean_left
    absolute = check(save(tmp_path / "b.npz", arrays), KINDS["agora"], body=body)
    assert "left hands look absolute" in absolute.problems[0] and len(absolute.problems) == 1


class _Harmful:
    def __reduce__(self):
        return os.mkdir, ("/tmp/never",)


def test_what_cannot_be_read_is_one_sentence_and_status_2(tmp_path, arrays, capsys):
    arrays["smplx"]["x"] = _Harmful()
    bad = save(tmp_path / "bad.npz", arrays)
    (tmp_path / "text.npz").write_text("hello")
    for path, sentence in ((bad, "mkdir"), (tmp_path / "text.npz", "not an .npz"), (tmp_path / "no.npz", "No such")):
        assert main([str(path)]) == 2
        out, err = capsys.readouterr()
        assert not out and err.startswith("error: ") and sentence in err and err.count("\n") == 1


def test_damaged_files_are_refused_or_read_but_never_crash(tmp_path, arrays):
    whole = np.frombuffer(save(tmp_path / "a.npz", arrays).read_bytes(), np.uint8)
    rng, refused = np.random.default_rng(0), 0
    for turn in range(60):
        data = whole.copy()
        data[rng.integers(0, len(data), 4)] = rng.integers(0, 256, 4)
        (tmp_path / "b.npz").write_bytes(data[: rng.integers(10, len(data))] if turn % 10 == 0 else data)
        try:
            check(tmp_path / "b.npz", KINDS["agora"])
        except DataSetError:
            refused += 1
    assert refused > 40


ODD = (
    0,
    "x",
    None,
    {},
    np.zeros((6, 0)),
    np.zeros((0, 5)),
    np.full(6, None, object),
    np.array(["a"] * 6),
    [[1], [1, 2]],
)


@pytest.mark.parametrize(
    "name", ["image_path", "frame_range", "bbox_xywh", "keypoints2d_smplx", "smplx", "meta", "betas"]
)
def test_members_of_any_other_kind_are_refused_or_ignored_but_never_crash(tmp_path, arrays, name):
    for odd in ODD:
        value = np.array(odd, object) if isinstance(odd, list) else odd
        changed = {"smplx": arrays["smplx"] | {"betas": odd, "transl": odd}} if name == "betas" else {name: value}
        try:
            assert check(save(tmp_path / "b.npz", arrays | changed), KINDS["ubody"]).people in (0, 6)
        except DataSetError as error:
            assert str(tmp_path / "b.npz") in str(error)


def test_the_kind_is_guessed_from_file_and_folder(tmp_path):
    assert kind_of(tmp_path / "agora" / "train.npz").name == "agora"
    assert kind_of(tmp_path / "ARCTIC_p2.npz").name == "arctic"
    assert kind_of(tmp_path / "mine.npz").name == "any"


def test_the_sheet_shows_what_training_sees(tmp_path, arrays, capsys):
    write_pictures(tmp_path / "images", everybody([2, 1, 3]))
    path, sheet = save(tmp_path / "agora.npz", arrays), tmp_path / "sheet.png"
    assert main([str(path), "--images", str(tmp_path / "images"), "--sheet", str(sheet)]) == 0
    picture = cv2.imread(str(sheet))[..., ::-1]
    for colour in (LEFT, RIGHT, MIDDLE, FACE):
        assert (np.abs(picture.astype(int) - colour).max(-1) < 4).sum() > 50, "every side and part is drawn"
    capsys.readouterr()
    assert main([str(path), "--sheet", str(sheet)]) == 2
    assert "name their folder with --images" in capsys.readouterr().err
