"""The extension as its users get it: the zip, the operators, the command line, the worker process."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

import aios_blender  # noqa: E402
from aios_core import mocap as mocap_file  # noqa: E402
from aios_core.body.files import open_body  # noqa: E402
from tests.mocaps import make_mocap  # noqa: E402

ROOT = Path(__file__).parents[2]
PHOTO = ROOT / "examples" / "footage" / "astronaut.jpg"


@pytest.fixture
def enabled():
    aios_blender.register()
    yield
    aios_blender.unregister()


def run_python(*arguments, **environment):
    return subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, timeout=180, cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
    )  # fmt: skip


LATER = [
    "setup_runtime",
    "remove_runtime",
    "check_setup",
    "capture",
    "cancel",
    "export_people",
    "run_queue",
    "submit_queue",
    "refine",
]
LATER += ["follow_camera", "shape_person", "turn_person", "drop_footage", "finish_early"]
"""What these change is outside Blender, or becomes a step of undo when their process is done."""
ALWAYS = ["queue_files", "drop_footage"]
"""These can always be pressed."""


def test_every_button_says_what_it_does_why_it_cannot_be_pressed_and_is_undone():
    operators = [cls for cls in aios_blender._classes() if issubclass(cls, bpy.types.Operator)]
    assert len(operators) > 20
    for cls in operators:
        name = cls.bl_idname.removeprefix("aios.")
        assert cls.__doc__ and cls.__doc__[0].isupper() and not cls.__doc__.endswith("."), cls
        ours = [base for base in cls.__mro__ if base.__module__.startswith("aios_blender")]
        assert any("poll" in vars(base) for base in ours) != (name in ALWAYS), cls
        assert ("UNDO" in getattr(cls, "bl_options", ())) != (name in LATER), cls


def test_the_operator_and_the_function_build_the_same_objects(enabled, tmp_path):
    from aios_blender.scene import build

    path = mocap_file.save(make_mocap(), tmp_path / "clip.npz")
    assert bpy.ops.aios.import_mocap(filepath=str(path)) == {"FINISHED"}
    by_operator = sorted(o.name for o in bpy.data.objects)
    poses = [np.array(bpy.data.objects["P01_armature"].pose.bones["left_knee"].matrix)]
    bpy.ops.wm.read_factory_settings(use_empty=True)
    build(make_mocap(), open_body())
    assert sorted(o.name for o in bpy.data.objects) == by_operator
    poses.append(np.array(bpy.data.objects["P01_armature"].pose.bones["left_knee"].matrix))
    assert np.allclose(*poses)


def test_only_chosen_people_are_built(enabled, tmp_path):
    path = mocap_file.save(make_mocap(), tmp_path / "clip.npz")
    with pytest.raises(RuntimeError, match="are not numbers"):
        bpy.ops.aios.import_mocap(filepath=str(path), people="Anna")
    bpy.ops.aios.import_mocap(filepath=str(path), people="2")
    assert [o.name for o in bpy.data.objects if o.type == "ARMATURE"] == ["P02_armature"]


def test_a_wrong_file_is_reported_and_builds_nothing(enabled, tmp_path):
    wrong = tmp_path / "wrong.npz"
    wrong.write_bytes(b"nothing")
    with pytest.raises(RuntimeError, match="not a Mocap file"):
        bpy.ops.aios.import_mocap(filepath=str(wrong))
    assert not bpy.data.objects


def test_capture_needs_footage_and_a_runtime(enabled):
    assert not bpy.ops.aios.capture.poll()
    bpy.context.scene.aios.footage = "/no/such/clip.mp4"
    with pytest.raises(RuntimeError, match="preferences"):
        bpy.ops.aios.capture()


def test_registering_twice_leaves_nothing_behind():
    for _ in range(2):
        aios_blender.register()
        assert hasattr(bpy.types.Scene, "aios")
        aios_blender.unregister()
        assert not hasattr(bpy.types.Scene, "aios")


def test_the_command_line_writes_a_blend_that_opens(tmp_path):
    path = mocap_file.save(make_mocap(), tmp_path / "clip.npz")
    output = tmp_path / "scene.blend"
    result = run_python("-m", "aios_blender", "import", path, "-o", output)
    assert result.returncode == 0, result.stderr
    bpy.ops.wm.open_mainfile(filepath=str(output))
    assert {"P01_armature", "P01_mesh", "P02_armature", "clip_camera"} <= set(bpy.data.objects.keys())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.npz", "scene.blend"]


def test_the_command_lines_mistakes_are_one_sentence_and_exit_code_two(tmp_path):
    result = run_python("-m", "aios_blender", "import", tmp_path / "no.npz", "-o", tmp_path / "x.blend")
    assert result.returncode == 2
    assert result.stderr.strip() == f"aios: No such Mocap file: {tmp_path / 'no.npz'}."
    result = run_python("-m", "aios_blender", "import", tmp_path / "no.npz", "-o", "/no/such/folder/x.blend")
    assert result.returncode == 2
    assert "does not exist" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_verbs_that_need_no_blender_are_handed_to_the_runtime(tmp_path):
    path = mocap_file.save(make_mocap(), tmp_path / "clip.npz")
    result = run_python("-m", "aios_blender", "tracks", "--python", sys.executable, path, "list")
    assert result.returncode == 0 and "Person 2" in result.stdout, result.stderr
    result = run_python("-m", "aios_blender", "tracks", "--python", sys.executable, tmp_path / "no.npz", "list")
    assert result.returncode == 2 and result.stderr.startswith("aios: No such Mocap file")
    result = run_python("-m", "aios_blender", "doctor", "--python", "/no/python")
    assert result.returncode == 2 and result.stderr == "aios: Cannot start /no/python: No such file or directory.\n"


def test_a_run_knows_the_captures_options_and_hands_them_on():
    from aios_blender import command_line
    from aios_core.cli import parser

    ours = {o for action in _options_of(command_line._parser(), "run") for o in action.option_strings}
    theirs = {o for action in _options_of(parser(), "run") for o in action.option_strings}
    assert theirs - ours == {"--preview", "--blender", "--thumbnail", "--progress"}
    assert ours - theirs == {"--python"}
    options = command_line._parser().parse_args(["run", "a.mp4", "-o", "a.blend", "--max-people", "2", "--fit"])
    assert command_line.capture_options(options) == ["--max-people=2", "--fit"]


def _options_of(parser, verb):
    verbs = next(action for action in parser._actions if action.choices and verb in action.choices)
    return verbs.choices[verb]._actions


def test_a_run_of_several_clips_writes_a_blend_for_each_and_two_for_a_missing_one(tmp_path):
    clips = [PHOTO, tmp_path / "no.mp4"]
    result = run_python("-m", "aios_blender", "run", "--python", sys.executable, *clips, "-o", tmp_path / "out")
    assert result.returncode == 2 and "no.mp4" in result.stderr, result.stdout + result.stderr
    made = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"astronaut.npz", "astronaut.blend"} <= made and "no.npz" not in made


INSTALL = """
import sys, bpy, addon_utils
addon_utils.enable("bl_pkg")
bpy.ops.extensions.package_install_files(filepath=sys.argv[1], repo="user_default", enable_on_install=True)
name = "bl_ext.user_default.aios_blender"
assert name in bpy.context.preferences.addons, "not enabled"
import aios_core
assert "extensions" in aios_core.__file__, aios_core.__file__
assert "torch" not in sys.modules
bpy.ops.aios.import_mocap(filepath=sys.argv[2])
print("people:", sum(o.type == "ARMATURE" for o in bpy.data.objects), flush=True)

