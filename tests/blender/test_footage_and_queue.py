"""What the panel captures: files, clips, what is behind the camera; and clips in a queue."""

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import pytest

bpy = pytest.importorskip("bpy")

import aios_blender  # noqa: E402
from aios_blender import compat, jobs, operators, queue  # noqa: E402
from aios_blender.drawing import wrapped  # noqa: E402
from aios_blender.footage import footage_of, sequence_pattern  # noqa: E402
from aios_blender.queue import enqueue, waiting  # noqa: E402
from aios_blender.take import armatures_of, rebuild, scene_of, takes  # noqa: E402
from aios_core import mocap as mocap_file  # noqa: E402
from aios_core.body.files import open_body  # noqa: E402
from aios_core.errors import AiosError, FootageError  # noqa: E402
from tests.mocaps import make_mocap  # noqa: E402

ROOT = Path(__file__).parents[2]
VIDEO = ROOT / "examples" / "footage" / "plaza.mp4"
PHOTO = ROOT / "examples" / "footage" / "astronaut.jpg"


@pytest.fixture
def scene(empty_file):
    aios_blender.register()
    yield bpy.context.scene
    aios_blender.unregister()


@pytest.fixture
def command(scene, monkeypatch, tmp_path):
    """The options of the capture that the scene's settings describe."""
    monkeypatch.setattr(operators, "runtime_python", lambda: "python")
    monkeypatch.setattr(operators, "mocap_path", lambda footage: tmp_path / "clip.npz")
    return lambda: operators.capture_command(scene.aios, scene)


def test_a_movie_clip_of_this_file_is_footage(scene):
    scene.aios.source = "CLIP"
    with pytest.raises(FootageError, match="Choose the movie clip"):
        footage_of(scene.aios, scene)
    scene.aios.clip = bpy.data.movieclips.load(str(VIDEO))
    assert Path(footage_of(scene.aios, scene)) == VIDEO


def test_what_is_behind_the_camera_is_footage(scene):
    scene.aios.source = "CAMERA"
    with pytest.raises(FootageError, match="no camera"):
        footage_of(scene.aios, scene)
    scene.camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    with pytest.raises(FootageError, match="no clip or picture"):
        footage_of(scene.aios, scene)
    background = scene.camera.data.background_images.new()
    background.image = bpy.data.images.load(str(PHOTO))
    assert Path(footage_of(scene.aios, scene)) == PHOTO
    background.source, background.clip = "MOVIE_CLIP", bpy.data.movieclips.load(str(VIDEO))
    assert Path(footage_of(scene.aios, scene)) == VIDEO


@pytest.mark.parametrize(
    ("path", "pattern"),
    [("/a/shot_0001.png", "/a/shot_####.png"), ("/a1/take2_v3.7.exr", "/a1/take2_v3.#.exr"), ("/a/b.png", "/a/b.png")],
)
def test_a_sequence_is_the_pattern_of_its_last_number(path, pattern):
    assert sequence_pattern(path) == pattern


def test_an_image_sequence_is_chosen_by_any_of_its_pictures_or_by_its_folder(scene, command, tmp_path):
    scene.aios.source, scene.aios.sequence_fps = "SEQUENCE", 12.5
    for chosen, footage in ((tmp_path / "shot_0007.png", tmp_path / "shot_####.png"), (tmp_path, tmp_path)):
        scene.aios.footage = str(chosen)
        assert Path(footage_of(scene.aios, scene)) == footage
    options = command()
    assert options[options.index("--fps") + 1] == "12.5"
    bpy.ops.aios.queue_clip()
    assert scene.aios_queue[0].settings.source == "SEQUENCE"
    assert footage_of(scene.aios_queue[0].settings, scene) == str(tmp_path)


def test_people_of_a_movie_clip_start_where_the_clip_does(scene):
    scene.aios.source, scene.aios.clip = "CLIP", bpy.data.movieclips.load(str(VIDEO))
    scene.aios.clip.frame_start = 31
    assert operators.wanted_of(scene.aios, scene).first_frame == 31
    bpy.ops.aios.queue_clip()
    assert operators.wanted_of(scene.aios_queue[0].settings, scene).first_frame == 31


