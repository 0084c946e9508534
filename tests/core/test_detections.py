"""Detections on disk: nothing seen is lost, whatever ends a run; a run with other settings is another run."""

import json
import signal
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from aios_core import mocap
from aios_core.errors import OutputError
from aios_core.pipeline import detections
from aios_core.pipeline.detections import FrameDetections, chunk_path, open_run
from aios_core.pipeline.people import FramePeople
from tests.core.test_media import write_video
from tests.tracking_scenes import DetectorNoise, crossing, detect

FOOTAGE = Path(__file__).parents[2] / "examples" / "footage" / "plaza.mp4"


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(detections, "CHUNK_FRAMES", 4)


def frames(count: int) -> list[FrameDetections]:
    seen = detect(crossing(), DetectorNoise(), 0)[40 : 40 + count]
    return [FrameDetections(2 * i, i / 15, people) for i, (people, _) in enumerate(seen)]


def assert_same(first: list[FrameDetections], second: list[FrameDetections]) -> None:
    assert [(f.index, f.timestamp) for f in first] == [(f.index, f.timestamp) for f in second]
    for a, b in zip(first, second, strict=True):
        for f in fields(FramePeople):
            assert np.array_equal(getattr(a.people, f.name), getattr(b.people, f.name)), f.name


def test_what_is_added_comes_back_and_goes_on_after_a_crash(tmp_path, small_chunks):
    seen = frames(11)
    with open_run(tmp_path / "run", {"a": 1}) as run:
        for frame in seen[:10]:
            run.add(frame)
    # Two whole chunks are on disk; the crash lost what waited for the third.
    with open_run(tmp_path / "run", {"a": 1}) as run:
        assert (run.frames_done, run.last_index) == (8, 14)
        for frame in seen[8:]:
            run.add(frame)
        run.flush()
        assert_same([frame for chunk in run.read_chunks() for frame in chunk], seen)


@pytest.mark.parametrize(("settings", "fresh"), [({"a": 2}, False), ({"a": 1}, True)])
def test_other_settings_or_fresh_begin_anew(tmp_path, small_chunks, settings, fresh):
    with open_run(tmp_path / "run", {"a": 1}) as run:
        for frame in frames(4):
            run.add(frame)
    with open_run(tmp_path / "run", settings, fresh) as run:
        assert run.frames_done == 0
        assert list((tmp_path / "run").glob("chunk-*")) == []


@pytest.mark.parametrize("damage", ["cut", "missing"])
def test_a_damaged_chunk_and_what_follows_is_looked_at_again(tmp_path, small_chunks, damage):
    with open_run(tmp_path / "run", {}) as run:
        for frame in frames(12):
            run.add(frame)
        run.finish({"threshold": 0.4})
    path = chunk_path(tmp_path / "run", 1)
    path.write_bytes(path.read_bytes()[:200]) if damage == "cut" else path.unlink()
    warnings: list[str] = []
    with open_run(tmp_path / "run", {}, on_warning=warnings.append) as run:
        assert run.frames_done == 4
        assert run.finished() is None
    assert len(warnings) == 1


def test_two_runs_cannot_write_to_one_folder(tmp_path):
    with open_run(tmp_path / "run", {}), pytest.raises(OutputError, match="Another run"):
        open_run(tmp_path / "run", {})
    open_run(tmp_path / "run", {}).close()


def test_a_finished_run_is_removed_with_its_folder(tmp_path):
    with open_run(tmp_path / "run", {}) as run:
        run.add(frames(1)[0])
        run.finish({})
        run.remove()
    assert list(tmp_path.iterdir()) == []


def capture(clip: Path, output: Path, *more: str, prelude: str = "") -> list[str]:
    """The command line of a capture, with Python lines that run before it."""
    code = f"import sys\n{prelude}\nfrom aios_core.cli import main; sys.exit(main(sys.argv[1:]))"
    options = ["estimate", str(clip), "-o", str(output), "--progress", "json", "--device", "cpu", *more]
    return [sys.executable, "-c", code, *options]


def events(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


SMALL_CHUNKS = "import aios_core.pipeline.detections as d; d.CHUNK_FRAMES = 8"
NO_NETWORK = """
import aios_core.pipeline.capture as c
def none(*a): raise SystemExit('the network was loaded')
c.load_network = none
"""


@pytest.mark.parametrize("end", [signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)])
def test_a_capture_that_was_ended_goes_on_and_gives_the_same_mocap(tmp_path, end):
    once, again = (
        capture(FOOTAGE, tmp_path / f"{name}.npz", "--stop", "48", prelude=SMALL_CHUNKS) for name in ("once", "again")
    )
    assert subprocess.run(once, capture_output=True).returncode == 0
    process = subprocess.Popen(again, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "progress" and event["done"] >= 20:
            process.send_signal(end)
            break
    process.communicate()
    assert not (tmp_path / "again.npz").exists()
    folder = tmp_path / "again.detections"
    assert len(list(folder.glob("chunk-*.npz"))) >= 2
    finished = subprocess.run(again, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    told = events(finished.stdout)
    assert any("an earlier run has looked at" in e["message"] for e in told if e["event"] == "warning")
    assert next(e["done"] for e in told if e["event"] == "progress") > 12, "at most one chunk is looked at again"
    assert not folder.exists()
    first, second = (mocap.load(tmp_path / f"{name}.npz") for name in ("once", "again"))
    assert len(first.tracks) == len(second.tracks) > 0
    for a, b in zip(first.tracks, second.tracks, strict=True):
        # Batches fall differently after a restart, which moves the last bits of float32.
        assert np.array_equal(a.frames, b.frames)
        assert np.abs(a.transl - b.transl).max() < 1e-3
        assert np.abs(a.body_pose - b.body_pose).max() < 1e-3


def test_kept_detections_need_no_network(tmp_path):
    clip = write_video(tmp_path / "clip.mp4", 6)
    first = subprocess.run(capture(clip, tmp_path / "a.npz", "--keep-detections"), capture_output=True, text=True)
    assert first.returncode == 0, first.stderr
    assert (tmp_path / "a.detections" / "finished.json").exists()
    again = capture(clip, tmp_path / "a.npz", "--keep-detections", "--smooth", "2", prelude=NO_NETWORK)
    assert subprocess.run(again, capture_output=True, text=True).returncode == 0
    other = capture(clip, tmp_path / "a.npz", "--step", "2", prelude=NO_NETWORK)
    assert "the network was loaded" in subprocess.run(other, capture_output=True, text=True).stderr
