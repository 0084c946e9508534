"""Runs in a windowed Blender: installs the zip and uses every panel with mouse and keys, as an animator would.

    blender --enable-event-simulate --python click_through.py -- ZIP FOOTAGE PYTHON OUT

Leaves numbered pictures of the window and result.json in OUT; result.json lists what was done and what went wrong.
"""

import json
import shutil
import subprocess
import sys
import traceback
from pathlib import Path

import bpy

sys.path.insert(0, str(Path(__file__).parent))
from window import (
    area,
    click,
    find,
    key,
    move,
    open_panel,
    picture,
    press,
    show_tab,
    undo,
    until,
)

ZIP, FOOTAGE, PYTHON, OUT = (Path(argument) for argument in sys.argv[sys.argv.index("--") + 1 :])
NAME = "bl_ext.user_default.aios_blender"
bpy.context.preferences.view.show_splash = False
done: list[str] = []


def job():
    return bpy.context.window_manager.aios_job


def settings():
    return bpy.context.scene.aios


def people():
    return sorted((o for o in bpy.data.objects if o.type == "ARMATURE" and "aios_track" in o), key=lambda o: o.name)


def names():
    return [armature["aios_name"] for armature in people()]


def shot(name: str, through_camera: bool = False):
    if through_camera:
        bpy.data.objects["Cube"].hide_set(True)
        area().spaces.active.region_3d.view_perspective = "CAMERA"
        bpy.context.scene.frame_set(30)
        yield 0.5
        key("HOME", 500, 600)
        yield 0.5
    yield from picture(OUT / f"{len(done):02d}-{name}.png")


def did(what: str) -> None:
    done.append(what)
    (OUT / "progress.txt").write_text("\n".join(done))


def first_run():
    bpy.ops.extensions.package_install_files(filepath=str(ZIP), repo="user_default", enable_on_install=True)
    yield from show_tab()
    assert job().runtime == "Not set up"
    yield from shot("first-run")
    did("installed")
    stored = bpy.context.preferences.addons[NAME].preferences
    stored.wheels_folder = "/t"  # without any packages
    yield 0.5
    yield from press("aios.setup_runtime")
    yield from until(lambda: not job().is_running and job().failed, 90, "the failure")
    yield from shot("set-up-failed")
    did(f"set-up refused: {job().status}")
    stored.wheels_folder, stored.python = "", str(PYTHON)
    clip = shutil.copy(FOOTAGE, OUT.parent)
    settings().footage, settings().use_range, settings().last_frame = clip, True, 900
    yield from open_panel("aios.check_setup", below="aios.import_mocap", skip=4, column=0.2)
    yield from press("aios.check_setup", column=0.2)
    yield from until(lambda: not job().is_running and job().verdict, 200, "the check")
    assert job().is_sound, job().verdict
    yield from shot("checked")
    did(f"checked: {job().verdict}")
    bpy.ops.wm.save_as_mainfile(filepath="/t/saved.blend")


def capture():
    _, y = yield from press("aios.capture")
    yield from until(lambda: job().progress > 0, 300, "progress")
    yield from until(lambda: job().thumbnail, 60, "the thumbnail")
    yield from shot("capturing")
    did("capture started")
    yield from press("aios.cancel", top=y + 20)
    yield from until(lambda: not job().is_running, 60, "the end")
    assert job().status.startswith("Cancelled") and not people(), job().status
    yield from shot("cancelled")
    did("cancelled")

    yield from press("aios.capture")
    yield from until(lambda: job().is_running and job().progress > 0, 300, "progress")
    yield from move(500, 600)
    key("TAB", 500, 600)  # the default cube in edit mode: Blender stays usable, and is not disturbed by the result
    yield 0.3
    assert bpy.context.object.mode == "EDIT"
    yield from until(lambda: job().progress > 0.1, 300, "some frames")
    yield from press("aios.finish_early", column=0.7, top=y + 20)
    yield from until(lambda: not job().is_running, 300, "the people")
    assert people() and bpy.data.objects["Cube"].mode == "EDIT", job().status
    yield from move(500, 600)
    key("TAB", 500, 600)
    yield 0.3
    did(f"stopped and built: {job().status}")
    count = len(people())
    yield from undo()
    yield from undo()
    assert not people(), "undone"
    yield from undo(redo=True)
    yield from undo(redo=True)
    assert len(people()) == count, "and back again"
    did("undone and done again")
    yield from shot("captured", through_camera=True)


