"""A windowed Blender used as somebody at it would: buttons are found under the mouse and pressed, keys are typed.

Blender does not tell where its buttons are, but Ctrl+C over a button copies the call behind it: moving the mouse down
the sidebar and copying maps every button that runs an operator. Needs `--enable-event-simulate`. Every function here is
a generator whose values are pauses in seconds, for a timer to wait.
"""

import subprocess
import time
from collections.abc import Callable, Iterator

import bpy

ROW = 12
"""Pixels between the places of the sidebar that are looked at: less than a button is high."""


def window():
    return bpy.context.window_manager.windows[0]


def area(kind: str = "VIEW_3D"):
    return next(a for a in window().screen.areas if a.type == kind)


def sidebar(kind: str = "VIEW_3D"):
    return next(region for region in area(kind).regions if region.type == "UI")


def key(kind: str, x: int = 600, y: int = 450, text: str | None = None, **held: bool) -> None:
    options = {"unicode": text} if text else {}
    window().event_simulate(kind, "PRESS", x=x, y=y, **options, **held)
    window().event_simulate(kind, "RELEASE", x=x, y=y, **held)


def move(x: int, y: int) -> Iterator[float]:
    """The mouse, in two steps: a button notices that it is entered."""
    window().event_simulate("MOUSEMOVE", "NOTHING", x=x - 2, y=y)
    yield 0.01
    window().event_simulate("MOUSEMOVE", "NOTHING", x=x, y=y)
    yield 0.04


def show_tab(kind: str = "VIEW_3D") -> Iterator[float]:
    """The extension's tab."""
    area(kind).spaces.active.show_region_ui = True
    yield 0.3
    sidebar(kind).active_panel_category = "AiOS"
    area(kind).tag_redraw()
    yield 0.5


def call_under(x: int, y: int) -> Iterator[float]:
    """Copy the call of the button at a place into the clipboard; an empty one where there is none."""
    bpy.context.window_manager.clipboard = ""
    yield from move(x, y)
    key("C", x, y, ctrl=True)
    yield 0.04


def find(
    call: str, kind: str = "VIEW_3D", column: float = 0.3, top: int | None = None, height: int = 2000
) -> Iterator[float]:
    """Look for the button that runs an operator (`aios.capture`) downwards from the top, or from this y; its place.

    It is looked for first where it was seen last. column: of the sidebar's width. height: no further down than so far.
    """
    region = sidebar(kind)
    x = region.x + round(region.width * column)
    top = top or region.y + region.height - 40
    known = [_places[call, kind]] if (call, kind) in _places else []
    for place in known + [(x, y) for y in range(top, max(region.y, top - height), -ROW)]:
        yield from call_under(*place)
        if f"bpy.ops.{call}(" in bpy.context.window_manager.clipboard:
            _places[call, kind] = place
            return place
    return None


_places: dict[tuple[str, str], tuple[int, int]] = {}
"""Where buttons were seen last."""


def press(call: str, kind: str = "VIEW_3D", column: float = 0.3, top: int | None = None) -> Iterator[float]:
    """Find a button and click on it; its place."""
    place = yield from find(call, kind, column, top)
    assert place is not None, f"there is no button {call}"
    yield from click(*place)
    return place


def click(x: int, y: int, **held: bool) -> Iterator[float]:
    yield from move(x, y)
    window().event_simulate("LEFTMOUSE", "PRESS", x=x, y=y, **held)
    yield 0.05
    window().event_simulate("LEFTMOUSE", "RELEASE", x=x, y=y, **held)
    yield 0.3


def open_panel(call: str, below: str, skip: int = 0, column: float = 0.3) -> Iterator[float]:
    """Open closed panels under an operator's button, but for so many, until another's is seen; the last one's place."""
    _, y = yield from find(below)
    for lower in range(y - 30 - skip * 25, sidebar().y, -14):
        yield from click(sidebar().x + 120, lower)
        if (yield from find(call, column=column, top=lower, height=500)) is not None:
            return sidebar().x + 120, lower
    raise AssertionError(f"no panel shows {call}")


def undo(redo: bool = False) -> Iterator[float]:
    """Ctrl+Z over the viewport, or Ctrl+Shift+Z."""
    yield from move(500, 600)
    key("Z", 500, 600, ctrl=True, shift=redo)
    yield 0.8


def until(condition: Callable[[], bool], seconds: float, what: str = "") -> Iterator[float]:
    """Wait, as somebody at the window would."""
    ends = time.monotonic() + seconds
    while not condition():
        status = bpy.context.window_manager.aios_job.status
        assert time.monotonic() < ends, f"waited {seconds} s for {what}; the panel says: {status}"
        yield 0.2


def picture(path) -> Iterator[float]:
    """What is on the screen, as a file; Blender's own screenshots are black without a graphics card."""
    yield from move(500, 300)
    yield 0.6
    subprocess.run(["import", "-window", "root", str(path)], check=True)
    yield 0.1
