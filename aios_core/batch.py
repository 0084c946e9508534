"""Many clips: each is captured once, whoever captures it, and a run that broke off goes on where it was.

A folder holds NAME.npz (and NAME.blend) for every clip and NAME.json that says what became of it: of what footage,
with what settings, how many people or what went wrong. Whoever works on a clip holds the lock on .NAME.lock, so any
number of workers may be given the same list and the same folder, on one machine or on shared storage whose locks work.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from aios_core.errors import AiosError, OutputError
from aios_core.output import locked_file, whole_file

DONE, FAILED, KEPT, BUSY = "done", "failed", "kept", "busy"


@dataclass(frozen=True)
class ClipResult:
    """What became of a clip."""

    clip: str
    state: str
    """'done' now; 'failed'; 'kept' as it was done before; 'busy' with another worker."""
    people: int = 0
    seconds: float = 0.0
    message: str = ""
    """Why it failed."""


def capture_clips(
    clips: Sequence[str],
    folder: Path,
    settings: Mapping[str, object],
    capture: Callable[[str, Path], int],
    shard: tuple[int, int] = (0, 1),
    fresh: bool = False,
) -> list[ClipResult]:
    """Capture this worker's clips that nobody has captured yet with these settings.

    capture: writes the Mocap of a clip to a path and returns the number of people; its AiosErrors become results.
    shard: (i, n): every n-th clip from the i-th on, counted from 0. fresh: also those that are done.
    """
    names, since = output_names(clips), time.time() if fresh else 0.0

    def one(clip: str) -> ClipResult:
        return _capture_clip(clip, folder / names[clip], settings, capture, since)

    results = [one(clip) for clip in clips[shard[0] :: shard[1]]]
    # Another worker may have died over a clip that was busy.
    return [one(result.clip) if result.state == BUSY else result for result in results]


def _capture_clip(
    clip: str, base: Path, settings: Mapping[str, object], capture: Callable[[str, Path], int], since: float
) -> ClipResult:
    """Capture a clip that was not captured, or not since that time."""
    lock = locked_file(base.with_name(f".{base.name}.lock"))
    if lock is None:
        return ClipResult(clip, BUSY)
    with lock:
        wanted = json.loads(json.dumps({"footage": _identity(clip), "settings": dict(settings)}, default=str))
        about = Path(f"{base}.json")
        before = _read(about) if about.exists() and about.stat().st_mtime >= since else {}
        if before.get("state") == DONE and all(before.get(k) == v for k, v in wanted.items()):
            return ClipResult(clip, KEPT, before.get("people", 0))
        begun = time.monotonic()
        try:
            people = capture(clip, Path(f"{base}.npz"))
            result = ClipResult(clip, DONE, people, round(time.monotonic() - begun, 2))
        except AiosError as error:
            result = ClipResult(clip, FAILED, seconds=round(time.monotonic() - begun, 2), message=str(error))
        with whole_file(about) as temporary:
            temporary.write_text(json.dumps(asdict(result) | wanted, indent=1))
        return result


def _identity(clip: str) -> dict[str, object]:
    """What tells footage from other footage at the same place."""
    path = Path(clip)
    if not path.is_file():
        return {"path": str(path.absolute())}
    about = path.stat()
    return {"path": str(path.absolute()), "size": about.st_size, "changed": about.st_mtime_ns}


def _read(path: Path) -> dict:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def output_names(clips: Sequence[str]) -> dict[str, str]:
    """For every clip the name of its files; clips of one name in several folders get a few digits more."""
    stems = {clip: Path(clip).stem.strip("#_.- ") or "clip" for clip in clips}
    count = Counter(stems.values())
    return {
        clip: stem if count[stem] == 1 else f"{stem}-{sha256(str(Path(clip).absolute()).encode()).hexdigest()[:8]}"
        for clip, stem in stems.items()
    }


def checked_folder(path: str | os.PathLike) -> Path:
    """The folder, made if it is not there.

    Raises:
        OutputError: it cannot be made or is a file.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"Cannot write to {folder}: {error.strerror or error}.") from error
    return folder


def shard_of(text: str | None) -> tuple[int, int]:
    """(i, n) counted from 0, of '1/4', counted from 1.

    Raises:
        AiosError: the text is no such thing.
    """
    if text is None:
        return 0, 1
    parts = text.split("/")
    if len(parts) != 2 or not all(part.isdigit() for part in parts) or not 1 <= int(parts[0]) <= int(parts[1]):
        raise AiosError(f"--shard {text}: give the worker and the number of workers, such as 1/4.")
    return int(parts[0]) - 1, int(parts[1])


def start_workers(arguments: Sequence[str], devices: str) -> int:
    """The same command once for every device, side by side; the greatest exit code."""
    kept = list(arguments)
    for i, argument in enumerate(kept):
        if argument.startswith("--devices"):
            del kept[i : i + (1 if "=" in argument else 2)]
            break
    command = [sys.executable, "-m", "aios_core", *kept, "--progress", "none", "--device"]
    workers = [subprocess.Popen([*command, device.strip()]) for device in devices.split(",") if device.strip()]
    if not workers:
        raise AiosError("--devices names no device.")
    try:
        return max(worker.wait() for worker in workers)
    finally:
        for worker in workers:
            worker.terminate()


def sum_up(results: Sequence[ClipResult]) -> int:
    """Print what became of the clips; 2 if one failed."""
    for result in results:
        if result.state == FAILED:
            print(f"aios: {result.clip}: {result.message}", file=sys.stderr)
    count = Counter(result.state for result in results)
    print(", ".join(f"{count[state]} {state}" for state in (DONE, KEPT, BUSY, FAILED) if count[state]) or "no clips")
    return AiosError.exit_code if count[FAILED] else 0
