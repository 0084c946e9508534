"""Tables of measurements: rows are dataclasses, printed as Markdown and written between the markers of docs/speed.md"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from aios_core.output import whole_file

SPEED = Path(__file__).parents[1] / "docs" / "speed.md"
PACKAGES = ("torch", "numpy", "opencv-python", "opencv-python-headless", "av", "bpy", "smplx")


def column(title: str, form: str = "") -> Any:
    """A field of a row: its title in the table and how its numbers are formatted (as in `format`)."""
    return field(metadata={"title": title, "form": form})


def markdown(rows: Sequence[object]) -> str:
    """A Markdown table of rows, at least one, all of one dataclass; floats without a form get three digits."""
    columns = fields(rows[0])
    lines = [[f.metadata.get("title", f.name.replace("_", " ")) for f in columns], ["---"] * len(columns)]
    lines += [[_cell(getattr(row, f.name), f.metadata.get("form", "")) for f in columns] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: object, form: str) -> str:
    if value is None:
        return "-"
    if isinstance(value, float) and not form:
        return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    return format(value, form)


def write_table(text: str, name: str, path: Path = SPEED) -> None:
    """Put a table's text between its markers, `<!-- name -->` and `<!-- /name -->`, in a Markdown file.

    Raises:
        ValueError: the file has no such markers.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    page, count = re.subn(
        f"(?<={re.escape(begin)}).*?(?={re.escape(end)})", lambda _: f"\n{text}\n", path.read_text(), flags=re.DOTALL
    )
    if count != 1:
        raise ValueError(f"{path} has {count} places for the table {name}: write {begin} and {end} once.")
    with whole_file(path) as temporary:
        temporary.write_text(page)


def show(name: str, rows: Sequence[object], write: bool = False) -> None:
    """Print a table, and write it to docs/speed.md if asked to."""
    text = markdown(rows)
    print(f"\n{name}\n\n{text}", flush=True)
    if write:
        write_table(text, name)


def parser(description: str) -> argparse.ArgumentParser:
    """Of a benchmark's options: --write puts its tables into docs/speed.md, --threads are torch's."""
    options = argparse.ArgumentParser(description=description.splitlines()[0])
    options.add_argument("--write", action="store_true", help="also write the tables to docs/speed.md")
    options.add_argument("--threads", type=int, default=2)
    return options


@dataclass(frozen=True)
class Fact:
    """Something that measurements depend on."""

    what: str = column("measured on")
    value: str = column("")


def machine(threads: int) -> list[Fact]:
    """This machine, today."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    there = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            there.append(f"{package} {version(package)}")
    return [
        Fact("processor", f"{_processor()}, {cores} cores, {threads} threads used"),
        Fact("system", f"{platform.system()} {platform.machine()}"),
        Fact("versions", ", ".join(there)),
        Fact("date", datetime.date.today().isoformat()),
    ]


def _processor() -> str:
    """The processor's name, and the widest vector instructions that Linux says it has."""
    stated = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    found = re.search(r"model name\s*: (.*)", stated)
    name = found[1] if found else platform.processor() or "unknown"
    widest = next((flag for flag in ("amx_bf16", "avx512f", "avx2") if re.search(rf"\b{flag}\b", stated)), "")
    return f"{name} {widest}".strip()
