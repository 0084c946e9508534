"""How a running capture is shown: a bar for people, JSON lines for programs, or nothing."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from tqdm import tqdm

if TYPE_CHECKING:
    from aios_core.pipeline.progress import Progress


class BarReporter:
    """A progress bar on stderr with rate, time left and the number of people."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None

    def progress(self, event: Progress) -> None:
        """Show one step of progress."""
        if self._bar is None or self._bar.desc != event.stage:
            self.close()
            self._bar = tqdm(total=event.total, desc=event.stage, unit="frame", file=sys.stderr, mininterval=0.2)
            self._bar.desc = event.stage
        self._bar.update(event.done - self._bar.n)
        self._bar.set_postfix_str(f"people {event.people}")

    def warning(self, message: str) -> None:
        """Say what the user should know although the work goes on."""
        self.close()
        print(f"aios: warning: {message}", file=sys.stderr)

    def error(self, message: str) -> None:
        """Say why the work ended."""
        self.close()
        print(f"aios: {message}", file=sys.stderr)

    def done(self, output: str, people: int) -> None:
        """Say what was written."""
        self.close()
        found = "1 person" if people == 1 else f"{people} people"
        print(f"{found} -> {output}")

    def close(self) -> None:
        """Finish the bar's line."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class JsonReporter:
    """One JSON event a line on stdout (see `aios_core.client`)."""

    def progress(self, event: Progress) -> None:
        """Print a progress event."""
        self._print(
            event="progress", stage=event.stage, done=event.done, total=event.total, people=event.people,
            fps=round(event.frames_per_second, 3), eta=event.seconds_left,
        )  # fmt: skip

    def warning(self, message: str) -> None:
        """Print a warning event."""
        self._print(event="warning", message=message)

    def error(self, message: str) -> None:
        """Print the final error event."""
        self._print(event="error", message=message)

    def done(self, output: str, people: int) -> None:
        """Print the final event of a job that went well."""
        self._print(event="done", output=output, people=people)

    def close(self) -> None:
        """Nothing to finish."""

    @staticmethod
    def _print(**event: object) -> None:
        print(json.dumps(event), flush=True)


class QuietReporter(BarReporter):
    """Warnings, errors and results only."""

    def progress(self, event: Progress) -> None:
        """Show nothing."""


REPORTERS = {"bar": BarReporter, "json": JsonReporter, "none": QuietReporter}