def test_a_range_counted_from_one_becomes_options_counted_from_zero(scene, command):
    scene.aios.footage = str(VIDEO)
    assert "--start" not in command()
    scene.aios.use_range, scene.aios.first_frame, scene.aios.last_frame, scene.aios.step = True, 11, 20, 2
    options = command()
    assert options[options.index("--start") + 1] == "10" and options[options.index("--stop") + 1] == "20"
    assert options[options.index("--step") + 1] == "2"


def test_the_options_are_ones_that_the_command_line_knows(scene, command):
    from aios_core.cli import parser

    settings = scene.aios
    settings.footage, settings.use_range, settings.max_people = str(VIDEO), True, 3
    settings.fit_picture, settings.level_camera, settings.lock_feet = True, True, False
    options = parser().parse_args(command()[3:])
    assert options.fit and options.level_camera and options.no_foot_lock and options.max_people == 3
    assert not options.fast
    assert options.threshold is None, "the weights state theirs"
    settings.quality, settings.threshold = "fast", 0.25
    options = parser().parse_args(command()[3:])
    assert options.fast and options.threshold == 0.25
    settings.quality = "thorough"
    options = parser().parse_args(command()[3:])
    assert options.thorough and not options.fast


def test_a_queued_clip_keeps_the_settings_it_was_queued_with(scene):
    scene.aios.threshold, scene.aios.lock_feet = 0.5, False
    clip = enqueue(scene, "/clips/a.mp4", scene.aios)
    scene.aios.threshold = 0.1
    assert clip.settings.threshold == pytest.approx(0.5) and not clip.settings.lock_feet
    assert footage_of(clip.settings, scene) == "/clips/a.mp4"


def test_the_queue_is_changed_with_buttons(scene):
    assert not bpy.ops.aios.unqueue.poll() and not bpy.ops.aios.run_queue.poll()
    bpy.ops.aios.queue_files(directory="/clips", files=[{"name": "a.mp4"}, {"name": "b.mp4"}])
    assert [clip.name for clip in scene.aios_queue] == ["/clips/a.mp4", "/clips/b.mp4"]
    scene.aios_queue[0].state = "FAILED"
    assert [clip.name for clip in waiting(scene)] == ["/clips/b.mp4"]
    bpy.ops.aios.requeue()
    assert len(waiting(scene)) == 2
    scene.aios_queue[1].state = "RUNNING"
    scene.aios_queue_index = 1
    assert not bpy.ops.aios.unqueue.poll()
    scene.aios_queue_index = 0
    bpy.ops.aios.unqueue()
    assert [clip.name for clip in scene.aios_queue] == ["/clips/b.mp4"]


class FinishedJob:
    """A capture that has found its Mocap at once."""

    def __init__(self, command):
        self.command = command

    def poll(self):
        path = Path(self.command[-1])
        yield {"event": "done", "people": 2, "output": str(path)}


@pytest.fixture
def captured(scene, monkeypatch, tmp_path):
    """Run the queue over clips whose captures give the Mocaps in these files."""

    def run(**mocaps):
        monkeypatch.setattr(queue, "Job", FinishedJob)
        monkeypatch.setattr(queue, "thumbnail_of", lambda command: "")
        monkeypatch.setattr(queue, "capture_command", lambda settings, scene: ["capture", settings.footage])
        for name, mocap in mocaps.items():
            path = tmp_path / f"{name}.npz"
            mocap_file.save(mocap, path) if mocap is not None else path.write_bytes(b"damaged")
            enqueue(scene, str(path), scene.aios)
        assert bpy.ops.aios.run_queue() == {"FINISHED"}
        while jobs.pump():
            pass
        return [(clip.state, clip.message) for clip in scene.aios_queue]

    return run


def seconds_of(take):
    """How long the people of a take move, by the clock of their scene."""
    render = scene_of(take).render
    last = max(curve.range()[1] for a in armatures_of(take) for curve in compat.fcurves_of(a))
    return (last - 1) * render.fps_base / render.fps


