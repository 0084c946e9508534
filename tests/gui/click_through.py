"""Runs in a windowed Blender: installs the zip, captures, cancels, rebuilds and works off a queue by simulated keys.

    blender --enable-event-simulate --python click_through.py -- ZIP FOOTAGE PYTHON OUT

Leaves numbered pictures of the window and result.json in OUT; result.json lists what was done and what went wrong.
"""

import json
import subprocess
import sys
import time
import traceback
from pathlib import Path

import bpy

ZIP, FOOTAGE, PYTHON, OUT = (Path(argument) for argument in sys.argv[sys.argv.index("--") + 1 :])
NAME = "bl_ext.user_default.aios_blender"
bpy.context.preferences.view.show_splash = False
bpy.context.preferences.view.show_developer_ui = True  # F3 finds every operator
done: list[str] = []


def window():
    return bpy.context.window_manager.windows[0]


def area(kind="VIEW_3D"):
    return next(a for a in window().screen.areas if a.type == kind)


def job():
    return bpy.context.window_manager.aios_job


def key(kind: str, text: str | None = None) -> None:
    options = {"unicode": text} if text else {}
    window().event_simulate(kind, "PRESS", x=600, y=450, **options)
    window().event_simulate(kind, "RELEASE", x=600, y=450)


def search(words: str):
    """Press F3 over the viewport, type, and press return: how any button can be reached."""
    window().event_simulate("MOUSEMOVE", "NOTHING", x=600, y=450)
    yield 0.2
    key("F3")
    yield 0.6
    for letter in words:
        key("SPACE" if letter == " " else letter.upper(), letter)
        yield 0.05
    yield 0.4
    key("RET")
    yield 0.6


def picture(name: str):
    for region in area().regions:
        if region.type == "UI":
            region.active_panel_category = "AiOS"
    area().tag_redraw()
    yield 0.4
    subprocess.run(["import", "-window", "root", str(OUT / f"{len(done):02d}-{name}.png")], check=True)
    yield 0.2


def until(condition, seconds: float):
    """Wait, as somebody at the window would."""
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, f"waited {seconds} s; the panel says: {job().status}"
        yield 0.2


def people():
    return [o for o in bpy.data.objects if o.type == "ARMATURE"]


def script():
    """The whole visit; each yield is a pause in seconds."""
    bpy.ops.extensions.package_install_files(filepath=str(ZIP), repo="user_default", enable_on_install=True)
    for thing in list(bpy.data.objects):
        bpy.data.objects.remove(thing)
    area().spaces.active.show_region_ui = True
    yield 0.5
    yield from picture("first run")
    assert job().runtime == "Not set up"
    done.append("installed")

    bpy.context.preferences.addons[NAME].preferences.python = str(PYTHON)
    settings = bpy.context.scene.aios
    settings.footage, settings.use_range, settings.last_frame = str(FOOTAGE), True, 60
    yield 0.3
    yield from search("capture")
    yield from until(lambda: job().is_running and job().progress > 0, 60)
    yield from picture("capturing")
    done.append("capture started by keys")
    yield from search("cancel")
    yield from until(lambda: not job().is_running, 20)
    assert job().status == "Cancelled" and not people()
    done.append("cancelled")
    yield from search("capture")
    yield from until(lambda: not job().is_running, 120)
    assert people(), job().status
    area().spaces.active.region_3d.view_perspective = "CAMERA"
    bpy.context.scene.frame_set(30)
    done.append(f"captured: {job().status}")
    yield from picture("captured")

    first = people()[0]
    bpy.context.view_layer.objects.active = first
    first.select_set(True)
    area().spaces.active.region_3d.view_perspective = "CAMERA"
    yield from picture("person chosen")
    settings.smoothing = 3.0
    before = len(people())
    yield from search("smooth again")
    yield from until(lambda: not job().is_running, 60)
    assert len(people()) == before, "built again in place"
    assert bpy.context.view_layer.objects.active in people(), "the person stays chosen"
    done.append("rebuilt")
    yield from picture("smoothed again")

    for last in (20, 30):
        settings.last_frame = last
        bpy.ops.aios.queue_clip()
    yield from search("run queue")
    yield from until(lambda: not job().is_running and all(c.state == "DONE" for c in bpy.context.scene.aios_queue), 120)
    done.append("queue worked off")
    yield from picture("queue")


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


bpy.app.timers.register(tick, first_interval=1.0)
