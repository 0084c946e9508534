"""Who is who, changed by hand: pure functions over a Mocap, and the command line over them."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from aios_core import mocap as m
from aios_core.cli import main
from aios_core.client import progress_text
from aios_core.errors import AiosError
from aios_core.tracks import delete_track, merge_tracks, rename_track, split_track
from tests.core.test_mocap import assert_same
from tests.mocaps import make_measured, make_mocap
from tests.motion_clips import clips, placed
from tests.noisy_mocaps import NetworkNoise, observe, scene


def with_measurements():
    made, rng = make_mocap(length=20), np.random.default_rng(3)
    return replace(made, tracks=tuple(replace(t, measured=make_measured(t, rng)) for t in made.tracks))


@pytest.mark.parametrize("frame", [1, 4, 6, 11])
def test_splitting_and_merging_again_changes_nothing(frame):
    made = with_measurements()
    number = 2 if frame > 2 else 1
    cut = split_track(made, number, frame)
    assert [track.id for track in cut.tracks if track.id not in (1, 2)] == [3]
    parts = {track.id: track for track in cut.tracks}
    assert parts[number].frames.max() < frame <= parts[3].frames.min()
    assert parts[3].measured.frames.min() >= frame
    merged = merge_tracks(cut, number, 3)
    for whole, track in zip(made.tracks, merged.tracks, strict=True):
        assert np.allclose(whole.betas, track.betas, atol=1e-6)
    exact = tuple(replace(track, betas=whole.betas) for whole, track in zip(made.tracks, merged.tracks, strict=True))
    assert_same(replace(merged, tracks=exact), made)


def test_of_two_keys_in_one_frame_the_better_scored_stays():
    made = with_measurements()
    merged = merge_tracks(made, 1, 2).tracks
    assert len(merged) == 1
    first, second = made.tracks
    for frame in second.frames:
        row, other = np.searchsorted(first.frames, frame), np.searchsorted(second.frames, frame)
        best = max((first.scores[row], second.scores[other]))
        assert merged[0].scores[np.searchsorted(merged[0].frames, frame)] == best
    assert (np.diff(merged[0].frames) > 0).all()
    m.check(replace(made, tracks=merged))


def test_names_and_deletion():
    made = make_mocap()
    assert [t.name for t in rename_track(made, 2, " Ann ").tracks] == ["Person 1", "Ann"]
    assert [t.id for t in delete_track(made, 1).tracks] == [2]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda made: rename_track(made, 9, "x"), "no track 9"),
        (lambda made: rename_track(made, 1, "  "), "empty"),
        (lambda made: split_track(made, 1, 0), "does not cut"),
        (lambda made: split_track(made, 2, 99), "does not cut"),
        (lambda made: merge_tracks(made, 1, 1), "itself"),
        (lambda made: merge_tracks(made, 1, 2), "only one of them"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(change, said):
    with pytest.raises(AiosError, match=said) as error:
        change(make_mocap())
    assert "\n" not in str(error.value)


@pytest.fixture
def file(tmp_path):
    """A Mocap of two noisy people, raw."""
    cast = clips()
    truth = scene([placed(cast["dancer"], -0.8, 4.5, np.pi), placed(cast["boxer"], 0.9, 4.6, 3.5)])
    m.save(truth, tmp_path / "truth.npz")
    return m.save(observe(truth, NetworkNoise(), 0), tmp_path / "clip.npz")


def test_tracks_are_listed_split_merged_renamed_and_deleted_from_the_command_line(file, capsys):
    assert main(["tracks", str(file), "list"]) == 0
    assert "dancer 1" in capsys.readouterr().out
    assert main(["tracks", str(file), "split", "1", "--frame", "60"]) == 0
    assert [len(t) for t in m.load(file).tracks] == [60, 90, 150]
    assert main(["tracks", str(file), "merge", "1", "3"]) == 0
    assert [len(t) for t in m.load(file).tracks] == [150, 150]
    assert main(["tracks", str(file), "rename", "2", "Bea"]) == 0
    assert main(["tracks", str(file), "delete", "1", "-o", str(file.with_name("one.npz"))]) == 0
    assert [t.name for t in m.load(file.with_name("one.npz")).tracks] == ["Bea"]
    assert len(m.load(file).tracks) == 2
    assert main(["tracks", str(file), "delete", "7"]) == 2
    assert "no track 7" in capsys.readouterr().err


def test_refining_again_with_other_settings_needs_no_network(file, tmp_path, capsys):
    assert main(["refine", str(file), "-o", str(tmp_path / "a.npz"), "--progress", "none"]) == 0
    assert (
        main(["refine", str(tmp_path / "a.npz"), "-o", str(tmp_path / "b.npz"), "--smooth", "3", "--progress", "none"])
        == 0
    )
    once, harder = m.load(tmp_path / "a.npz").tracks[0], m.load(tmp_path / "b.npz").tracks[0]
    bend = [np.abs(np.diff(t.body_pose, 2, axis=0)).mean() for t in (once, harder)]
    assert bend[1] < bend[0]
    assert np.array_equal(once.measured.body_pose, harder.measured.body_pose), "what was measured is kept"
    assert main(["refine", str(file), "--smooth", "-1"]) == 2
    assert main(["refine", str(file.with_name("truth.npz"))]) == 2
    assert "no measurements" in capsys.readouterr().err


def test_refining_tells_how_far_the_fit_is(file, tmp_path, capsys):
    assert main(["refine", str(file), "-o", str(tmp_path / "a.npz"), "--progress", "json", "--fit"]) == 0
    *fitting, done = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    frames = sum(len(track) for track in m.load(file).tracks)
    assert all(event["stage"] == "fit" and event["total"] == frames for event in fitting)
    assert [event["done"] for event in fitting] == sorted(event["done"] for event in fitting)
    assert fitting[0]["done"] == 0 and fitting[-1]["done"] == frames and done["event"] == "done"
    assert f"{frames}/{frames} frames" in progress_text(fitting[-1])


def test_a_mocap_is_measured_against_a_truth(file, tmp_path, capsys):
    assert main(["refine", str(file), "-o", str(tmp_path / "a.npz"), "--progress", "none"]) == 0
    scores = []
    for name in ("clip.npz", "a.npz"):
        capsys.readouterr()
        assert main(["evaluate", str(tmp_path / name), "--truth", str(tmp_path / "truth.npz"), "--json"]) == 0
        scores.append(json.loads(capsys.readouterr().out))
    raw, clean = scores
    assert clean["identity"]["idf1"] == 1
    for before, after in zip(raw["people"], clean["people"], strict=True):
        assert after["acceleration_m_s2"] < 0.1 * before["acceleration_m_s2"]
        assert after["frames"] == 150
    truth = str(tmp_path / "truth.npz")
    assert main(["evaluate", truth, "--truth", truth]) == 0
    assert "mpjpe_mm               0.000" in capsys.readouterr().out
    short = replace(m.load(truth), timestamps=np.arange(200) / 30)
    assert main(["evaluate", str(m.save(short, tmp_path / "s.npz")), "--truth", truth]) == 2


def test_a_camera_path_must_fit_and_be_rigid(file, tmp_path, capsys):
    path = tmp_path / "path.json"
    straight = np.tile(np.eye(4), (150, 1, 1))
    for matrices, said in (
        (straight[:10], "10 frames"),
        (straight * 2, "only turn and move"),
        (np.zeros((3, 3)), "shape"),
    ):
        path.write_text(json.dumps(matrices.tolist()))
        assert main(["refine", str(file), "--camera-path", str(path), "--progress", "none"]) == 2
        assert said in capsys.readouterr().err
    path.write_text("{}")
    assert main(["refine", str(file), "--camera-path", str(path), "--progress", "none"]) == 2
    path.write_text(json.dumps({"camera_to_world": (m.LEVEL[None] + 0 * straight).tolist()}))
    assert main(["refine", str(file), "--camera-path", str(path), "--progress", "none"]) == 0
    assert m.load(file).camera_to_world.shape == (150, 4, 4)


def test_a_known_shape_is_kept_and_people_are_placed_for_it(file, capsys):
    assert main(["refine", str(file), "--progress", "none"]) == 0
    before = m.load(file).tracks[0]
    betas = ",".join(["2.5"] + ["0"] * 9)
    assert main(["refine", str(file), "--shape", f"{before.id}={betas}", "--progress", "none"]) == 0
    after = m.load(file).tracks[0]
    assert np.allclose(after.betas, [2.5] + [0] * 9)
    farther = after.transl[:, 2].mean() / before.transl[:, 2].mean()
    assert abs(farther - 1) > 0.02, "another size looks as large at another distance"
    for wrong in ("99=" + betas, f"{before.id}=1,2", "shape"):
        assert main(["refine", str(file), "--shape", wrong, "--progress", "none"]) == 2
        assert "ten coefficients" in capsys.readouterr().err


def test_a_focal_length_that_is_known_later_moves_people_and_is_said(file, tmp_path, capsys):
    assert main(["refine", str(file), "-o", str(tmp_path / "a.npz"), "--progress", "none"]) == 0
    assert main(["refine", str(file), "-o", str(tmp_path / "b.npz"), "--focal", "1640", "--progress", "none"]) == 0
    near, far = (m.load(tmp_path / name).tracks[0].transl[:, 2].mean() for name in ("a.npz", "b.npz"))
    assert far / near == pytest.approx(2, rel=0.1), "twice the focal length of 820 pixels is twice as far away"
    capsys.readouterr()
    assert main(["tracks", str(tmp_path / "b.npz"), "list"]) == 0
    assert "focal length 1640 px (as stated)" in capsys.readouterr().out
    for wrong in (["--focal", "0"], ["--fov", "180"], ["--fov", "-3"]):
        assert main(["refine", str(file), *wrong, "--progress", "none"]) == 2
        assert "not" in capsys.readouterr().err


def test_refining_imports_no_torch(file):
    code = "import sys; from aios_core.cli import main; main(sys.argv[1:]); sys.exit('torch' in sys.modules)"
    command = [sys.executable, "-c", code, "refine", str(file), "--progress", "none"]
    assert subprocess.run(command, capture_output=True).returncode == 0