stored = bpy.context.preferences.addons[name].preferences
assert bpy.context.window_manager.aios_job.runtime == "Not set up"
assert not bpy.app.online_access and not bpy.ops.aios.setup_runtime.poll()
stored.wheels_folder = sys.argv[3].rpartition("/")[0]
assert bpy.ops.aios.setup_runtime.poll()
try:
    bpy.ops.aios.capture()
except RuntimeError:
    pass
else:
    raise AssertionError("a capture without a runtime")
from bl_ext.user_default.aios_blender.runtime import bundled_package
assert bundled_package().suffix == ".whl", bundled_package()

import os, time
from bl_ext.user_default.aios_blender import jobs
os.environ["PYTHONPATH"] = sys.argv[4]  # the runtime's packages, not Blender's
stored.python = sys.executable
bpy.ops.aios.check_setup()
while jobs.pump():
    time.sleep(0.1)
print("checked:", bpy.context.window_manager.aios_job.verdict, flush=True)
settings, job = bpy.context.scene.aios, bpy.context.window_manager.aios_job
settings.footage, settings.threshold = sys.argv[3], 0.02
assert bpy.ops.aios.capture() == {"FINISHED"}
assert job.is_running and not bpy.ops.aios.capture.poll()
while jobs.pump():
    time.sleep(0.1)
