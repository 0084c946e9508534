"""The list of a take's people: chosen, hidden, left out; and what outlives building a take again."""

import sys
import time
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

import aios_blender  # noqa: E402
from aios_blender import compat, jobs  # noqa: E402
from aios_blender.scene import GRAPH, SceneSettings, build  # noqa: E402
from aios_blender.take import armatures_of, person_collections, take_of  # noqa: E402
from aios_core import mocap as mocap_file  # noqa: E402
from aios_core.body.files import open_body  # noqa: E402
from aios_core.client import Job  # noqa: E402
from tests.mocaps import make_mocap  # noqa: E402


@pytest.fixture
def take(tmp_path):
    """Two people, the second with a gap, imported from a file."""
    aios_blender.register()
    made = make_mocap()
    made = replace(made, tracks=tuple(replace(track, measured=None) for track in made.tracks))
    path = mocap_file.save(made, tmp_path / "clip.npz")
    bpy.ops.aios.import_mocap(filepath=str(path))
    yield lambda: take_of(None)
    aios_blender.unregister()


def numbers(take) -> list[int]:
    return [armature["aios_track"] for armature in armatures_of(take())]


def press(operator, take, row: int) -> None:
    person = person_collections(take())[row]
    assert operator(take=take().collection.name, person=person.name) == {"FINISHED"}


def test_who_is_left_out_stays_in_the_list_and_can_be_built_again(take):
    press(bpy.ops.aios.build_person, take, 0)
    assert numbers(take) == [2]
    assert [person["aios_name"] for person in person_collections(take())] == ["Person 1", "Person 2"]
    assert all(len(person[GRAPH]) == 6 for person in person_collections(take()))
    press(bpy.ops.aios.build_person, take, 0)
    assert numbers(take) == [1, 2]


def test_somebody_new_is_built_although_others_are_left_out(take):
    press(bpy.ops.aios.build_person, take, 1)
    bpy.context.scene.aios_person = 0
    bpy.context.scene.frame_set(6)
    bpy.ops.aios.split_person()
    assert numbers(take) == [1, 3]


def test_a_hidden_person_stays_hidden_while_keys_go_on_hiding_them_in_gaps(take):
    press(bpy.ops.aios.hide_person, take, 1)
    bpy.context.scene.frame_set(1)
    assert person_collections(take())[1].hide_render and not bpy.data.objects["P01_mesh"].hide_render
    bpy.context.scene.aios_person = 0
    bpy.ops.aios.rename_person(name="Ann")
    assert [person.hide_viewport for person in person_collections(take())] == [False, True]
    press(bpy.ops.aios.hide_person, take, 1)
    assert not person_collections(take())[1].hide_render


def test_the_chosen_row_is_the_active_person(take):
    scene, objects = bpy.context.scene, bpy.context.view_layer.objects
    scene.aios_person = 1
    assert objects.active.name == "P02_armature" and scene.aios_person == 1
    objects.active = bpy.data.objects["P01_mesh"]
    assert scene.aios_person == 0
    objects.active = None
    assert scene.aios_person == -1
    bpy.ops.aios.select_person(armature="P01_armature")
    assert [thing.name for thing in objects.selected] == ["P01_armature"] and scene.aios_person == 0


def test_who_is_hidden_at_this_frame_can_be_marked_and_merged(take):
    bpy.context.scene.frame_set(1)
    assert bpy.data.objects["P02_armature"].hide_viewport, "the second person comes later"
    bpy.context.scene.aios_person = 0
    press(bpy.ops.aios.mark_person, take, 1)
    assert bpy.ops.aios.merge_people() == {"FINISHED"}
    assert numbers(take) == [1]


def test_what_a_user_puts_into_a_take_outlives_building_it_again(take):
    prop = bpy.data.objects.new("sword", None)
    person_collections(take())[0].objects.link(prop)
    bpy.context.scene.aios_person = 0
    bpy.ops.aios.rename_person(name="Ann")
    assert prop.name in bpy.context.scene.collection.objects
    assert numbers(take) == [1, 2] and len(bpy.data.armatures) == 2


