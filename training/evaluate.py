"""Measure weights: python -m training.evaluate --weights FILE --data SHARDS|FILE.npz [--json FILE] [--sheet FILE.png]

--data is a folder of synthetic shards or a HumanData file (with --images, and --body for SMPL-X's own parameters);
--empty instead of it a folder of pictures, photographs for instance, without people.
Pictures are looked at as the product does: the same size, the same removal of duplicates.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from aios_core.body.body_model import BodyModel
from aios_core.body.files import load_body, open_body
from aios_core.body.skinning import pose_body, pose_joints
from aios_core.body.transfer import body_for_shape
from aios_core.config import CaptureConfig
from aios_core.errors import AiosError
from aios_core.geometry.camera import network_translation
from aios_core.mocap import Camera
from aios_core.model.framing import framing
from aios_core.model.predictions import LayerPredictions
from aios_core.model.preprocess import pad_batch, preprocess
from aios_core.output import check_writable, whole_file
from aios_core.pipeline.mirror import seen_twice
from aios_core.pipeline.network import Network, load_network
from aios_core.pipeline.people import FramePeople, people_from_predictions, without_duplicates
from training.data.check import kind_of
from training.data.humandata.kinds import KINDS
from training.evaluation.agora import Matches, match_people
from training.evaluation.sheet import Drawn, picked, write_sheet
from training.evaluation.tally import (
    MATCHED_55,
    MATCHED_137,
    Tally,
    add_detections,
    add_matches,
    predicted_pose,
    summary,
)
from training.evaluation.truth import EmptyTruths, HumanDataTruths, ShardTruths, Truth, Truths

BATCH = 8
OF_EMPTY_PICTURES = ("person-free pictures", "false people in them", "of these with any", "highest false score")
"""The numbers that mean something where there is nobody."""
MANY_PIXELS = 500_000
"""Pictures that the network sees at more pixels are looked at one by one."""


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, evaluate, print a table and optionally JSON and a contact sheet; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=__doc__.split("\n\n")[0])
    parser.add_argument("--weights", default="open", help="open, aios or the path of a weights file")
    data = parser.add_mutually_exclusive_group(required=True)
    data.add_argument("--data", type=Path, help="folder of shards, or a HumanData .npz")
    data.add_argument("--empty", type=Path, help="folder of pictures without people: counts those found all the same")
    parser.add_argument("--images", type=Path, help="pictures of a HumanData file (default: images beside it)")
    parser.add_argument("--kind", choices=list(KINDS), help="rules to read a HumanData file by (default: as named)")
    parser.add_argument("--body", help="body file of the annotated parameters (default: the open body)")
    parser.add_argument("--absolute-hands", action="store_true", help="the file's hands are flat where zero")
    parser.add_argument("--count", type=int, default=1000, help="pictures at most")
    parser.add_argument("--threshold", type=float, help="least score of people found (default: the weights' own)")
    effort = parser.add_mutually_exclusive_group()
    effort.add_argument("--fast", action="store_true", help="as `aios run --fast` looks at pictures")
    effort.add_argument("--thorough", action="store_true", help="as `aios run --thorough` does")
    parser.add_argument("--device", help="cpu, cuda, ... (default: the best there is)")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    parser.add_argument("--sheet", type=Path, help="also draw the best, median and worst pictures (.png, .jpg)")
    options = parser.parse_args(arguments)
    try:
        for path in filter(None, (options.json, options.sheet)):
            check_writable(path)
        body = load_body(options.body) if options.body else open_body()
        truths = open_truths(options, body)
        config = CaptureConfig(
            weights=options.weights,
            threshold=options.threshold,
            device=options.device,
            fast=options.fast,
            thorough=options.thorough,
        )
        network = load_network(config, body)
        for note in notes(network, truths, body):
            print(f"note: {note}", file=sys.stderr)
        numbers = evaluate(network, truths, body, options.sheet)
        if options.empty:
            numbers = {name: numbers[name] for name in OF_EMPTY_PICTURES}
        if options.json:
            finite = {name: value if np.isfinite(value) else None for name, value in numbers.items()}
            with whole_file(options.json) as temporary:
                temporary.write_text(json.dumps(finite, indent=1))
    except AiosError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(table(numbers))
    return 0


def open_truths(options: argparse.Namespace, body: BodyModel) -> Truths:
    """The pictures that the command line asks for.

    Raises:
        DataSetError: there are none, or the file cannot be used.
    """
    if options.empty:
        return EmptyTruths(options.empty, options.count)
    if options.data.is_dir():
        return ShardTruths(options.data, options.count)
    kind = KINDS[options.kind] if options.kind else kind_of(options.data)
    images = options.images or options.data.parent / "images"
    return HumanDataTruths(options.data, images, kind, body, options.count, options.absolute_hands)


def notes(network: Network, truths: Truths, body: BodyModel) -> list[str]:
    """What to keep in mind of the numbers, a sentence each."""
    said = []
    if isinstance(truths, HumanDataTruths) and body.family == "open":
        said.append("The parameters are read as the open body's; for SMPL-X's give your SMPLX_NEUTRAL.npz with --body.")
    if network.config.body_family != body.family:
        said.append(
            f"The weights know the {network.config.body_family} body's shapes: on the {body.family} body predicted "
            "people keep a neutral shape and face."
        )
    return said


def evaluate(network: Network, truths: Truths, body: BodyModel, sheet: Path | None = None) -> dict[str, float | int]:
    """All numbers of a network on labelled pictures, by name.

    COCO's AP and AR count all predictions; what is said of people found (AGORA's F1, joints, vertices) those whose
    score reaches the network's threshold. Vertices and joints are measured on `body`.
    """
    tally = Tally(body)
    for start in tqdm(range(0, len(truths), BATCH), unit="batch", disable=None, leave=False):
        chunk = [truths[i] for i in range(start, min(start + BATCH, len(truths)))]
        for truth, everybody in zip(chunk, look(network, chunk), strict=True):
            seen = _seen(network, truth, everybody, body)
            add_detections(tally, everybody, seen.all_people, truth)
            add_matches(tally, seen.people, truth, seen.matches, network.config.body_family)
    if sheet is not None:
        rows = picked(np.array(tally.picture_errors))

        def draw(i: int) -> Drawn:
            truth = truths[i]
            return drawn(network, truth, _seen(network, truth, look(network, [truth])[0], body), body, tally, i)

        write_sheet(sheet, rows, draw, body)
    return summary(tally)


def look(network: Network, truths: list[Truth]) -> list[FramePeople]:
    """Everybody predicted in each picture, whatever the score, duplicates included."""
    pictures = [truth.rgb for truth in truths]
    found = _predicted(network, pictures)
    if not network.thorough:
        return found
    mirrored = _predicted(network, [np.ascontiguousarray(rgb[:, ::-1]) for rgb in pictures])
    overlap = CaptureConfig().duplicate_overlap
    answers = zip(found, mirrored, pictures, strict=True)
    return [seen_twice(straight, mirror, rgb.shape[1], overlap) for straight, mirror, rgb in answers]


@torch.inference_mode()
def _predicted(network: Network, rgbs: list[np.ndarray]) -> list[FramePeople]:
    found: list[FramePeople] = []
    pictures = [preprocess(rgb, network.config) for rgb in rgbs]
    # Padding, which batches of several sizes need, changes what a network sees that was trained without any.
    is_mixed = len({picture.shape for picture in pictures}) > 1
    size = 1 if is_mixed or max(picture[0].numel() for picture in pictures) > MANY_PIXELS else len(pictures)
    for start in range(0, len(pictures), size):
        images, padding = pad_batch(pictures[start : start + size])
        images = images.to(network.device, memory_format=torch.channels_last)
        padding = padding.to(network.device)
        predictions: LayerPredictions = network.model(images, padding, least_score=network.least_score).final
        framings = [framing(*rgb.shape[1::-1], network.config) for rgb in rgbs[start : start + size]]
        found += people_from_predictions(predictions, framings, network.hand_means, 0.0)
    return found


@dataclass(frozen=True)
class Seen:
    """What a network says of one picture."""

    all_people: FramePeople
    """Whatever the score, without duplicates;"""
    people: FramePeople
    """those whose score reaches the threshold."""
    camera: Camera
    matches: Matches


def _seen(network: Network, truth: Truth, everybody: FramePeople, body: BodyModel) -> Seen:
    all_people = without_duplicates(everybody, CaptureConfig().duplicate_overlap)
    people = all_people.select(all_people.scores >= network.threshold)
    camera = network_camera(network, truth.rgb)
    joints = [_joints(people, n, body, network) for n in range(len(people))]
    projected = camera.project(np.array(joints, np.float32).reshape(-1, 55, 3)[:, MATCHED_55])
    known, (height, width) = truth.joints_known[:, MATCHED_137], truth.rgb.shape[:2]
    matches = match_people(projected, truth.joints_px[:, MATCHED_137], (width, height), known, truth.ignored)
    return Seen(all_people, people, camera, matches)


def _joints(people: FramePeople, n: int, body: BodyModel, network: Network) -> np.ndarray:
    """(55, 3) of a predicted person, camera space."""
    shown, betas, _ = body_for_shape(body, people.betas[n], network.config.body_family)
    return pose_joints(shown, betas, predicted_pose(people, n), network_translation(people.camera[n]))


def network_camera(network: Network, rgb: np.ndarray) -> Camera:
    """The network's own camera, in pixels of the picture."""
    placed = framing(rgb.shape[1], rgb.shape[0], network.config)
    center_x, center_y = placed.to_picture(np.array(placed.canvas) / 2).tolist()
    return Camera(network.config.camera_focal_px * float(placed.pixel[0]), (center_x, center_y))


