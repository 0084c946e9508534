"""Render shards of synthetic people:

python -m training.data.synthetic.generate --out DIR --count 10000 --poses DIR --backgrounds DIR --wardrobe DIR

The same seed, size and materials give the same pictures, whatever the number of workers. A shard that is in the
folder already is kept, so a run that was interrupted can be started again.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from aios_core.body.files import load_body, open_body
from aios_core.body.joints import COCO17_FROM_144
from aios_core.errors import AiosError, OutputError
from training.data.sample import Sample, joints_px, list_shards, read_shard, write_shard
from training.data.synthetic.motion import load_motion
from training.data.synthetic.people import TEXTURE_SIZE, dress, load_wardrobe
from training.data.synthetic.scene import ANY, CLOSE, CROWDED, Stock, render_empty, render_scene, spectators
from training.data.synthetic.surroundings import load_surroundings, photographs

SHARD_PICTURES = 1000
CROWDED_SHARDS = 20_000
"""Number of the first shard of crowded pictures,"""
CLOSE_SHARDS = 35_000
"""of the first of people seen large"""
EMPTY_SHARDS = 50_000
"""and of the first without people."""
FIRST_SHARDS = {"any": 0, "crowded": CROWDED_SHARDS, "close": CLOSE_SHARDS, "empty": EMPTY_SHARDS}
"""By kind of pictures; one folder can hold them all."""
PEOPLE = 60
"""Dressed people a shard draws from."""
LIMBS = ((5, 7), (7, 9), (6, 8), (8, 10), (11, 13), (13, 15), (12, 14), (14, 16), (5, 6), (11, 12), (5, 11), (6, 12))


@dataclass(frozen=True)
class Materials:
    """Where the things that scenes are made of are read from."""

    poses: Path
    backgrounds: Path
    wardrobe: Path | None = None
    body: Path | None = None


def main() -> int:
    """Parse the command line and render; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=SHARD_PICTURES, help="pictures in all")
    parser.add_argument(
        "--shard-pictures", type=int, default=SHARD_PICTURES,
        help="pictures in a file: of fewer the first ones are there sooner, for training that waits for them",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=_size, default=(384, 288), help="WIDTHxHEIGHT")
    parser.add_argument("--body", type=Path, help="body file (default: the open body)")
    parser.add_argument("--poses", type=Path, required=True, help="folder of motion files, see .retarget")
    parser.add_argument(
        "--backgrounds", type=Path, required=True, help="pictures without people, equirectangular or plain"
    )
    parser.add_argument("--wardrobe", type=Path, help="folder of clothes, hair, shoes and textures")
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--crowded", dest="kind", action="store_const", const="crowded", help="more people in a picture")
    kinds.add_argument("--close", dest="kind", action="store_const", const="close", help="people seen large")
    kinds.add_argument("--empty", dest="kind", action="store_const", const="empty", help="nobody in any; costs little")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--sheet", type=Path, help="also draw the first pictures with their labels to this file")
    parser.set_defaults(kind="any")
    options = parser.parse_args()
    if options.shard_pictures < 1:
        parser.error("--shard-pictures is 1 or more.")
    materials = Materials(options.poses, options.backgrounds, options.wardrobe, options.body)
    try:
        generate(
            options.out, options.count, options.seed, options.size, materials, options.workers, options.kind,
            options.shard_pictures,
        )  # fmt: skip
        if options.sheet:
            shard = read_shard(options.out, FIRST_SHARDS[options.kind])
            write_picture(options.sheet, contact_sheet([shard.sample(i) for i in range(min(24, len(shard)))]))
    except AiosError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _size(text: str) -> tuple[int, int]:
    width, height = map(int, text.split("x"))
    if min(width, height) < 16:
        raise ValueError(text)
    return width, height


def generate(
    out: Path, count: int, seed: int, size: tuple[int, int], materials: Materials, workers: int = 1, kind: str = "any",
    shard_pictures: int = SHARD_PICTURES,
) -> None:  # fmt: skip
    """Render `count` pictures of a size (width, height) into shards of `shard_pictures` in the folder `out`.

    kind: which pictures, one of FIRST_SHARDS.

    Raises:
        AiosError: materials are missing or unreadable, or `out` cannot be written.
    """
    done = set(list_shards(out)) if out.is_dir() else set()
    first, counts = FIRST_SHARDS[kind], [min(shard_pictures, count - i) for i in range(0, count, shard_pictures)]
    numbered = [(number, n) for number, n in enumerate(counts, first) if number not in done]
    jobs = [(out, number, n, seed, size, materials) for number, n in numbered]
    if workers > 1:
        with ProcessPoolExecutor(workers) as pool:
            list(tqdm(pool.map(_write_one, *zip(*jobs, strict=True)), total=len(jobs), unit="shard"))
    else:
        for job in tqdm(jobs, unit="shard"):
            _write_one(*job)


