"""Render shards of synthetic people:

python -m training.data.synthetic.generate --out DIR --count 10000 --poses DIR --backgrounds DIR --wardrobe DIR
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from aios_core.body.files import load_body, open_body
from training.data.sample import Sample, joints_px, list_shards, write_shard
from training.data.synthetic.motion import load_motion
from training.data.synthetic.people import dress, load_wardrobe
from training.data.synthetic.scene import Stock, render_scene
from training.data.synthetic.surroundings import load_surroundings

SHARD = 1000
PEOPLE = 60
"""Dressed people a shard draws from."""
LIMBS = ((5, 7), (7, 9), (6, 8), (8, 10), (11, 13), (13, 15), (12, 14), (14, 16), (5, 6), (11, 12), (5, 11), (6, 12))


def main() -> None:
    """Parse the command line and render; shards that are there already are kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=SHARD, help="pictures in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", default="384x288", help="WIDTHxHEIGHT")
    parser.add_argument("--body", help="body file (default: the open body)")
    parser.add_argument("--poses", type=Path, required=True, help="folder of motion .npz files")
    parser.add_argument("--backgrounds", type=Path, required=True, help="folder of equirectangular .jpg files")
    parser.add_argument("--wardrobe", type=Path, help="folder of clothes, hair, shoes and textures")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--sheet", type=Path, help="also draw a contact sheet of the first pictures with their labels")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    done = set(list_shards(options.out)) if options.out.is_dir() else set()
    jobs = [
        (number, min(SHARD, options.count - number * SHARD), options, width, height)
        for number in range(-(-options.count // SHARD)) if number not in done
    ]  # fmt: skip
    if options.workers > 1:
        with ProcessPoolExecutor(options.workers) as pool:
            list(tqdm(pool.map(_write_one, jobs), total=len(jobs), unit="shard"))
    else:
        for job in tqdm(jobs, unit="shard"):
            _write_one(job)
    if options.sheet:
        from training.data.sample import read_shard

        shard = read_shard(options.out, 0)
        cv2.imwrite(str(options.sheet), contact_sheet([shard.sample(i) for i in range(min(24, len(shard)))])[..., ::-1])


def _write_one(job: tuple) -> None:
    number, count, options, width, height = job
    write_shard(options.out, number, make_samples(options, number, count, width, height))


def make_samples(options: argparse.Namespace, number: int, count: int, width: int, height: int) -> list[Sample]:
    """The samples of one shard: the same seed and number give the same pictures."""
    rng = np.random.default_rng([options.seed, number])
    body = load_body(options.body) if options.body else open_body()
    wardrobe = load_wardrobe(options.wardrobe, body)
    stock = Stock(
        body, wardrobe, load_surroundings(options.backgrounds), load_motion(options.poses),
        [dress(body, wardrobe, rng) for _ in range(PEOPLE)],
    )  # fmt: skip
    return [render_scene(stock, width, height, rng) for _ in range(count)]


def contact_sheet(samples: list[Sample], columns: int = 6) -> np.ndarray:
    """Pictures with boxes and COCO limbs drawn: left limbs red, right limbs green, hidden joints dark."""
    from aios_core.body.joints import COCO17_FROM_144

    tiles = []
    for sample in samples:
        tile = sample.image.copy()
        points, seen = joints_px(sample)[:, COCO17_FROM_144], sample.joints_visible[:, COCO17_FROM_144]
        for p, box in enumerate(sample.boxes_xyxy_px.astype(int)):
            cv2.rectangle(tile, box[:2].tolist(), box[2:].tolist(), (255, 255, 0), 1)
            for a, b in LIMBS:
                colour = (255, 255, 255) if a % 2 != b % 2 else (255, 40, 40) if a % 2 else (40, 255, 40)
                ends = np.clip(points[p, [a, b]], -2000, 2000).astype(int).tolist()
                cv2.line(tile, ends[0], ends[1], colour, 1, cv2.LINE_AA)
            for k in range(17):
                at = np.clip(points[p, k], -2000, 2000).astype(int).tolist()
                cv2.circle(tile, at, 2, (255, 255, 255) if seen[p, k] else (0, 0, 0), -1)
        tiles.append(tile)
    rows = [np.concatenate(tiles[i : i + columns], 1) for i in range(0, len(tiles) - len(tiles) % columns, columns)]
    return np.concatenate(rows)


if __name__ == "__main__":
    main()
