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


def seconds(runs: Sequence[Callable[[], object]], repeats: int) -> list[tuple[float, float]]:
    """Shortest wall and processor time of each call: they take turns, so that other work disturbs all alike.

    Processor time is the fairer of the two on a busy machine, with one thread: waiting threads spin.
    """
    best = [(float("inf"), float("inf"))] * len(runs)
    for _ in range(repeats + 1):
        for i, run in enumerate(runs):
            wall, processor = time.perf_counter(), time.process_time()
            run()
            taken = time.perf_counter() - wall, time.process_time() - processor
            best[i] = min(best[i][0], taken[0]), min(best[i][1], taken[1])
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
        print(f"aios 400x666, {options.threads} threads, against the plain network:")
        for clock, a, b in zip(("wall", "processor"), fast, slow, strict=True):
            print(f"  {clock} time {a:.2f} s against {b:.2f} s: {b / a:.1f} times as fast")
        compact, inputs = AiOS(OPEN).eval(), picture(OPEN.short_side, OPEN.long_side)
        ((wall, processor),) = seconds([lambda: compact(*inputs)], 4 * options.repeats)
        print(f"open {OPEN.short_side}x{OPEN.long_side}: {1 / wall:.1f} pictures a second ({processor:.2f} s each)")


if __name__ == "__main__":
    main()
