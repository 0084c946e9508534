"""The people of a take, changed in Blender: renamed, split, merged, deleted, smoothed again, moved by a camera."""

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

import aios_blender  # noqa: E402
from aios_blender import jobs, people, refining  # noqa: E402
from aios_blender.take import armatures_of, camera_path, next_path, take_of, take_times  # noqa: E402
from aios_core import mocap as mocap_file  # noqa: E402
from tests.mocaps import make_measured, make_mocap  # noqa: E402


@pytest.fixture
def take(tmp_path):
    """Two people, imported from a file."""
    aios_blender.register()
    made, rng = make_mocap(length=20), np.random.default_rng(5)
    made = replace(made, tracks=tuple(replace(t, measured=make_measured(t, rng)) for t in made.tracks))
    path = mocap_file.save(made, tmp_path / "clip.npz")
    bpy.ops.aios.import_mocap(filepath=str(path))
    yield path
    aios_blender.unregister()


def activate(number: int, *others: int) -> None:
    for thing in bpy.data.objects:
        thing.select_set(thing.get("aios_track") in (number, *others))
    bpy.context.view_layer.objects.active = next(
        o for o in bpy.data.objects if o.type == "ARMATURE" and o.get("aios_track") == number
    )


def names() -> list[str]:
    return [armature["aios_name"] for armature in armatures_of(take_of(bpy.context.active_object))]


def test_renaming_and_deleting_rebuild_the_take_from_a_new_file(take):
    activate(2)
    assert bpy.ops.aios.rename_person(name="Bea") == {"FINISHED"}
    assert names() == ["Person 1", "Bea"]
    assert people.active_person(bpy.context)["aios_track"] == 2, "who was chosen stays chosen"
    activate(1)
    assert bpy.ops.aios.delete_person() == {"FINISHED"}
    assert names() == ["Bea"]
    assert [t.name for t in mocap_file.load(take).tracks] == ["Person 1", "Person 2"], "the first file stays"
    assert take_of(None).path.name == "clip.v3.npz"
    assert bpy.context.scene.camera.name in take_of(None).collection.all_objects
    assert not [a for a in bpy.data.actions if a.users == 0]


def test_splitting_at_the_current_frame_and_merging_again(take):
    activate(1)
    bpy.context.scene.frame_set(8)
    bpy.ops.aios.split_person()
    assert names() == ["Person 1", "Person 2", "Person 1 from frame 7"]
    activate(1, 3)
    bpy.ops.aios.merge_people()
    assert names() == ["Person 1", "Person 2"]
    assert len(mocap_file.load(take_of(None).path).tracks[0]) == 20


def test_what_cannot_be_done_is_said_and_changes_nothing(take):
    activate(1)
    bpy.context.scene.frame_set(1)
    with pytest.raises(RuntimeError, match="does not cut"):
        bpy.ops.aios.split_person()
    with pytest.raises(RuntimeError, match="the other people"):
        bpy.ops.aios.merge_people()
    assert names() == ["Person 1", "Person 2"]
    bpy.context.view_layer.objects.active = None
    assert not bpy.ops.aios.delete_person.poll()


def test_a_person_is_selected_from_the_list(take):
    bpy.ops.aios.select_person(armature="P02_armature")
    assert people.active_person(bpy.context)["aios_track"] == 2


def wait() -> None:
    while jobs.pump():
        time.sleep(0.05)


def test_smoothing_again_runs_in_the_runtime_and_rebuilds(take, monkeypatch):
    monkeypatch.setattr(refining, "runtime_python", lambda: sys.executable)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    activate(1)
    bpy.context.scene.aios.smoothing = 4.0
    assert bpy.ops.aios.refine() == {"FINISHED"}
    assert not bpy.ops.aios.refine.poll(), "one job at a time"
    wait()
    refined = mocap_file.load(take_of(None).path)
    assert take_of(None).path.name == "clip.v2.npz"
    assert len(refined.tracks) == len(armatures_of(take_of(None))) == 2
    assert not bpy.context.window_manager.aios_job.is_running


def test_a_changed_shape_stays_through_further_smoothing(take, monkeypatch):
    monkeypatch.setattr(refining, "runtime_python", lambda: sys.executable)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    activate(2)
    before = height()
    assert bpy.ops.aios.shape_person(betas=[2.5] + [0.0] * 9) == {"FINISHED"}
    wait()
    activate(1)
    activate(2)
    assert abs(height() - before) > 0.05
    activate(1)
    bpy.ops.aios.refine()
    wait()
    after = mocap_file.load(take_of(None).path)
    assert np.allclose(after.tracks[1].betas, [2.5] + [0] * 9) and not np.allclose(after.tracks[0].betas, 0)
    assert people.active_person(bpy.context)["aios_track"] == 1


