"""Render the fixed scenes for evaluation by Blender's Cycles:

python -m training.data.cycles.generate --out DIR --poses DIR --backgrounds DIR --wardrobe DIR

The weights never trained on this renderer's pictures. Scene number n is the same whatever was rendered before; a run
that was interrupted can be started again. Needs the `bpy` package.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from aios_core.errors import AiosError, MissingDependencyError
from training.data.sample import Sample, list_shards, read_shard, write_shard
from training.data.synthetic.drawing import draw
from training.data.synthetic.generate import Materials, contact_sheet, load_stock, write_picture
from training.data.synthetic.labels import label
from training.data.synthetic.people import dress
from training.data.synthetic.scene import Stock, compose

SCENES = 300
SHARD = 20
SEED = 4242
PEOPLE = 8
"""Dressed people each scene draws from."""


def main() -> int:
    """Parse the command line and render; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=SCENES, help=f"scenes in all (default: {SCENES})")
    parser.add_argument("--size", default="256x192", help="WIDTHxHEIGHT (default: %(default)s)")
    parser.add_argument("--poses", type=Path, required=True, help="folder of motion files, see .synthetic.retarget")
    parser.add_argument(
        "--backgrounds", type=Path, required=True, help="pictures without people, equirectangular or plain"
    )
    parser.add_argument("--wardrobe", type=Path, help="folder of clothes, hair, shoes and textures")
    parser.add_argument("--sheet", type=Path, help="also draw the first pictures with their labels to this file")
    options = parser.parse_args()
    materials = Materials(options.poses, options.backgrounds, options.wardrobe)
    try:
        width, height = map(int, options.size.split("x"))
        generate(options.out, options.count, (width, height), materials)
        if options.sheet:
            shards = [read_shard(options.out, number) for number in list_shards(options.out)[:2]]
            shown = [shard.sample(i) for shard in shards for i in range(len(shard))]
            write_picture(options.sheet, contact_sheet(shown[:24]))
    except AiosError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def generate(out: Path, count: int, size: tuple[int, int], materials: Materials) -> None:
    """Render the first `count` scenes in a size (width, height) into shards of SHARD in the folder `out`.

    Raises:
        AiosError: materials are missing or unreadable, or bpy is.
    """
    try:
        from training.data.cycles.render import Renderer
    except ImportError as error:
        raise MissingDependencyError("Cycles needs Blender's package: pip install bpy.") from error
    stock = load_stock(materials)
    renderer = Renderer(stock.wardrobe)
    done = set(list_shards(out)) if out.is_dir() else set()
    starts = [start for start in range(0, count, SHARD) if start // SHARD not in done]
    with tempfile.TemporaryDirectory() as folder:
        for start in tqdm(starts, unit="shard"):
            numbers = range(start, min(start + SHARD, count))
            samples = [make_sample(renderer, stock, n, *size, Path(folder) / "picture.png") for n in numbers]
            write_shard(out, start // SHARD, samples)


def make_sample(renderer, stock: Stock, number: int, width: int, height: int, path: Path) -> Sample:
    """Scene `number`: composed and labelled as training pictures are, drawn by Cycles."""
    rng = np.random.default_rng([SEED, number])
    stock = replace(stock, people=[dress(stock.body, stock.wardrobe, rng) for _ in range(PEOPLE)])
    scene = compose(stock, width, height, rng)
    meshes = [posed.mesh() for posed in scene.people] + scene.things
    # The rasteriser's depths and owners of pixels are what labels are read from; its picture is not used.
    drawing = draw(meshes, stock.wardrobe.mips, scene.camera, scene.setting, width, height)
    image = renderer.render(scene, width, height, number, path)
    return label(image, scene.people, drawing, scene.camera.focal_px)


if __name__ == "__main__":
    sys.exit(main())
