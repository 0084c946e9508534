"""The exported network in ONNX Runtime against PyTorch, on the CPU: python -m benchmarks.onnx [--threads 2]

The two take turns in one process. `aios` has random weights: they do not change the time.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnxruntime
import torch

from aios_core.config import AIOS, OPEN
from aios_core.model.aios import AiOS
from aios_core.model.checkpoint import build_model
from aios_core.model.onnx_export import export_onnx
from benchmarks.network import seconds


@dataclass(frozen=True)
class Row:
    """One network at one size."""

    network: str
    pictures: int
    onnx_runtime_per_second: float
    pytorch_per_second: float
    ratio: float
    """Of ONNX Runtime's rate to PyTorch's."""


def runs(
    model: AiOS, width: int, height: int, batch: int, threads: int, path: Path
) -> tuple[Callable[[], object], Callable[[], object]]:
    """One forward pass in ONNX Runtime and one in PyTorch."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Threads that spin while they wait would take the cores away from PyTorch's turn.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    images = torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(0))
    padding_mask = torch.zeros(batch, height, width, dtype=torch.bool)
    feed = {"images": images.numpy(), "padding_mask": padding_mask.numpy()}
    return lambda: session.run(None, feed), lambda: model(images, padding_mask)


def measured(name: str, model: AiOS, size: tuple[int, int], batches: tuple[int, ...], threads: int, repeats: int):
    """Rows of one network for pictures of `size` (width, height)."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        path = export_onnx(model, Path(folder) / "network.onnx", size)
        for batch in batches:
            with torch.inference_mode():
                (ours, _), (torch_ours, _) = seconds(runs(model, *size, batch, threads, path), repeats)
            title = f"{name}, {size[1]}x{size[0]}"
            found.append(Row(title, batch, batch / ours, batch / torch_ours, torch_ours / ours))
    return found


def rows(threads: int = 2, repeats: int = 5, with_aios: bool = True) -> list[Row]:
    """The table: `open` at its working resolution, one and four pictures at a time, and `aios` at 400x666."""
    torch.set_num_threads(threads)
    found = measured(
        "open", build_model("open"), (OPEN.long_side, OPEN.short_side), (1, 4), threads, 4 * repeats
    )  # fmt: skip
    if with_aios:
        found += measured("aios", AiOS(AIOS).eval(), (666, 400), (1,), threads, max(repeats // 2, 1))
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.onnx", description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--open-only", action="store_true", help="without the published network")
    options = parser.parse_args()
    for row in rows(options.threads, options.repeats, not options.open_only):
        print(
            f"{row.network}, {row.pictures} at a time: ONNX Runtime {row.onnx_runtime_per_second:.1f} a second, "
            f"PyTorch {row.pytorch_per_second:.1f}: {row.ratio:.2f} times as fast"
        )


if __name__ == "__main__":
    main()
