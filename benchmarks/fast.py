"""What `--fast` gains, on the CPU: python -m benchmarks.fast [--threads 2]

Fewer people and smaller pictures, each alone and together, against the exact network; all take turns in one process.
Weights are random, and the least score such that FEW people are kept.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from aios_core.config import AIOS, OPEN, ModelConfig
from aios_core.model.aios import AiOS
from aios_core.pipeline.network import FAST_SCALE
from benchmarks.network import picture, seconds

FEW = {"aios": 20, "open": 4}
"""People kept of the 100 and 16."""


@dataclass(frozen=True)
class Row:
    """One way to look at a picture."""

    network: str
    looked_at: str
    people: int
    pictures_per_second: float
    ratio: float
    """Of its rate to the exact network's."""


def least_score_for(model: AiOS, inputs: Sequence[torch.Tensor], people: int) -> float:
    """The score that so many queries of the picture reach after the box stage."""
    found: list[torch.Tensor] = []
    head = model.heads.class_embed[model.config.box_layers - 1]
    handle = head.register_forward_hook(lambda _module, _inputs, logits: found.append(logits[0].amax(-1).sigmoid()))
    model(*inputs)
    handle.remove()
    return float(found[0].sort(descending=True).values[people - 1])


def measured(name: str, config: ModelConfig, width: int, height: int, repeats: int) -> list[Row]:
    """Rows of one network: exact, fewer people, smaller pictures, both."""
    model = AiOS(config).eval()
    looks, runs = [], []
    for scale in (1, FAST_SCALE):
        inputs = picture(round(scale * height), round(scale * width))
        for people in (config.people, FEW[name]):
            least_score = least_score_for(model, inputs, people) if people < config.people else 0.0
            looks.append((f"{round(scale * height)}x{round(scale * width)}", people))
            runs.append(lambda i=inputs, s=least_score: model(*i, least_score=s))
    walls = [wall for wall, _ in seconds(runs, repeats)]
    return [Row(name, *look, 1 / wall, walls[0] / wall) for look, wall in zip(looks, walls, strict=True)]


@torch.inference_mode()
def rows(threads: int = 2, repeats: int = 5) -> list[Row]:
    """The table: `open` at its working resolution and `aios` at 400x666."""
    torch.set_num_threads(threads)
    found = measured("open", OPEN, OPEN.long_side, OPEN.short_side, 4 * repeats)
    return found + measured("aios", AIOS, 666, 400, max(repeats // 2, 1))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fast", description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    for row in rows(options.threads, options.repeats):
        print(
            f"{row.network} {row.looked_at}, {row.people} people: {row.pictures_per_second:.2f} pictures a second, "
            f"{row.ratio:.2f} times the exact network's rate"
        )


if __name__ == "__main__":
    main()