def test_every_clip_of_the_queue_gets_a_scene_of_its_own(scene, captured):
    scene.render.fps, scene.frame_end = 30, 77
    slow, fast = make_mocap(length=20, fps=Fraction(10)), make_mocap(length=20, fps=Fraction(50))
    assert captured(slow=slow, fast=fast) == [("DONE", "2 people")] * 2
    assert bpy.context.scene == scene and scene.render.fps == 30 and scene.frame_end == 77
    assert not takes() and scene.camera is None and not scene.objects
    for name, mocap in (("slow", slow), ("fast", fast)):
        own = bpy.data.scenes[name]
        assert own.render.fps / own.render.fps_base == pytest.approx(float(mocap.fps))
        assert own.frame_end == 20 and own.camera.name in own.objects
        assert (own.render.resolution_x, own.render.resolution_y) == (mocap.width, mocap.height)
        assert own.aios.footage.endswith(f"{name}.npz"), "its panel can capture the clip again"
        (take,) = takes(own)
        assert len(armatures_of(take)) == 2 and own.view_layers[0].objects.active in armatures_of(take)
        assert seconds_of(take) == pytest.approx(19 / float(mocap.fps), abs=1e-3)


def test_clips_of_other_frame_rates_move_as_fast_as_in_the_footage_when_they_share_a_scene(scene, captured):
    scene.aios_queue_scenes = False
    slow, fast = make_mocap(length=20, fps=Fraction(10)), make_mocap(length=20, fps=Fraction(50))
    assert [state for state, _ in captured(slow=slow, fast=fast)] == ["DONE"] * 2
    assert len(bpy.data.scenes) == 1 and len(takes()) == 2 and scene.render.fps == 10
    assert [seconds_of(take) for take in takes()] == pytest.approx([1.9, 0.38], abs=1e-3)
    assert "keeps its 10 frames a second" in bpy.context.window_manager.aios_job.status


def test_a_clip_that_cannot_be_built_leaves_no_scene(scene, captured):
    (broken, sound) = captured(broken=None, sound=make_mocap(length=12))
    assert broken[0] == "FAILED" and "not a Mocap file" in broken[1] and sound[0] == "DONE"
    assert sorted(bpy.data.scenes.keys()) == sorted([scene.name, "sound"])


def test_a_queue_that_cannot_start_says_why_and_not_what_became_of_others(scene, captured, monkeypatch):
    captured(sound=make_mocap(length=12))
    enqueue(scene, "/clips/none.mp4", scene.aios)

    def refuse(settings, scene):
        raise AiosError("There is no runtime.")

    monkeypatch.setattr(queue, "capture_command", refuse)
    with pytest.raises(RuntimeError, match="There is no runtime"):
        bpy.ops.aios.run_queue()
    assert [clip.state for clip in scene.aios_queue] == ["DONE", "FAILED"]


def test_a_take_that_is_changed_while_another_scene_is_open_stays_in_its_own(scene, captured):
    captured(clip=make_mocap(length=12))
    own = bpy.data.scenes["clip"]
    (take,) = takes(own)
    rebuild(take, take.path, open_body())
    assert len(takes(own)) == 1 and not takes(scene) and not scene.objects
    assert own.camera is not None and own.camera.name in takes(own)[0].collection.all_objects


def test_a_dropped_file_becomes_the_footage(scene):
    scene.aios.source = "CLIP"
    with pytest.raises(RuntimeError, match="no runtime"):
        bpy.ops.aios.drop_footage(filepath=str(VIDEO))
    assert footage_of(scene.aios, scene) == str(VIDEO)
    handler = bpy.types.FileHandler.bl_rna_get_subclass_py("AIOS_FH_footage")
    assert handler.poll_drop(SimpleNamespace(area=SimpleNamespace(type="VIEW_3D")))
    assert not handler.poll_drop(SimpleNamespace(area=SimpleNamespace(type="CONSOLE")))


def test_long_texts_are_broken_into_lines_that_fit():
    text = "a word and a-word-that-is-too-long-for-a-line end"
    lines = wrapped(text, 12)
    assert (
        " ".join(lines) == text
        and lines[0] == "a word and"
        and all(len(line) <= 12 or " " not in line for line in lines)
    )
