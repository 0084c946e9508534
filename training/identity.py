"""Fit to a finished network what tells people apart: python -m training.identity --films DIR [--output FILE]

The network learns where people are and how they stand, not who they are, and its person tokens say all of it at once.
A linear layer behind them keeps what stays the same of a person from second to second and differs between people. It
is fitted to films whose people are known (`training.data.synthetic.video --count 120 --every 28`), not trained: the
rest of the network stays as it is.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.stats import mannwhitneyu
from tqdm import tqdm

from aios_core import mocap
from aios_core.config import AIOS, CaptureConfig
from aios_core.errors import AiosError, FootageError
from aios_core.evaluation.identity import frame_boxes
from aios_core.geometry.boxes import iou_matrix
from aios_core.media import open_footage
from aios_core.model.aios import AiOS
from aios_core.model.checkpoint import OPEN_WEIGHTS, Checkpoint, load_checkpoint, model_of, save_weights
from aios_core.pipeline.capture import people_of
from aios_core.pipeline.network import Network
from aios_core.pipeline.people import DEFAULT_THRESHOLD, unit_length

LAYER = "identity_embed."
"""Before the names of the layer's tensors."""
SIZE = 16
"""Outputs of the layer."""
SHRINKAGE = 0.1
"""How far the errors' covariance is drawn towards that of errors which are as large in all directions."""
LEAST_OVERLAP = 0.5
"""Of a true box with that of whoever is found there."""
TOO_FEW = "At least two people must be found twice in one film to fit a layer to, and in another to judge it by."
HELD_OUT = 0.4
"""Share of the films, the last ones, on which a layer is judged that was fitted to the others."""


@dataclass(frozen=True)
class Sights:
    """N times that known people were found."""

    tokens: np.ndarray
    """(N, C), of length 1 where a network found them."""
    people: np.ndarray
    """(N,) numbers of people, different ones in every film."""
    films: np.ndarray
    """(N,) numbers of films, in order."""

    def select(self, which: np.ndarray) -> Sights:
        """Some of them, by mask."""
        return Sights(self.tokens[which], self.people[which], self.films[which])


@dataclass(frozen=True)
class IdentityLayer:
    """tokens of length 1 -> weight tokens + bias."""

    weight: np.ndarray
    """(D, C)"""
    bias: np.ndarray
    """(D,)"""

    def __call__(self, tokens: np.ndarray) -> np.ndarray:
        """(N, D) of tokens (N, C)."""
        return tokens @ self.weight.T + self.bias


@dataclass(frozen=True)
class Alikeness:
    """How alike (as a cosine) sights of one person are, and those of two people of one film."""

    own: float
    """Mean of one person's."""
    others: float
    """Mean of two people's."""
    told_apart: float
    """How often one person's sights are more alike than two people's (area under the ROC curve)."""
    own_directions: float
    """In how many independent directions people differ ..."""
    error_directions: float
    """... and in how many one person's sights do."""


