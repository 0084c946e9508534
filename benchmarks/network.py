"""Time of one picture through the network, on the CPU: python -m benchmarks.network [--threads 2]

Preset `aios` at 400x666 against the plain network of `dense_attention` with the same weights in the same process,
and preset `open` at its own size in pictures a second. Weights are random: they do not change the time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import torch

from aios_core.config import AIOS, OPEN
from aios_core.model.aios import AiOS
from benchmarks.dense_attention import PlainAiOS


def seconds(runs: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    """Shortest wall time of each call: they take turns, so that other work on the machine disturbs all alike."""
    best = [float("inf")] * len(runs)
    for _ in range(repeats + 1):
        for i, run in enumerate(runs):
            start = time.perf_counter()
            run()
            best[i] = min(best[i], time.perf_counter() - start)
    return best


def picture(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    return images, torch.zeros(1, height, width, dtype=torch.bool)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.network", description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with torch.inference_mode():
        ours, plain, inputs = AiOS(AIOS).eval(), PlainAiOS(AIOS).eval(), picture(400, 666)
        plain.load_state_dict(ours.state_dict())
        fast, slow = seconds([lambda: ours(*inputs), lambda: plain(*inputs)], options.repeats)
        print(f"aios 400x666, {options.threads} threads: {fast:.2f} s; plain network {slow:.2f} s: {slow / fast:.1f}x")
        compact, inputs = AiOS(OPEN).eval(), picture(OPEN.short_side, OPEN.long_side)
        (time_open,) = seconds([lambda: compact(*inputs)], 4 * options.repeats)
        print(f"open {OPEN.short_side}x{OPEN.long_side}: {1 / time_open:.1f} pictures a second")


if __name__ == "__main__":
    main()
