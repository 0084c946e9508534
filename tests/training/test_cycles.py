"""The fixed scenes by Cycles: people are drawn where the labels say, and a scene is the same every time."""

from dataclasses import replace

import numpy as np
import pytest

from tests.training.test_synthetic import materials, stock  # noqa: F401
from training.data.synthetic.drawing import SUPERSAMPLING, draw
from training.data.synthetic.people import dress
from training.data.synthetic.scene import compose

bpy = pytest.importorskip("bpy")
WIDTH, HEIGHT = 96, 72


@pytest.fixture
def renderer(stock):  # noqa: F811
    from training.data.cycles.render import Renderer

    yield Renderer(stock.wardrobe, samples=4)
    bpy.ops.wm.read_factory_settings(use_empty=True)


def test_cycles_draws_people_where_the_labels_say_and_alike_every_time(stock, renderer, tmp_path):  # noqa: F811
    rng = np.random.default_rng(6)  # somebody who stands out from what is behind
    dressed = replace(stock, people=[dress(stock.body, stock.wardrobe, rng)])
    scenes = (compose(dressed, WIDTH, HEIGHT, rng) for _ in range(40))
    scene = next(scene for scene in scenes if len(scene.people) == 1 and not scene.things)
    scene = replace(scene, setting=replace(scene.setting, sun_colour=np.zeros(3)))
    drawing = draw([scene.people[0].mesh()], stock.wardrobe.mips, scene.camera, scene.setting, WIDTH, HEIGHT)
    seen = (drawing.owner == 0).reshape(HEIGHT, SUPERSAMPLING, WIDTH, SUPERSAMPLING).mean((1, 3))
    assert 0.01 < seen.mean() < 0.9

    path = tmp_path / "picture.png"
    there, again = (renderer.render(scene, WIDTH, HEIGHT, 0, path) for _ in range(2))
    without = renderer.render(replace(scene, people=[]), WIDTH, HEIGHT, 0, path)
    assert np.array_equal(there, again)
    changed = np.abs(there.astype(int) - without).max(-1)
    assert (changed[seen == 1] > 12).mean() > 0.9
    rows, columns = np.nonzero(changed > 60)
    drawn = np.nonzero(seen)
    for found, wanted in ((rows, drawn[0]), (columns, drawn[1])):
        assert abs(found.min() - wanted.min()) <= 3 and abs(found.max() - wanted.max()) <= 3
