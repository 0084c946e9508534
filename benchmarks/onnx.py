"""The exported network in ONNX Runtime against PyTorch, on the CPU: python -m benchmarks.onnx [--write]

The two take turns in one process. `aios` has random weights: they do not change the time.
"""

from __future__ import annotations

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
from benchmarks.tables import column, parser, show


@dataclass(frozen=True)
class Row:
    """One network at one size."""

    network: str = column("network")
    pictures: int = column("pictures at a time")
    onnx_runtime: float = column("ONNX Runtime, pictures a second", ".1f")
    pytorch: float = column("PyTorch, pictures a second", ".1f")
    ratio: float = column("ratio", ".2f")


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
                onnx_seconds, torch_seconds = seconds(runs(model, *size, batch, threads, path), repeats)
            title = f"{name}, {size[1]}x{size[0]}"
            found.append(Row(title, batch, batch / onnx_seconds, batch / torch_seconds, torch_seconds / onnx_seconds))
    return found


def rows(threads: int, repeats: int, with_aios: bool) -> list[Row]:
    """The table: `open` at its working resolution, one and four pictures at a time, and `aios` at 400x666."""
    torch.set_num_threads(threads)
    size = OPEN.long_side, OPEN.short_side
    found = measured("open", build_model("open").for_inference(), size, (1, 4), threads, 2 * repeats)
    if with_aios:
        found += measured("aios", AiOS(AIOS).for_inference(), (666, 400), (1,), threads, max(repeats // 2, 1))
    return found


def main() -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--repeats", type=int, default=4)
    options.add_argument(
        "--with-aios", action="store_true", help="also the published network, which takes a minute more"
    )
    chosen = options.parse_args()
    show("onnx", rows(chosen.threads, chosen.repeats, chosen.with_aios), chosen.write)


if __name__ == "__main__":
    main()