def _write_one(out: Path, number: int, count: int, seed: int, size: tuple[int, int], materials: Materials) -> None:
    samples = make_samples(materials, seed, number, count, size)
    try:
        write_shard(out, number, samples)
    except OSError as error:
        raise OutputError(f"Cannot write shard {number} to {out}: {error.strerror or error}.") from error


def make_samples(
    materials: Materials, seed: int, number: int, count: int, size: tuple[int, int], people: int = PEOPLE
) -> list[Sample]:
    """The samples of one shard: the same seed and number give the same pictures."""
    rng = np.random.default_rng([seed, number])
    stock = load_stock(materials)
    stock = replace(stock, people=[dress(stock.body, stock.wardrobe, rng) for _ in range(people)])
    stock = replace(stock, spectators=spectators(stock, people, rng))
    if number >= EMPTY_SHARDS:
        return [render_empty(stock, *size, rng) for _ in range(count)]
    casting = CLOSE if number >= CLOSE_SHARDS else CROWDED if number >= CROWDED_SHARDS else ANY
    return [render_scene(stock, *size, rng, casting) for _ in range(count)]


@lru_cache(maxsize=1)
def load_stock(materials: Materials) -> Stock:
    """Everything but the people, read once in each process.

    Raises:
        AiosError: something is missing or unreadable.
    """
    body = load_body(materials.body) if materials.body else open_body()
    surroundings = load_surroundings(materials.backgrounds)
    prints = photographs(surroundings, TEXTURE_SIZE, np.random.default_rng(0))
    wardrobe, motion = load_wardrobe(materials.wardrobe, body, prints), load_motion(materials.poses)
    return Stock(body, wardrobe, surroundings, motion, people=[], spectators=[])


def contact_sheet(samples: list[Sample], columns: int = 6) -> np.ndarray:
    """Pictures with boxes and COCO limbs drawn: left limbs red, right limbs green, hidden joints black.

    Hand boxes have the limbs' colours, faces are cyan.
    """
    tiles = [_with_labels(sample) for sample in samples]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    return np.concatenate([np.concatenate(tiles[i : i + columns], 1) for i in range(0, len(tiles), columns)])


def _with_labels(sample: Sample) -> np.ndarray:
    tile = sample.image.copy()
    points, seen = joints_px(sample)[:, COCO17_FROM_144], sample.joints_visible[:, COCO17_FROM_144]
    points = np.clip(points, -2000, 2000).astype(int).tolist()
    boxes = (
        (sample.boxes_xyxy_px, (255, 255, 0)), (sample.face_boxes_xyxy_px, (0, 255, 255)),
        (sample.left_hand_boxes_xyxy_px, (255, 40, 40)), (sample.right_hand_boxes_xyxy_px, (40, 255, 40)),
    )  # fmt: skip
    for p in range(len(points)):
        for rows, colour in boxes:
            box = np.clip(rows[p], -2000, 2000).astype(int).tolist()
            cv2.rectangle(tile, box[:2], box[2:], colour, 1)
        for a, b in LIMBS:
            colour = (255, 255, 255) if a % 2 != b % 2 else (255, 40, 40) if a % 2 else (40, 255, 40)
            cv2.line(tile, points[p][a], points[p][b], colour, 1, cv2.LINE_AA)
        for k in range(17):
            cv2.circle(tile, points[p][k], 2, (255, 255, 255) if seen[p, k] else (0, 0, 0), -1)
    return tile


def write_picture(path: Path, image: np.ndarray) -> None:
    """Write a picture (H, W, 3) RGB.

    Raises:
        OutputError: it cannot be written.
    """
    if not cv2.imwrite(str(path), image[..., ::-1]):
        raise OutputError(f"Cannot write {path}.")


if __name__ == "__main__":
    sys.exit(main())
