"""Jobs run in processes of their own; what they print becomes events, however they end."""

import subprocess
import sys
import time
from pathlib import Path

from aios_core import mocap
from aios_core.client import Job, estimate_command, parse_event


def python_job(code: str) -> Job:
    return Job([sys.executable, "-u", "-c", code])


def test_events_arrive_in_order_and_the_last_one_is_done():
    job = python_job(
        'print(\'{"event": "progress", "done": 1}\'); print(\'chatter\'); print(\'{"event": "done", "output": "x"}\')'
    )
    names = []
    while job.running:
        names += [event["event"] for event in job.poll()]
        time.sleep(0.01)
    assert names == ["progress", "done"]
    assert not job.running
    assert "chatter" in job.log


def test_poll_never_waits():
    job = python_job("import time; time.sleep(30)")
    start = time.monotonic()
    assert job.poll() == []
    assert time.monotonic() - start < 1
    job.cancel()
    assert job.wait()["event"] == "cancelled"


def test_a_crash_becomes_an_error_event_with_the_last_line_of_stderr():
    event = python_job("raise RuntimeError('out of memory')").wait()
    assert event["event"] == "error"
    assert "out of memory" in event["message"]


def test_done_followed_by_a_crash_is_an_error():
    event = python_job('import sys; print(\'{"event": "done"}\'); sys.exit(3)').wait()
    assert event == {"event": "error", "message": "The capture process stopped: exit code 3"}


def test_a_missing_program_becomes_an_error_event():
    event = Job(["/no/such/python", "-c", ""]).wait()
    assert event["event"] == "error"
    assert "/no/such/python" in event["message"]


def test_a_job_that_ignores_the_request_to_stop_is_ended():
    job = python_job(
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready'); time.sleep(60)"
    )
    while "ready" not in job.log:
        time.sleep(0.02)
    job.cancel(grace_seconds=0.2)
    assert job.wait()["event"] == "cancelled"


def test_a_worker_ends_when_its_parent_dies():
    parent = (
        "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', "
        "'import sys, time, threading; from aios_core.cli import _exit_when_stdin_closes as watch; "
        "threading.Thread(target=watch, args=[threading.Event()], daemon=True).start(); "
        "time.sleep(60)'], stdin=subprocess.PIPE); "
        "print(child.pid, flush=True)"
    )
    out = subprocess.run([sys.executable, "-c", parent], capture_output=True, text=True, timeout=20).stdout
    deadline = time.monotonic() + 10
    while _alive(int(out)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(int(out))


def test_a_capture_that_finishes_early_keeps_what_it_has_seen_and_goes_on_later(tmp_path):
    footage = Path(__file__).parents[2] / "examples" / "footage" / "plaza.mp4"
    output = tmp_path / "clip.npz"
    command = estimate_command(sys.executable, footage, output, ["--stop", "48", "--scale", "0.5"])
    job, last = Job(command), {}
    while job.running:
        for last in job.poll():
            if last["event"] == "progress":
                job.finish_early()
        time.sleep(0.01)
    assert last["event"] == "done", last
    seen = mocap.load(output).frame_count
    assert 0 < seen < 48
    again, events = Job(command), []
    while again.running:
        events += again.poll()
        time.sleep(0.01)
    assert f"behind the {seen} frames" in events[0]["message"] and events[-1]["event"] == "done"
    assert mocap.load(output).frame_count == 48
    assert [path.name for path in tmp_path.iterdir()] == ["clip.npz"]


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().split()[2] != "Z"
    except OSError:
        return False


def test_only_json_objects_with_an_event_are_events():
    assert parse_event('{"event": "done"}') == {"event": "done"}
    assert parse_event("[1]") is None
    assert parse_event('{"other": 1}') is None
    assert parse_event("loading ...") is None
