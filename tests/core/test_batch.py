"""Many clips: each is captured once, whoever works on them, and what broke off goes on."""

import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from aios_core import mocap
from aios_core.batch import BUSY, DONE, FAILED, KEPT, capture_clips, output_names, shard_of
from aios_core.errors import AiosError, FootageError

ROOT = Path(__file__).parents[2]
PHOTO = ROOT / "examples" / "footage" / "astronaut.jpg"


class Recorder:
    """A capture that notes what it was asked for."""

    def __init__(self):
        self.seen = []

    def __call__(self, clip, output):
        self.seen.append(clip)
        if "bad" in clip:
            raise FootageError(f"{clip} is no footage.")
        output.write_text("people")
        return 2


def states(results):
    return [result.state for result in results]


def test_what_is_done_is_kept_and_what_failed_is_tried_again(tmp_path):
    capture = Recorder()
    clips = ["a.mp4", "bad.mp4", "c.mp4"]
    assert states(capture_clips(clips, tmp_path, {"step": 1}, capture)) == [DONE, FAILED, DONE]
    assert json.loads((tmp_path / "bad.json").read_text())["message"] == "bad.mp4 is no footage."
    assert states(capture_clips(clips, tmp_path, {"step": 1}, capture)) == [KEPT, FAILED, KEPT]
    assert capture.seen == [*clips, "bad.mp4"]


def test_other_settings_or_other_footage_or_fresh_capture_again(tmp_path):
    capture, clip = Recorder(), tmp_path / "a.mp4"
    clip.write_text("one")
    run = lambda **more: states(capture_clips([str(clip)], tmp_path, {"step": 1} | more, capture))  # noqa: E731
    assert run() == [DONE] and run() == [KEPT] and run(step=2) == [DONE] and run() == [DONE]
    clip.write_text("another")
    assert run() == [DONE]
    assert states(capture_clips([str(clip)], tmp_path, {"step": 1}, capture, fresh=True)) == [DONE]


def test_shards_share_out_every_clip_once(tmp_path):
    clips = [f"{i}.mp4" for i in range(7)]
    capture = Recorder()
    for i in range(3):
        capture_clips(clips, tmp_path, {}, capture, (i, 3))
    assert sorted(capture.seen) == clips


def test_workers_that_race_capture_every_clip_once(tmp_path):
    clips, capture, results = ["a.mp4", "b.mp4"], Recorder(), {}
    begun, go_on = threading.Event(), threading.Event()

    def slow(clip, output):
        if clip == "a.mp4":
            begun.set()
            go_on.wait(timeout=30)
        return capture(clip, output)

    worker = threading.Thread(target=lambda: results.update(first=states(capture_clips(clips, tmp_path, {}, slow))))
    worker.start()
    assert begun.wait(timeout=30)
    second = states(capture_clips(clips, tmp_path, {}, capture))
    go_on.set()
    worker.join()
    assert second == [BUSY, DONE] and results["first"] == [DONE, KEPT]
    assert sorted(capture.seen) == clips


def test_a_worker_that_was_killed_leaves_no_lock(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from aios_core.batch import capture_clips\n"
        "capture_clips(['a.mp4'], Path(sys.argv[1]), {}, lambda clip, output: os._exit(9))"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT).returncode == 9
    assert states(capture_clips(["a.mp4"], tmp_path, {}, Recorder())) == [DONE]


def test_clips_of_one_name_get_files_of_their_own():
    names = output_names(["/a/shot.mp4", "/b/shot.mp4", "/a/other_####.png"])
    assert len(set(names.values())) == 3 and names["/a/other_####.png"] == "other"


@pytest.mark.parametrize("text", ["0/2", "3/2", "a/b", "2"])
def test_a_shard_that_makes_no_sense_is_one_sentence(text):
    with pytest.raises(AiosError, match="such as 1/4"):
        shard_of(text)
    assert shard_of("2/3") == (1, 3) and shard_of(None) == (0, 1)


def test_the_command_line_captures_a_list_with_a_worker_for_each_device(tmp_path):
    clips = []
    for name in ("a", "b"):
        clips.append(str(tmp_path / f"{name}.jpg"))
        shutil.copy(PHOTO, clips[-1])
    command = [
        sys.executable, "-m", "aios_core", "run", *clips, str(tmp_path / "missing.mp4"), "-o", str(tmp_path / "out"),
        "--no-blend", "--devices", "cpu,cpu",
    ]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=180)
    assert result.returncode == 2, result.stderr
    assert "missing.mp4" in result.stderr and "Traceback" not in result.stderr
    assert all(mocap.load(tmp_path / "out" / f"{name}.npz").width == 512 for name in ("a", "b"))
