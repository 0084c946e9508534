"""What the panel captures: files, clips, what is behind the camera; and clips in a queue."""

from pathlib import Path
from types import SimpleNamespace

import pytest

bpy = pytest.importorskip("bpy")

import aios_blender  # noqa: E402
from aios_blender import operators  # noqa: E402
from aios_blender.drawing import wrapped  # noqa: E402
from aios_blender.footage import footage_of, sequence_pattern  # noqa: E402
from aios_blender.queue import enqueue, waiting  # noqa: E402
from aios_core.errors import FootageError  # noqa: E402

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
    settings.quality = "fast"
    assert parser().parse_args(command()[3:]).fast


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
