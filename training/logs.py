"""What a run tells: JSON lines for programs, TensorBoard's files for eyes, a line on the terminal."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from training.processes import Processes

FILE = "log.jsonl"


class Log:
    """Numbers by step in RUN/log.jsonl and, where the package `tensorboard` is installed, in RUN/tensorboard.

    All processes have one; the first writes the means of everybody's.
    """

    def __init__(self, folder: Path, step: int, processes: Processes):
        """Continue a run's log after `step`: what a stopped run wrote later is dropped."""
        self.processes, self.averages, self.since, self.pictures = processes, Averages(), time.monotonic(), 0
        self.file = self.board = None
        if processes.is_first:
            path = folder / FILE
            keep = [line for line in _lines(path) if _step(line) <= step]
            path.write_text("".join(f"{line}\n" for line in keep))
            self.file = open(path, "a")  # noqa: SIM115 (closed at the end of the run)
            self.board = _board(folder / "tensorboard", step)

    def add(self, terms: Mapping[str, float | Tensor], pictures: int) -> None:
        """Take in one step of this process."""
        self.averages.add(terms)
        self.pictures += pictures

    def tell(self, step: int, seconds: float, rate: float) -> None:
        """Write the means over the steps and processes since the last time. All processes call it."""
        own = {name: float(value) for name, value in self.averages.take().items()}
        means = mean_of_processes(self.processes.gather(own))
        speed = self.pictures * self.processes.world / (time.monotonic() - self.since)
        self.since, self.pictures = time.monotonic(), 0
        if self.processes.is_first:
            self._write(step, {"seconds": seconds, "rate": rate, "pictures_per_second": speed} | means)

    def _write(self, step: int, numbers: Mapping[str, float]) -> None:
        print(json.dumps({"step": step} | {k: _short(v) for k, v in numbers.items()}), file=self.file, flush=True)
        if self.board is not None:
            for name, value in numbers.items():
                self.board.add_scalar(name, value, step)
        shown = ("total", "gradient", "pictures_per_second")
        told = "  ".join(f"{name.replace('_', ' ')} {_short(numbers[name])}" for name in shown if name in numbers)
        print(f"step {step}  {told}", flush=True)

    def close(self) -> None:
        """Write out what is still held back."""
        if self.file is not None:
            self.file.close()
        if self.board is not None:
            self.board.close()


class Averages:
    """Means of terms over steps; values are summed where they are, without waiting for a GPU."""

    def __init__(self) -> None:
        self.sums: dict[str, float | Tensor] = {}
        self.counts: dict[str, int] = {}

    def add(self, terms: Mapping[str, float | Tensor]) -> None:
        """Take one step's terms in."""
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
            self.counts[name] = self.counts.get(name, 0) + 1

    def take(self) -> dict[str, float | Tensor]:
        """The means since the last time."""
        means = {name: value / self.counts[name] for name, value in self.sums.items()}
        self.sums, self.counts = {}, {}
        return means


def mean_of_processes(values: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each number over the processes that have it."""
    names = {name: None for each in values for name in each}
    return {name: sum(v) / len(v) for name in names if (v := [each[name] for each in values if name in each])}


def _board(folder: Path, step: int):
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        print("TensorBoard's files are left out: the package tensorboard is not installed.", file=sys.stderr)
        return None
    return SummaryWriter(str(folder), purge_step=step + 1)


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def _step(line: str) -> float:
    """The step of a line; a line that was cut off by the end of the process counts as later than all."""
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError):
        return float("inf")


def _short(value: float) -> float:
    """Four digits behind the point, or four in all of small numbers."""
    return round(value, 4) if abs(value) >= 0.1 else float(f"{value:.4g}")