def main() -> int:
    """Parse the command line, fit, judge and write; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, default=OPEN_WEIGHTS)
    parser.add_argument("--films", type=Path, required=True, help="folder of .mp4 with their .truth.npz")
    parser.add_argument("--output", type=Path, help=".safetensors; default: the weights themselves")
    options = parser.parse_args()
    try:
        checkpoint = without_identity(load_checkpoint(options.weights))
        model = model_of(checkpoint, checkpoint.config or AIOS).eval()
        stated = (checkpoint.metadata or {}).get("score_threshold", DEFAULT_THRESHOLD)
        sights = sights_in(options.films, Network(model, torch.device("cpu"), hand_means=None, threshold=float(stated)))
        print(judged(sights))
        whole = with_identity(model, fit(sights))
        path = save_weights(whole, options.output or options.weights, metadata=checkpoint.metadata)
    except AiosError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{path}: {path.stat().st_size / 2**20:.1f} MiB")
    return 0


def sights_in(folder: Path, network: Network) -> Sights:
    """Everybody whom the network, which has no such layer yet, finds in the films of a folder.

    Raises:
        FootageError: there are not two films, the least to judge a layer by, in which anybody is found.
    """
    tokens, people, films = [], [], []
    paths = sorted(folder.glob("[!.]*.mp4"))  # a renderer that was killed leaves its unfinished one behind, hidden
    for film, path in enumerate(tqdm(paths, unit="film")):
        truth = frame_boxes(mocap.load(path.with_suffix(".truth.npz")))
        seen = people_of(open_footage(path), network, CaptureConfig(), network.threshold)
        for (_, found), known in zip(seen, truth, strict=False):
            overlap = iou_matrix(known.boxes_xyxy_px, found.boxes_xyxy_px)
            for row, column in zip(*np.nonzero(overlap >= LEAST_OVERLAP), strict=True):
                if overlap[row, column] == max(overlap[row].max(), overlap[:, column].max()):
                    tokens.append(found.tokens[column])
                    people.append((film, known.ids[row]))
                    films.append(film)
    if len(set(films)) < 2:
        raise FootageError(f"{folder} holds no two films (.mp4 with their .truth.npz) in which anybody is found.")
    numbers = np.unique(people, axis=0, return_inverse=True)[1]
    return Sights(np.stack(tokens).astype(np.float64), numbers, np.array(films))


def fit(sights: Sights, size: int = SIZE) -> IdentityLayer:
    """Fisher's linear discriminant: the directions in which people differ most, compared with how much each changes.

    A direction counts the more, the larger the person's own share of its variance.

    Raises:
        FootageError: there are no two people, or none was found twice.
    """
    means, changes = _means_and_changes(sights)
    if len(means) < 2 or len(changes) == len(means):
        raise FootageError(TOO_FEW)
    within = changes.T @ changes / (len(changes) - len(means))
    within = (1 - SHRINKAGE) * within + SHRINKAGE * np.trace(within) / len(within) * np.eye(len(within))
    values, axes = np.linalg.eigh(within)
    whitening = axes / np.sqrt(values)
    ratios, directions = np.linalg.eigh(np.cov((means @ whitening).T))
    ratios, directions = ratios[::-1][:size], directions[:, ::-1][:, :size]
    weight = (whitening @ directions * np.sqrt(ratios / (1 + ratios))).T
    return IdentityLayer(weight, -weight @ sights.tokens.mean(0))


def judged(sights: Sights) -> str:
    """How well tokens tell people apart, and how well behind a layer that was fitted to other films, as sentences."""
    is_held_out = sights.films >= np.quantile(np.unique(sights.films), 1 - HELD_OUT)
    held_out, layer = sights.select(is_held_out), fit(sights.select(~is_held_out))
    people = len(np.unique(held_out.people))
    lines = [f"{len(held_out.people)} sights of {people} people to whom the layer was not fitted:"]
    for name, tokens in (("tokens", held_out.tokens), ("behind the layer", layer(held_out.tokens))):
        found = alikeness(replace(held_out, tokens=tokens))
        lines.append(
            f"  {name}: {found.told_apart:.3f} told apart; alike {found.own:.3f} one's, {found.others:.3f} two's;"
            f" people differ in {found.own_directions:.0f} directions, sights of one in {found.error_directions:.0f}"
        )
    return "\n".join(lines)


def alikeness(sights: Sights) -> Alikeness:
    """How alike sights are within films.

    Raises:
        FootageError: in none there are two people, or nobody was found twice.
    """
    directions = unit_length(sights.tokens)
    alike = directions @ directions.T
    is_pair = np.triu(sights.films[:, None] == sights.films, 1)
    is_one = sights.people[:, None] == sights.people
    own, others = alike[is_pair & is_one], alike[is_pair & ~is_one]
    if not len(own) or not len(others):
        raise FootageError(TOO_FEW)
    told_apart = mannwhitneyu(own, others).statistic / (len(own) * len(others))
    means, changes = _means_and_changes(replace(sights, tokens=directions))
    spread = independent_directions(means - means.mean(0)), independent_directions(changes)
    return Alikeness(float(own.mean()), float(others.mean()), float(told_apart), *spread)


def independent_directions(vectors: np.ndarray) -> float:
    """How many directions the variance of vectors (N, C) would fill evenly: its participation ratio."""
    variances = np.linalg.eigvalsh(vectors.T @ vectors)
    return float(variances.sum() ** 2 / (variances**2).sum())


def _means_and_changes(sights: Sights) -> tuple[np.ndarray, np.ndarray]:
    """(P, C) the mean token of each person and (N, C) how sights differ from those."""
    of_person = [sights.tokens[sights.people == number] for number in np.unique(sights.people)]
    means = np.stack([tokens.mean(0) for tokens in of_person])
    return means, np.concatenate([tokens - mean for tokens, mean in zip(of_person, means, strict=True)])


def with_identity(model: AiOS, layer: IdentityLayer) -> AiOS:
    """A network with the same weights and the layer."""
    answer = AiOS(replace(model.config, identity_dim=len(layer.bias)))
    answer.load_state_dict(model.state_dict(), strict=False)
    with torch.no_grad():
        answer.heads.identity_embed.weight.copy_(torch.from_numpy(layer.weight))
        answer.heads.identity_embed.bias.copy_(torch.from_numpy(layer.bias))
    return answer


def without_identity(checkpoint: Checkpoint) -> Checkpoint:
    """Weights without the layer, if they have one."""
    if checkpoint.config is None or not checkpoint.config.identity_dim:
        return checkpoint
    tensors = {name: tensor for name, tensor in checkpoint.state_dict.items() if not name.startswith(LAYER)}
    return replace(checkpoint, state_dict=tensors, config=replace(checkpoint.config, identity_dim=0))


if __name__ == "__main__":
    sys.exit(main())