print("captured:", job.status, "camera" in " ".join(bpy.data.objects.keys()), flush=True)

settings.footage = "/no/such/clip.mp4"
bpy.ops.aios.capture()
while jobs.pump():
    time.sleep(0.1)
print("refused:", job.status, flush=True)

settings.footage = sys.argv[3]
bpy.ops.aios.capture()
bpy.ops.aios.cancel()
while jobs.pump():
    time.sleep(0.1)
print("ended:", job.status, job.is_running, flush=True)

for footage in ("/no/such/clip.mp4", sys.argv[3]):
    settings.footage = footage
    bpy.ops.aios.queue_clip()
assert bpy.ops.aios.run_queue() == {"FINISHED"}
while jobs.pump():
    time.sleep(0.1)
print("queue:", [(c.state, c.message) for c in bpy.context.scene.aios_queue], flush=True)

aios_core.is_old = True
bpy.ops.extensions.package_install_files(filepath=sys.argv[1], repo="user_default", enable_on_install=True)
import aios_core
print("updated:", not hasattr(aios_core, "is_old") and hasattr(bpy.types.Scene, "aios"), flush=True)
os._exit(0)
"""


def test_the_zip_validates_installs_imports_and_captures(tmp_path):
    built = run_python(ROOT / "tools" / "build_extension.py", "--output", tmp_path)
    assert built.returncode == 0, built.stdout + built.stderr
    archive = Path(built.stdout.strip().splitlines()[-1])
    names = zipfile.ZipFile(archive).namelist()
    assert "blender_manifest.toml" in names
    wheels = [name for name in names if name.endswith(".whl")]
    assert len(wheels) == 1 and wheels[0].endswith("-none-any.whl"), "one wheel, nothing compiled"
    path = mocap_file.save(make_mocap(), tmp_path / "clip.npz")
    result = subprocess.run(
        [sys.executable, "-I", "-c", _isolated(INSTALL), str(archive), str(path), str(PHOTO), str(ROOT)],
        capture_output=True, text=True, timeout=300, cwd=tmp_path, env=_own_blender(tmp_path),
    )  # fmt: skip
    said = result.stdout + result.stderr
    assert "people: 2" in said, said
    assert "checked: Ready. " in said, said
    assert "found True" in said, said
    assert "queue: [('FAILED', 'No such footage: /no/such/clip.mp4.'), ('DONE'," in said, said
    assert "refused: No such footage: /no/such/clip.mp4." in said, said
    assert "ended: Cancelled. Started again, it goes on from there False" in said, said
    assert "updated: True" in said, said


def _isolated(code: str) -> str:
    """The code without this checkout's packages, installed in editable mode or not."""
    return "import sys; sys.meta_path = [f for f in sys.meta_path if 'editable' not in repr(f).lower()]\n" + code


def _own_blender(folder: Path) -> dict[str, str]:
    resources = folder / "blender"
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "BLENDER_USER_EXTENSIONS")}
    return environment | {"BLENDER_USER_RESOURCES": str(resources)}
