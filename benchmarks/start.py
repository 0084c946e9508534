"""How soon the command line begins its work, and what loading weights costs: python -m benchmarks.start [--write]"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

from aios_core.config import AIOS
from aios_core.model.aios import AiOS
from aios_core.model.checkpoint import save_weights
from benchmarks.tables import column, parser, show

PHOTO = Path(__file__).parents[1] / "examples" / "footage" / "astronaut.jpg"
REPEATS = 3
REPORT = """
import json, os, resource, time
def report():
    used = resource.getrusage(resource.RUSAGE_SELF)
    started = float(open("/proc/self/stat").read().rsplit(") ", 1)[1].split()[19]) / os.sysconf("SC_CLK_TCK")
    seconds = time.clock_gettime(time.CLOCK_BOOTTIME) - started
    peak = open("/proc/self/status").read().split("VmHWM:")[1].split()[0]  # ru_maxrss would count the parent's too
    print(json.dumps([seconds, used.ru_utime + used.ru_stime, int(peak) / 1024]), flush=True)
    os._exit(0)
"""
STEPS = {
    "until weights are read (`aios estimate`)": """
import sys
from unittest.mock import patch
from aios_core.cli import main
with patch("aios_core.model.checkpoint.load_checkpoint", lambda path: report()):
    main(["estimate", sys.argv[1], "-o", sys.argv[2] + "/x.npz"])
""",
    "of which `import torch`": "import torch; report()",
    "until the people of a photograph are printed": """
import sys
from aios_core.cli import main
main(["estimate", sys.argv[1], "--json", "--threshold", "0.99"])
report()
""",
    "loading 290 MB of float32 weights, mapped": """
import sys
from aios_core.model.checkpoint import build_model
build_model(sys.argv[3])
report()
""",
    "the same, drawn at random and then copied": """
import sys
from aios_core.model.checkpoint import AiOS, load_checkpoint, load_weights
checkpoint = load_checkpoint(sys.argv[3])
load_weights(AiOS(checkpoint.config), checkpoint)
report()
""",
}
"""What is measured: a program for each, in a process of its own."""


@dataclass(frozen=True)
class Row:
    """One start, the fastest of some."""

    what: str = column("from the start of the process")
    seconds: float = column("seconds", ".2f")
    processor: float = column("of the processor", ".2f")
    peak_mib: float = column("peak memory, MiB", ".0f")


def measure() -> list[Row]:
    """A row for each of STEPS; they take turns. Linux only."""
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "aios.safetensors"
        save_weights(AiOS(AIOS), weights, fp16=False)
        found: dict[str, list[list[float]]] = {what: [] for what in STEPS}
        for _ in range(REPEATS):
            for what, program in STEPS.items():
                command = [sys.executable, "-c", REPORT + program, str(PHOTO), folder, str(weights)]
                out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
                found[what].append(json.loads(out.splitlines()[-1]))
    return [Row(what, *map(min, zip(*runs, strict=True))) for what, runs in found.items()]


def main() -> None:
    """Measure and print."""
    options = parser(__doc__).parse_args()
    torch.set_num_threads(options.threads)
    show("start", measure(), options.write)


if __name__ == "__main__":
    main()
