"""What `--fast` gains and `--thorough` costs, on the CPU: python -m benchmarks.fast [--write]

Fewer people and smaller pictures, each alone and together, and pictures with their mirror images, against the exact
network; all take turns in one process.
Weights are random, and the least score such that FEW people are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from aios_core.config import AIOS, OPEN, ModelConfig
from aios_core.model.aios import AiOS
from aios_core.pipeline.network import FAST_SCALE
from benchmarks.network import picture, seconds
from benchmarks.tables import column, parser, show

FEW = {"aios": 20, "open": 4}
"""People kept of the 100 and 16."""


@dataclass(frozen=True)
class Row:
    """One way to look at a picture."""

    network: str = column("network")
    looked_at: str = column("size")
    people: int = column("people kept")
    rate: float = column("pictures a second", ".1f")
    ratio: float = column("against exact", ".2f")


def least_score_for(model: AiOS, inputs: Sequence[torch.Tensor], people: int) -> float:
    """The score that so many queries of the picture reach after the box stage."""
    found: list[torch.Tensor] = []
    head = model.heads.class_embed[model.config.box_layers - 1]
    handle = head.register_forward_hook(lambda _module, _inputs, logits: found.append(logits[0].amax(-1).sigmoid()))
    model(*inputs)
    handle.remove()
    return float(found[0].sort(descending=True).values[people - 1])


def measured(name: str, config: ModelConfig, width: int, height: int, repeats: int) -> list[Row]:
    """Rows of one network: exact, fewer people, smaller pictures, both; with the mirror image."""
    model = AiOS(config).for_inference()
    looks, runs = [], []
    for scale in (1, FAST_SCALE):
        inputs = picture(round(scale * height), round(scale * width))
        for people in (config.people, FEW[name]):
            least_score = least_score_for(model, inputs, people) if people < config.people else 0.0
            looks.append((f"{round(scale * height)}x{round(scale * width)}", people))
            runs.append(lambda i=inputs, s=least_score: model(*i, least_score=s))
    twice = [torch.cat([values, values.flip(-1)]) for values in picture(height, width)]
    looks.append((f"{height}x{width} and its mirror image", config.people))
    runs.append(lambda: model(*twice))
    walls = seconds(runs, repeats)
    return [Row(name, *look, 1 / wall, walls[0] / wall) for look, wall in zip(looks, walls, strict=True)]


@torch.inference_mode()
def rows(threads: int, repeats: int) -> list[Row]:
    """The table: `open` at its working resolution and `aios` at 400x666."""
    torch.set_num_threads(threads)
    found = measured("open", OPEN, OPEN.long_side, OPEN.short_side, 4 * repeats)
    return found + measured("aios", AIOS, 666, 400, max(repeats // 2, 1))


def main() -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--repeats", type=int, default=4)
    chosen = options.parse_args()
    show("fast", rows(chosen.threads, chosen.repeats), chosen.write)


if __name__ == "__main__":
    main()
