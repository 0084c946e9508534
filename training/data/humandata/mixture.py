"""Mixture: endless training pictures drawn from several data sets, each a function of (seed, number) alone.

Folders: ROOT/<kind>/train*.npz are HumanData files of a kind (`agora`, `bedlam`, ...), ROOT/<kind>/images holds the
pictures that they name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import Tensor

from aios_core.body.files import load_body, open_body
from aios_core.errors import DataSetError
from training.data.humandata.augmentation import Augmentation, draw_view, fitted, look, read_picture
from training.data.humandata.columns import PARTS_OF_53
from training.data.humandata.dataset import DataSet
from training.data.humandata.kinds import KINDS, RECIPES
from training.data.humandata.landmarks import landmark_body
from training.paper.targets import PictureTargets

LEFT_HAND_OF_53, RIGHT_HAND_OF_53 = PARTS_OF_53[:2]


@dataclass(frozen=True)
class MixtureConfig:
    """What a run is trained on."""

    data: str
    """The folder with a folder for each kind of data set."""
    phase: str = "train"
    """'pretrain' or 'train' (paper supplement B.1)."""
    recipe: str = "paper"
    """'paper' or 'published': whose probabilities and subsampling."""
    body: str | None = None
    """SMPLX_NEUTRAL.npz, whose joints the annotated parameters stand for; None is the open body."""
    cache: str | None = None
    """Folder for what is read of the files, shared by all processes; None keeps it in memory."""
    absolute_hands: tuple[str, ...] = ()
    """Kinds whose files hold hands with flat = zero; others are relative to the mean hand (SPEC section 13.6)."""
    only: tuple[str, ...] = ()
    """Use these kinds alone, with their probabilities in proportion; empty for all."""
    augmentation: Augmentation = field(default_factory=Augmentation)


class Mixture:
    """Pictures with their targets. `sample(index)` is the same whenever and wherever it is asked for.

    Args:
        config: the data sets.
        seed: of the run.
        rank, world: this process and their number: ranks never see the same draws.

    Raises:
        DataSetError: the configuration or a file cannot be used.
        BodyFileError: the body cannot be read.
    """

    def __init__(self, config: MixtureConfig, seed: int = 0, rank: int = 0, world: int = 1):
        self.config, self.seed, self.rank, self.world = config, seed, rank, world
        shares = probabilities(config)
        self.body = landmark_body(load_body(config.body) if config.body else open_body())
        self.parts = {name: open_training_sets(config, name) for name in shares}
        self.names = tuple(shares)
        self.shares = np.array(list(shares.values()))

    def __len__(self) -> int:
        """Pictures in an epoch: as many as the largest data set has (SPEC section 13.1), shared among the ranks."""
        return max(sum(map(len, sets)) for sets in self.parts.values()) // self.world

    def sample(self, index: int) -> tuple[Tensor, PictureTargets]:
        """The index-th draw of this rank: a picture (3, h, w), normalised, and its people.

        Raises:
            DataSetError: the picture is missing or damaged.
        """
        data_set, number, rng = self.draw(index)
        annotations = data_set.annotations(number)
        if data_set.kind.name in self.config.absolute_hands:
            annotations.pose[:, LEFT_HAND_OF_53] -= self.body.hands_mean_left
            annotations.pose[:, RIGHT_HAND_OF_53] -= self.body.hands_mean_right
        rgb = read_picture(annotations.image_path)
        size = (rgb.shape[1], rgb.shape[0])
        annotations = fitted(annotations, size)
        augmentation = self.config.augmentation
        view = draw_view(size, annotations.boxes[:, 0], data_set.kind, augmentation, rng)
        return look(rgb, annotations, view, self.body, augmentation.antialias)

    def draw(self, index: int) -> tuple[DataSet, int, np.random.Generator]:
        """The index-th draw of this rank: data set, number of the picture in it, and what to draw the view with."""
        rng = np.random.default_rng((self.seed, index * self.world + self.rank))
        name = self.names[rng.choice(len(self.names), p=self.shares)]
        number = int(rng.integers(sum(map(len, self.parts[name]))))
        for data_set in self.parts[name]:
            if number < len(data_set):
                return data_set, number, rng
            number -= len(data_set)
        raise AssertionError(f"{name} has fewer pictures than it said")


def probabilities(config: MixtureConfig) -> dict[str, float]:
    """How often each kind is drawn; they sum to 1.

    Raises:
        DataSetError: there is no such phase, recipe or kind.
    """
    if config.recipe not in RECIPES:
        raise DataSetError(f"There is no recipe '{config.recipe}': choose {' or '.join(RECIPES)}.")
    if config.phase not in ("pretrain", "train"):
        raise DataSetError(f"There is no phase '{config.phase}': choose pretrain or train.")
    shares = getattr(RECIPES[config.recipe], config.phase)
    for name in config.only:
        if name not in KINDS:
            raise DataSetError(f"There is no kind of data set '{name}': choose among {', '.join(KINDS)}.")
        if not KINDS[name].for_training:
            raise DataSetError(f"{KINDS[name].title} is for evaluation only.")
        if name not in shares:
            raise DataSetError(f"{KINDS[name].title} has no part in the phase '{config.phase}'.")
    shares = {name: share for name, share in shares.items() if not config.only or name in config.only}
    total = sum(shares.values())
    return {name: share / total for name, share in shares.items()}


def open_training_sets(config: MixtureConfig, name: str) -> list[DataSet]:
    """The training files of a kind, in the order of their names.

    Raises:
        DataSetError: there are none, or one cannot be used.
    """
    kind, folder = KINDS[name], Path(config.data) / name
    paths = sorted(folder.glob("train*.npz"))
    if not paths:
        raise DataSetError(
            f"No {kind.title}: there is no train*.npz in {folder}. Put it there, or name the data sets that you have: "
            "--set data_sets='[\"agora\"]'."
        )
    every = kind.every_paper if RECIPES[config.recipe].paper_subsampling and kind.every_paper else kind.every
    cache = None if config.cache is None else Path(config.cache)
    sets = [DataSet(kind, path, folder / "images", every, cache) for path in paths]
    if not any(map(len, sets)):
        raise DataSetError(f"Nobody is annotated in {', '.join(map(str, paths))}.")
    return sets
