"""Make a run's weights the shipped ones: python -m training.release --run RUN --data HELD_OUT

The averaged weights go to aios_core/assets/open.safetensors in half precision, with the licence, the training data and
the score threshold of about the best F1 on held-out renders in the file's metadata; with --empty, a folder of pictures
without people, it is so high that nobody is found in those. With --mean-with every weight is the mean of the run's and
of others, such as those from which the run went on, or another run that began there: all are near one optimum, and
their mean is often nearer.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from aios_core.body.files import open_body
from aios_core.config import OPEN
from aios_core.errors import AiosError
from aios_core.model.aios import AiOS
from aios_core.model.checkpoint import OPEN_WEIGHTS, load_checkpoint, load_weights, model_of, save_weights
from aios_core.pipeline.network import Network
from aios_core.pipeline.people import DEFAULT_THRESHOLD
from training.evaluate import evaluate
from training.evaluation.truth import EmptyTruths, ShardTruths
from training.identity import without_identity

LICENCE = "GPL-3.0-or-later; free for any use. Trained on synthetic pictures only."
CREDITS = (
    "The data used in this project was obtained from mocap.cs.cmu.edu. The database was created with funding from NSF "
    "EIA-0196217. Motions also of Mesh2Motion (CC0); surroundings of Poly Haven (CC0); bodies and clothes of "
    "MakeHuman (CC0)."
)


def main() -> int:
    """Parse the command line and write the weights; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="folder of a finished run")
    parser.add_argument("--data", type=Path, help="held-out shards, which tell the threshold")
    parser.add_argument("--empty", type=Path, help="pictures without people, in which none may be found")
    parser.add_argument(
        "--mean-with", type=Path, nargs="+", default=[], metavar="FILE", help="other weights, shipped ones too"
    )
    parser.add_argument("--threshold", type=float, help="score of people found, instead of what the pictures tell")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--output", type=Path, default=OPEN_WEIGHTS)
    options = parser.parse_args()
    if options.data is None and options.threshold is None:
        parser.error("Give --data, held-out shards that tell the threshold, or --threshold itself.")
    try:
        # The preset says at which size pictures are looked at; the run's file only has to fit its layers.
        model = AiOS(OPEN).eval()
        load_weights(model, load_checkpoint(options.run / "weights.safetensors"))
        average_with(model, options.mean_with)
        network = Network(model, torch.device("cpu"), hand_means=None, threshold=DEFAULT_THRESHOLD)
        threshold = options.threshold
        if threshold is None:
            threshold = score_threshold(network, options.data, options.empty, options.count)
        threshold = f"{threshold:.2f}"
        metadata = {"license": LICENCE, "credits": CREDITS, "score_threshold": threshold}
        path = save_weights(model, options.output, metadata=metadata)
    except AiosError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{path}: {path.stat().st_size / 2**20:.1f} MiB, threshold {threshold}")
    return 0


@torch.no_grad()
def average_with(model: AiOS, others: Sequence[Path]) -> None:
    """Every weight of the model becomes the mean of its own and those of the others.

    Raises:
        CheckpointError: some are missing or of another network.
    """
    for count, path in enumerate(others, 2):
        other = model_of(without_identity(load_checkpoint(path)), model.config)
        for value, more in zip(model.state_dict().values(), other.state_dict().values(), strict=True):
            if value.is_floating_point():
                value.lerp_(more, 1 / count)


def score_threshold(network: Network, data: Path, empty: Path | None, count: int) -> float:
    """Of about the best F1 on the first `count` held-out renders, or just over all that is seen in pictures without
    people.

    Raises:
        DataSetError: a folder holds no pictures.
    """
    body = open_body()
    threshold = evaluate(network, ShardTruths(data, count), body)["best threshold"]
    if empty is None:
        return threshold
    highest = evaluate(network, EmptyTruths(empty, count), body)["highest false score"]
    return max(threshold, math.floor(100 * highest + 1) / 100)


if __name__ == "__main__":
    sys.exit(main())