def drawn(network: Network, truth: Truth, seen: Seen, body: BodyModel, tally: Tally, i: int) -> Drawn:
    """One picture of the contact sheet."""
    people, matches = seen.people, seen.matches
    vertices = []
    for n in range(len(people)):
        shown, betas, _ = body_for_shape(body, people.betas[n], network.config.body_family)
        expression = people.expression[n] * (network.config.body_family == body.family)
        transl = network_translation(people.camera[n])
        vertices.append(pose_body(shown, betas, expression, predicted_pose(people, n), transl).vertices)
    missed = np.setdiff1d(np.flatnonzero(~truth.ignored), matches.people)
    counts = f"{len(matches.people)} found, {len(missed)} missed, {matches.detection.false_alarms} false"
    error = tally.picture_errors[i] * 1000
    said = f"{error:.0f} mm; {counts}" if np.isfinite(error) else "nobody"
    return Drawn(
        truth.rgb, f"{truth.name[-18:]}: {said}", vertices, seen.camera,
        truth.boxes_xyxy_px[missed], people.boxes_xyxy_px[matches.alone],
    )  # fmt: skip


def table(numbers: dict[str, float | int]) -> str:
    """The numbers as text, one a line."""
    return "\n".join(
        f"{name:<26}{value:>10.3f}" if isinstance(value, float) else f"{name:<26}{value:>10}"
        for name, value in numbers.items()
    )


if __name__ == "__main__":
    sys.exit(main())