def test_a_person_who_faces_the_wrong_way_is_turned_about_for_some_frames(take, monkeypatch):
    monkeypatch.setattr(refining, "runtime_python", lambda: sys.executable)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    activate(1)
    before = mocap_file.load(take_of(None).path).tracks[0].measured
    first, last = bpy.context.scene.frame_start + 2, bpy.context.scene.frame_start + 5
    assert bpy.ops.aios.turn_person(first=first, last=last) == {"FINISHED"}
    wait()
    after = mocap_file.load(take_of(None).path).tracks[0].measured
    assert np.flatnonzero(after.facing).tolist() == [2, 3, 4, 5]
    assert np.array_equal(after.global_orient, before.global_orient), "what was seen is kept"
    with pytest.raises(RuntimeError, match="no frames from 900 to 901"):
        bpy.ops.aios.turn_person(first=900, last=901)


def height() -> float:
    bones = people.active_person(bpy.context).data.bones
    return bones["head"].head_local.y - bones["left_foot"].head_local.y


@pytest.mark.parametrize("pose", ["T", "A"])
def test_a_rest_pose_is_keyed_before_the_take_and_leaves_the_take_alone(take, pose):
    activate(1)
    armature = people.active_person(bpy.context)
    scene = bpy.context.scene

    def places(frame):
        scene.frame_set(frame)
        bones = ("left_shoulder", "left_wrist", "right_shoulder", "right_wrist", "left_foot")
        return {name: armature.matrix_world @ armature.pose.bones[name].head for name in bones}

    later = places(9)
    scene.frame_set(1)
    assert not bpy.ops.aios.key_rest_pose.poll()
    scene.frame_set(-9)
    assert bpy.ops.aios.key_rest_pose(pose=pose) == {"FINISHED"}
    found = places(-9)
    for side in ("left", "right"):
        arm = found[f"{side}_wrist"] - found[f"{side}_shoulder"]
        assert abs(arm.z) < 0.05 if pose == "T" else 0.6 < -arm.z / arm.length < 0.8
    assert 0 < found["left_foot"].z < 0.12
    assert all((places(9)[name] - place).length < 1e-6 for name, place in later.items())


def test_a_camera_of_blenders_own_gives_its_path_in_film_axes(take):
    """The take's own camera stands where the film camera stood: reading its path gives the Mocap's matrix back."""
    found = mocap_file.load(take)
    path = camera_path(bpy.context.scene.camera, take_times(take_of(None), found))
    assert path.shape == (20, 4, 4)
    assert np.abs(path - found.camera_to_world).max() < 1e-5


def test_people_follow_a_solved_camera(take, monkeypatch):
    monkeypatch.setattr(refining, "runtime_python", lambda: sys.executable)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    solved = bpy.data.objects.new("solved", bpy.data.cameras.new("solved"))
    bpy.context.scene.collection.objects.link(solved)
    solved.matrix_world = bpy.context.scene.camera.matrix_world
    solved.keyframe_insert("location", frame=1)
    solved.location.x += 2
    solved.keyframe_insert("location", frame=20)
    activate(1)
    with pytest.raises(RuntimeError, match="take's own"):
        bpy.ops.aios.follow_camera()
    bpy.context.scene.camera = solved
    bpy.ops.aios.follow_camera()
    wait()
    moved = mocap_file.load(take_of(None).path)
    assert moved.camera_to_world.shape == (20, 4, 4)
    assert moved.camera_to_world[-1, 0, 3] - moved.camera_to_world[0, 0, 3] == pytest.approx(2, abs=1e-3)
    assert bpy.context.scene.camera == solved


def test_confidence_and_contacts_are_keyed(take):
    armature = bpy.data.objects["P01_armature"]
    track = mocap_file.load(take).tracks[0]
    for frame in (1, 9):
        bpy.context.scene.frame_set(frame)
        evaluated = armature.evaluated_get(bpy.context.evaluated_depsgraph_get())
        assert evaluated["aios_confidence_left_hand"] == pytest.approx(float(track.confidence[frame - 1, 1]), abs=1e-5)
        assert evaluated["aios_contact_right_toe"] == float(track.contacts[frame - 1, 3])


def test_further_versions_never_overwrite(tmp_path):
    first = tmp_path / "a.npz"
    assert next_path(first).name == "a.v2.npz"
    (tmp_path / "a.v2.npz").touch()
    assert next_path(first).name == next_path(tmp_path / "a.v2.npz").name == "a.v3.npz"