def change_people():
    first = people()[0]
    bpy.context.scene.aios_person = next(i for i, c in enumerate(take().children) if first.name in c.objects)
    yield 0.3
    assert bpy.context.view_layer.objects.active == first and first.select_get()
    yield from shot("person-chosen", through_camera=True)
    did("chosen in the list")
    count = len(people())
    yield from press("aios.delete_person", column=0.7)
    yield 1.0
    assert len(people()) == count - 1
    yield from undo()
    assert len(people()) == count
    did("deleted and undone")
    bpy.context.scene.aios_person = 0
    yield 0.3
    place = yield from find("aios.build_person", column=0.83)
    assert place is not None, "no button that leaves somebody out"
    yield from click(*place)
    yield 1.0
    assert len(people()) == count - 1, "left out"
    yield from shot("left-out")
    yield from click(*place)
    yield 1.0
    assert len(people()) == count, "built again"
    yield from press("aios.hide_person", column=0.75)
    assert sum(c.hide_viewport for c in take().children) == 1
    yield from press("aios.hide_person", column=0.75)
    rig = yield from open_panel("aios.key_rest_pose", below="aios.split_person", skip=1)
    yield from shot("rig", through_camera=True)
    yield from click(*rig)  # closed again
    did("left out, built, hidden and shown")


def take():
    return next(c for c in bpy.data.collections if c.get("aios_mocap"))


def rebuild():
    bpy.context.scene.aios_person = 0
    motion = yield from open_panel("aios.refine", below="aios.split_person")
    yield from press("aios.shape_person")
    yield from shot("shape")
    key("ESC", 500, 300)
    yield 0.5
    yield from press("aios.turn_person")
    yield from shot("turn-about")
    key("ESC", 500, 300)
    yield 0.5
    before, path = len(people()), take()["aios_mocap"]
    settings().smoothing = 3.0
    yield from press("aios.refine")
    yield from until(lambda: not job().is_running, 300, "smoothing")
    assert not job().failed and len(people()) == before, job().status
    assert take()["aios_mocap"] != path
    assert bpy.context.view_layer.objects.active in people(), "the person stays chosen"
    yield from shot("smoothed-again", through_camera=True)
    yield from undo()
    assert take()["aios_mocap"] == path and len(people()) == before, "one step of undo"
    did("smoothed again and undone")
    yield from click(*motion)  # closed again


def batch():
    for last in (10, 20):
        settings().last_frame = last
        bpy.ops.aios.queue_clip()
    yield from open_panel("aios.run_queue", below="aios.split_person", skip=2)
    yield from press("aios.run_queue")
    yield 2.0
    yield from shot("queue-running")
    queue = bpy.context.scene.aios_queue
    yield from until(lambda: not job().is_running and all(c.state == "DONE" for c in queue), 500, "the queue")
    yield from shot("queue-done", through_camera=True)
    window, here = bpy.context.window_manager.windows[0], bpy.context.scene
    new = [scene for scene in bpy.data.scenes if scene != here]
    assert [scene.frame_end for scene in new] == [10, 20], "a scene for each clip"
    assert all(scene.camera and any(o.type == "ARMATURE" for o in scene.objects) for scene in new), "with its people"
    window.scene = new[-1]
    yield 1.0
    yield from shot("queue-own-scene")
    window.scene = here
    yield 0.5
    did("queue worked off")


def movie_clip_editor():
    clip = bpy.data.movieclips.load(str(FOOTAGE))
    area().type = "CLIP_EDITOR"
    area("CLIP_EDITOR").spaces.active.clip = clip
    yield from show_tab("CLIP_EDITOR")
    yield from press("aios.use_clip", "CLIP_EDITOR")
    assert settings().source == "CLIP" and settings().clip == clip
    yield from shot("movie-clip-editor")
    area("CLIP_EDITOR").type = "VIEW_3D"
    did("the clip of the editor chosen")
    yield 0.5


def another_file():
    yield from show_tab()
    yield from press("aios.capture")
    yield from until(lambda: job().is_running and job().progress > 0, 300, "progress")
    bpy.ops.wm.open_mainfile(filepath="/t/saved.blend")
    yield 1.0
    assert not job().is_running and not people(), "another file was opened: the capture ends"
    yield from show_tab()
    assert "another file was opened" in job().status
    settings().last_frame = 8
    yield from press("aios.capture")
    yield from until(lambda: not job().is_running and people(), 300, "a capture in the opened file")
    did("another file opened meanwhile")


def script():
    """The whole visit; each yield is a pause in seconds."""
    for part in (first_run, capture, change_people, rebuild, batch, movie_clip_editor, another_file):
        yield from part()


steps = script()


def tick():
    try:
        return next(steps)
    except StopIteration:
        error = None
    except Exception:
        error = traceback.format_exc()
        subprocess.run(["import", "-window", "root", str(OUT / "failed.png")], check=False)
    (OUT / "result.json").write_text(json.dumps({"done": done, "error": error}, indent=1))
    bpy.ops.wm.quit_blender()
    return None


bpy.app.timers.register(tick, first_interval=1.0, persistent=True)
