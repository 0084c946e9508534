"""Jobs: the network in a process of its own, started, watched and cancelled from anywhere, Blender included.

A job runs `python -m aios_core ... --progress json`, which prints one JSON event a line. A reader thread fills a
queue; `Job.poll()` empties it without waiting, so a timer in a window and a plain loop in the background both
work. Needs the standard library only: importing this module never imports torch.

Events are dictionaries with an "event" key:
    {"event": "progress", "stage": str, "done": int, "total": int | None, "people": int,
     "fps": float, "eta": float | None}
    {"event": "warning", "message": str}
    {"event": "done", "output": str, "people": int}
    {"event": "error", "message": str}
The last event of every job is "done", "error" or "cancelled".
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import threading
from collections import deque
from collections.abc import Iterable, Sequence

STOP = "stop\n"
"""What a capture that was started with --exit-with-parent reads from stdin as a wish to finish early."""
FINAL_EVENTS = frozenset({"done", "error", "cancelled"})


def estimate_command(
    python: str | os.PathLike, footage: str | os.PathLike, output: str | os.PathLike, options: Iterable[str] = ()
) -> list[str]:
    """The command line of a job that writes the Mocap of `footage` to `output`.

    `options` are further options of `aios estimate`, such as ("--threshold", "0.4").
    """
    return [
        str(python), "-m", "aios_core", "estimate", str(footage), "-o", str(output),
        "--progress", "json", "--exit-with-parent", *map(str, options),
    ]  # fmt: skip


def refine_command(
    python: str | os.PathLike, mocap: str | os.PathLike, output: str | os.PathLike, options: Iterable[str] = ()
) -> list[str]:
    """The command line of a job that cleans a saved Mocap again; `options` are those of `aios refine`."""
    return [
        str(python), "-m", "aios_core", "refine", str(mocap), "-o", str(output),
        "--progress", "json", *map(str, options),
    ]  # fmt: skip


def doctor_command(
    python: str | os.PathLike, weights: str | os.PathLike = "open", body: str | os.PathLike = ""
) -> list[str]:
    """The command line of a job that checks a runtime, weights and a body; its "done" event has a "message"."""
    command = [str(python), "-m", "aios_core", "doctor", "--progress", "json", "--weights", str(weights)]
    return [*command, "--body", str(body)] if body else command


class Job:
    """A running command that reports its progress as JSON lines."""

    def __init__(self, command: Sequence[str], environment: dict[str, str] | None = None):
        """Start `command`; failures to start become an error event, not an exception."""
        self.command = list(command)
        self._events: queue.SimpleQueue[dict] = queue.SimpleQueue()
        self._stderr_tail: deque[str] = deque(maxlen=20)
        self._cancelled = False
        self._finished = False
        self._process: subprocess.Popen | None = None
        try:
            self._process = subprocess.Popen(
                self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                encoding="utf-8", errors="replace", env=environment,
            )  # fmt: skip
        except OSError as error:
            self._events.put({"event": "error", "message": f"Cannot start {self.command[0]}: {error.strerror}."})
            return
        self._stderr_reader = threading.Thread(target=self._read_stderr, daemon=True)
        self._stderr_reader.start()
        threading.Thread(target=self._read_stdout, daemon=True).start()

    @property
    def running(self) -> bool:
        """True until the job's last event has been polled."""
        return not self._finished

    @property
    def log(self) -> str:
        """The last lines of the process's error output."""
        return "\n".join(self._stderr_tail)

    def poll(self) -> list[dict]:
        """Every event since the last call, oldest first; never waits."""
        events = []
        while not self._finished:
            try:
                event = self._events.get_nowait()
            except queue.Empty:
                break
            events.append(event)
            self._finished = event["event"] in FINAL_EVENTS
        return events

    def wait(self) -> dict:
        """Block until the job ends; the last event."""
        while True:
            event = self._events.get()
            if event["event"] in FINAL_EVENTS:
                self._finished = True
                return event

    def cancel(self, grace_seconds: float = 5.0) -> None:
        """Ask the process to stop, and end it if it has not stopped after `grace_seconds`; returns at once."""
        self._cancelled = True
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            killer = threading.Timer(grace_seconds, self._process.kill)
            killer.daemon = True
            killer.start()

    def finish_early(self) -> None:
        """Ask a capture to look no further and write what it has seen; a later one goes on from there."""
        with contextlib.suppress(OSError, ValueError):  # it may have ended just now
            self._process.stdin.write(STOP)
            self._process.stdin.flush()

    def _read_stderr(self) -> None:
        for line in self._process.stderr:
            self._stderr_tail.append(line.rstrip())

    def _read_stdout(self) -> None:
        last = None
        for line in self._process.stdout:
            event = parse_event(line)
            if event is None:
                self._stderr_tail.append(line.rstrip())
            elif event["event"] in FINAL_EVENTS:
                last = event
            else:
                self._events.put(event)
        code = self._process.wait()
        self._stderr_reader.join()
        self._process.stdin.close()
        self._events.put(self._final_event(code, last))

    def _final_event(self, code: int, last: dict | None) -> dict:
        if last is not None and (last["event"] != "done" or code == 0):
            return last
        if self._cancelled:
            return {"event": "cancelled"}
        reason = next((line for line in reversed(self._stderr_tail) if line.strip()), f"exit code {code}")
        if "No module named aios_core" in reason:
            return {"event": "error", "message": f"{self.command[0]} has no aios-core: choose another Python."}
        return {"event": "error", "message": f"The capture process stopped: {reason}"}


def progress_text(event: dict) -> str:
    """A progress event in words."""
    if "fps" not in event:
        return event["stage"]
    left = f", {event['eta']:.0f} s left" if event.get("eta") is not None else ""
    if event["stage"] == "fit":
        return f"Fitting people to the picture, {event['done']}/{event['total']} frames{left}"
    frames = f"{event['done']}/{event.get('total') or '?'} frames, {event['fps']:.1f} a second"
    return f"{frames}{left}, {event['people']} people"


def parse_event(line: str) -> dict | None:
    """The event on a line of output, or None when the line is something else."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else None
