"""Make a run's weights the shipped ones: python -m training.release --run RUN --data HELD_OUT

The averaged weights go to aios_core/assets/open.safetensors in half precision, with the licence, the training data and
the score threshold of about the best F1 on held-out renders in the file's metadata.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from aios_core.body.files import open_body
from aios_core.config import OPEN
from aios_core.model.aios import AiOS
from aios_core.model.checkpoint import OPEN_WEIGHTS, load_checkpoint, load_weights, save_weights
from aios_core.pipeline.network import Network
from aios_core.pipeline.people import DEFAULT_THRESHOLD
from training.evaluate import evaluate
from training.evaluation.truth import ShardTruths

LICENCE = "GPL-3.0-or-later; free for any use. Trained on synthetic pictures only."
CREDITS = (
    "The data used in this project was obtained from mocap.cs.cmu.edu. The database was created with funding from NSF "
    "EIA-0196217. Motions also of Mesh2Motion (CC0); surroundings of Poly Haven (CC0); bodies and clothes of "
    "MakeHuman (CC0)."
)


def main() -> None:
    """Parse the command line and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="folder of a finished run")
    parser.add_argument("--data", type=Path, required=True, help="held-out shards")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--output", type=Path, default=OPEN_WEIGHTS)
    options = parser.parse_args()
    # The preset says at which size pictures are looked at; the run's file only has to fit its layers.
    model = AiOS(OPEN).eval()
    load_weights(model, load_checkpoint(options.run / "weights.safetensors"))
    network = Network(model, torch.device("cpu"), hand_means=None, threshold=DEFAULT_THRESHOLD)
    numbers = evaluate(network, ShardTruths(options.data, options.count), open_body())
    metadata = {"license": LICENCE, "credits": CREDITS, "score_threshold": f"{numbers['best threshold']:.2f}"}
    path = save_weights(model, options.output, metadata=metadata)
    print(f"{path}: {path.stat().st_size / 2**20:.1f} MiB, threshold {metadata['score_threshold']}")


if __name__ == "__main__":
    main()
