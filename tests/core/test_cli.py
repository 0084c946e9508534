"""`aios` as its users meet it: real processes, real files, one sentence and exit code 2 for every mistake."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from aios_core import mocap

ROOT = Path(__file__).parents[2]
PHOTO = ROOT / "examples" / "footage" / "astronaut.jpg"


def aios(*arguments, timeout=120) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment.pop("AIOS_CHECKPOINT", None)
    return subprocess.run(
        [sys.executable, "-m", "aios_core", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=environment,
    )


def assert_one_sentence(result: subprocess.CompletedProcess, *words: str) -> None:
    """Exit code 2, one line on stderr, no traceback, and the words that help."""
    assert result.returncode == 2, result.stderr
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, result.stderr
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in lines[0]


@pytest.fixture
def grey_picture(tmp_path):
    path = tmp_path / "grey.png"
    cv2.imwrite(str(path), np.full((64, 96, 3), 127, np.uint8))
    return path


def test_version_and_help_come_in_well_under_two_seconds():
    start = time.monotonic()
    assert aios("--version").stdout.startswith("aios ")
    assert "estimate" in aios("--help").stdout
    assert time.monotonic() - start < 4


def test_a_photograph_becomes_a_mocap_and_json_events(tmp_path):
    output = tmp_path / "people.npz"
    result = aios("estimate", PHOTO, "-o", output, "--progress", "json")
    assert result.returncode == 0, result.stderr
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert events[-1]["event"] == "done"
    assert events[-1]["output"] == str(output)
    found = mocap.load(output)
    assert (found.width, found.height) == (512, 512)
    assert events[-1]["people"] == len(found.tracks)


def test_json_prints_scores_boxes_and_seventeen_joints_in_pixels():
    result = aios("estimate", PHOTO, "--json", "--threshold", "0.05")
    assert result.returncode == 0, result.stderr
    (line,) = result.stdout.splitlines()
    people = json.loads(line)["people"]
    assert people
    for person in people:
        assert 0.05 <= person["score"] <= 1
        assert np.shape(person["keypoints"]) == (17, 2)
        x0, y0, x1, y1 = person["box_xyxy"]
        assert x0 < x1 and y0 < y1
        assert max(x1, y1) > 2, "pixels, not fractions"


def test_another_scale_is_another_look_and_senseless_ones_are_refused(tmp_path):
    found = {}
    for scale in ("1", "0.7"):
        result = aios("estimate", PHOTO, "--json", "--threshold", "0.05", "--scale", scale)
        found[scale] = json.loads(result.stdout)["people"]
    assert found["1"] and found["0.7"] and found["1"] != found["0.7"]
    assert_one_sentence(aios("estimate", PHOTO, "--json", "--scale", "0"), "--scale 0")


def test_a_thumbnail_shows_the_frame_and_the_people_in_it(tmp_path):
    path = tmp_path / "small.jpg"
    found = {}
    for threshold in ("0.05", "0.99"):
        options = ("--thumbnail", path, "--threshold", threshold, "--progress", "none")
        assert aios("estimate", PHOTO, "-o", tmp_path / "x.npz", *options).returncode == 0
        found[threshold] = cv2.imread(str(path)).astype(int)
    assert found["0.05"].shape == (320, 320, 3)
    plain = cv2.resize(cv2.imread(str(PHOTO)), (320, 320), interpolation=cv2.INTER_AREA).astype(int)
    assert np.abs(found["0.99"] - plain).mean() < 4 < np.abs(found["0.05"] - found["0.99"]).max()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["small.jpg", "x.npz"]


def test_nobody_in_the_picture_is_a_warning_and_an_empty_mocap(grey_picture, tmp_path):
    output = tmp_path / "nobody.npz"
    result = aios("estimate", grey_picture, "-o", output, "--progress", "none", "--threshold", "0.99")
    assert result.returncode == 0
    assert "warning" in result.stderr
    assert mocap.load(output).tracks == ()


@pytest.mark.parametrize("verb", ["estimate", "run"])
def test_missing_footage_is_one_sentence(verb, tmp_path):
    output = tmp_path / ("x.npz" if verb == "estimate" else "x.blend")
    assert_one_sentence(aios(verb, tmp_path / "no.mp4", "-o", output, "--progress", "none"), "no.mp4")
    assert list(tmp_path.iterdir()) == []


def test_a_text_file_is_not_footage(tmp_path):
    text = tmp_path / "notes.jpg"
    text.write_text("not a picture")
    assert_one_sentence(aios("estimate", text, "-o", tmp_path / "x.npz", "--progress", "none"), "notes.jpg")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["notes.jpg"]


def test_an_output_in_a_missing_folder_is_found_before_the_work():
    result = aios("estimate", PHOTO, "-o", "/no/such/folder/x.npz")
    assert_one_sentence(result, "/no/such/folder")


def test_an_output_of_the_wrong_kind_is_refused(tmp_path):
    assert_one_sentence(aios("run", PHOTO, "-o", tmp_path / "scene.fbx"), ".blend")


def test_estimate_without_an_output_says_what_to_give():
    assert_one_sentence(aios("estimate", PHOTO), "--json")


def test_wrong_weights_are_one_sentence(tmp_path):
    junk = tmp_path / "junk.pth"
    junk.write_bytes(b"not a checkpoint")
    assert_one_sentence(aios("estimate", PHOTO, "-o", tmp_path / "x.npz", "--weights", junk), "junk.pth")
    missing = aios("estimate", PHOTO, "-o", tmp_path / "x.npz", "--weights", "aios")
    assert_one_sentence(missing, "AIOS_CHECKPOINT")


def test_a_wrong_body_file_is_one_sentence(tmp_path):
    junk = tmp_path / "body.npz"
    np.savez(junk, something=np.zeros(3))
    result = aios("estimate", PHOTO, "-o", tmp_path / "x.npz", "--body", junk, "--progress", "none")
    assert_one_sentence(result, "body.npz")
    assert_one_sentence(aios("body", "check", junk), "body.npz")
    assert not (tmp_path / "x.npz").exists()


def test_a_mocap_that_is_none_is_one_sentence(tmp_path):
    for verb, output in (("import", "x.blend"), ("preview", "x.png")):
        assert_one_sentence(aios(verb, PHOTO, "-o", tmp_path / output), "Mocap")
    assert list(tmp_path.iterdir()) == []


def test_without_bpy_or_blender_run_says_how_to_get_it(tmp_path):
    result = aios("run", PHOTO, "-o", tmp_path / "x.blend", "--blender", "no-such-blender")
    assert_one_sentence(result, "no-such-blender")
    assert list(tmp_path.iterdir()) == []


def test_the_lists_explain_origin_and_licence():
    weights = aios("weights", "list").stdout
    assert "non-commercial" in weights and "AIOS_CHECKPOINT" in weights and "open.safetensors" in weights
    bodies = aios("body", "list").stdout
    assert "CC0" in bodies and "non-commercial" in bodies


def test_shipped_weights_and_body_pass_their_own_checks():
    assert "complete" in aios("weights", "check", "open").stdout
    assert "sound" in aios("body", "check", "open").stdout


def test_converted_weights_give_the_same_people(tmp_path):
    copy = tmp_path / "copy.safetensors"
    assert aios("weights", "convert", "open", "-o", copy).returncode == 0
    first = aios("estimate", PHOTO, "--json", "--threshold", "0.05").stdout
    assert aios("estimate", PHOTO, "--json", "--threshold", "0.05", "--weights", copy).stdout == first


def test_doctor_says_ready_on_a_sound_installation():
    result = aios("doctor")
    assert result.returncode == 0
    assert result.stdout.rstrip().endswith("Ready.")