def test_the_first_person_is_active_unless_somebody_is_at_work_in_another_mode():
    build(make_mocap(), open_body())
    assert bpy.context.view_layer.objects.active.name == "P01_armature"
    mesh = bpy.data.objects.new("own", bpy.data.meshes.new("own"))
    bpy.context.scene.collection.objects.link(mesh)
    bpy.context.view_layer.objects.active = mesh
    bpy.ops.object.mode_set(mode="EDIT")
    build(make_mocap(), open_body())
    assert bpy.context.view_layer.objects.active == mesh and mesh.mode == "EDIT"
    bpy.ops.object.mode_set(mode="OBJECT")


def test_people_move_at_the_scenes_rate_from_the_start_frame_where_the_scene_is_to_stay():
    scene = bpy.context.scene
    scene.render.fps, scene.render.fps_base, scene.frame_end = 50, 1.0, 77
    size = scene.render.resolution_x
    mocap = make_mocap(fps=Fraction(25))
    built = build(mocap, open_body(), SceneSettings(set_scene=False, first_frame=101))
    assert (scene.render.fps, scene.frame_end, scene.render.resolution_x, scene.camera) == (50, 77, size, None)
    curve = compat.fcurves_of(built.people[0].armature)[0]
    times = [point.co[0] for point in curve.keyframe_points]
    assert times == (101 + 2 * mocap.tracks[0].frames).tolist()
    assert built.people[0].armature["aios_first_frame"] == 101


def test_a_take_that_starts_late_is_split_where_the_timeline_stands(tmp_path):
    aios_blender.register()
    try:
        path = mocap_file.save(make_mocap(), tmp_path / "clip.npz")
        bpy.ops.aios.import_mocap(filepath=str(path), start_frame=101)
        bpy.context.scene.aios_person = 0
        bpy.context.scene.frame_set(107)
        bpy.ops.aios.split_person()
        assert len(mocap_file.load(take_of(None).path).tracks[0]) == 6
        assert armatures_of(take_of(None))[0]["aios_first_frame"] == 101
    finally:
        aios_blender.unregister()


def test_custom_properties_have_units_and_say_what_they_are(take):
    armature = armatures_of(take())[0]
    own = [name for name, _ in armature.items() if name.startswith("aios_") and name != "aios_built"]
    assert len(own) > 15
    for name in own:
        assert armature.id_properties_ui(name).as_dict()["description"], name
    assert armature.id_properties_ui("aios_height").as_dict()["subtype"] == "DISTANCE"
    assert armature.id_properties_ui("aios_confidence_left_hand").as_dict()["max"] == 1
    heights = [vertex.co.y for vertex in bpy.data.objects["P01_mesh"].data.vertices]
    assert armature["aios_height"] == pytest.approx(float(np.ptp(heights)), abs=1e-4)


def sleeper() -> Job:
    return Job([sys.executable, "-c", "import time; time.sleep(60)"])


def test_a_job_whose_result_cannot_be_built_is_over_all_the_same(take, capsys):
    def fails(_event):
        raise ValueError("no such bone")

    done = """print('{"event": "done", "people": 1}')"""
    jobs.start(bpy.context.window_manager, Job([sys.executable, "-c", done]), fails)
    while jobs.pump():
        time.sleep(0.05)
    assert not jobs.is_busy() and bpy.context.window_manager.aios_job.status == "Building failed: no such bone"


def test_opening_another_file_ends_its_capture_but_not_the_set_up(take, tmp_path):
    saved = tmp_path / "other.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(saved))
    job = sleeper()
    jobs.start(bpy.context.window_manager, job, lambda event: "never")
    bpy.ops.wm.open_mainfile(filepath=str(saved))
    status = bpy.context.window_manager.aios_job
    assert not jobs.is_busy() and not status.is_running and "another file was opened" in status.status
    job.wait()

    setup = sleeper()
    jobs.start(bpy.context.window_manager, setup, lambda event: "never", of_file=False)
    bpy.ops.wm.open_mainfile(filepath=str(saved))
    assert jobs.is_busy() and bpy.context.window_manager.aios_job.is_running
    jobs.cancel()
    while jobs.pump():
        time.sleep(0.05)
    assert bpy.context.window_manager.aios_job.status == "Cancelled"


def test_a_file_saved_while_something_ran_opens_as_one_in_which_nothing_runs(take, tmp_path):
    saved = tmp_path / "busy.blend"
    jobs.start(bpy.context.window_manager, sleeper(), lambda event: "never")
    bpy.ops.wm.save_as_mainfile(filepath=str(saved))
    jobs.stop()
    bpy.ops.wm.open_mainfile(filepath=str(saved))
    assert not bpy.context.window_manager.aios_job.is_running
