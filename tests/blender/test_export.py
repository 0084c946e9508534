"""People leave Blender and come back: the same joints, the same faces, the same clock."""

import json
import struct
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

import aios_blender  # noqa: E402
from aios_blender import compat  # noqa: E402
from aios_blender.command_line import main  # noqa: E402
from aios_blender.export import ExportSettings, export_people  # noqa: E402
from aios_blender.export.people import built_people, selected_people  # noqa: E402
from aios_blender.export.shape_key_ranges import fix_shape_key_ranges  # noqa: E402
from aios_blender.scene import build  # noqa: E402
from aios_core import mocap as mocap_file  # noqa: E402
from aios_core.body.files import open_body  # noqa: E402
from aios_core.body.joints import JOINT_NAMES  # noqa: E402
from aios_core.body.skinning import pose_joints  # noqa: E402
from aios_core.errors import ExportError, OutputError  # noqa: E402
from tests.mocaps import make_mocap  # noqa: E402

LENGTH = 31
FRAMES = (1, 11, 21, 31)
FPS = Fraction(30000, 1001)
NAMES = tuple(f"Exp{k:03d}" for k in range(10))


@dataclass
class Played:
    """What Blender plays for one person: frame -> (joints (55, 3), expression (10,))."""

    joints: dict
    expression: dict


@pytest.fixture(scope="module")
def body():
    return open_body()


def people_with_loud_faces(body, **options):
    """Two people in the scene; the second has gaps, the first makes faces beyond 0..1."""
    mocap = make_mocap(length=LENGTH, fps=FPS, **options)
    first = mocap.tracks[0]
    loud = np.linspace(-2.5, 3, len(first))[:, None] * np.linspace(1, -1, 10)
    build(replace(mocap, tracks=(replace(first, expression=loud.astype(np.float32)), mocap.tracks[1])), body)
    return mocap


def played(armature, mesh, frames, moved_to=float):
    """What an armature and its mesh show at `frames`, which lie elsewhere in this scene."""
    joints, expression = {}, {}
    for frame in frames:
        moved = moved_to(frame)
        bpy.context.scene.frame_set(int(np.floor(moved)), subframe=moved - np.floor(moved))
        bones = armature.pose.bones
        joints[frame] = np.array([armature.matrix_world @ bones[name].head for name in JOINT_NAMES])
        blocks = mesh.data.shape_keys.key_blocks
        expression[frame] = np.array([blocks[name].value for name in NAMES])
    return Played(joints, expression)


def everybody_played():
    return {
        int(p.armature["aios_track"]): played(p.armature, p.meshes[0], FRAMES) for p in built_people(bpy.context.scene)
    }


def imported(operator, path, rate=float(FPS), start=1, **options):
    """Armatures of a file in an empty scene, by the order of their names, and what they play at FRAMES.

    rate: frames a second that the importer takes the scene to have; start: where it puts the file's beginning.
    """
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.scene.render.fps = 30
    operator(filepath=str(path), **options)
    fix_shape_key_ranges(bpy.data.objects)
    armatures = sorted((o for o in bpy.data.objects if o.type == "ARMATURE"), key=lambda o: o.name)
    pairs = [(a, next(o for o in bpy.data.objects if any(is_bound(m, a) for m in o.modifiers))) for a in armatures]
    return pairs, [played(a, m, FRAMES, lambda f: start + (f - 1) / float(FPS) * rate) for a, m in pairs]


def is_bound(modifier, armature):
    return modifier.type == "ARMATURE" and modifier.object == armature


def imported_fbx(path):
    """Blender's FBX importer forgets fps_base: 29.97 counts as 30."""
    return imported(bpy.ops.import_scene.fbx, path, rate=30)


def assert_same(found, expected, frames=FRAMES, expression=True):
    for frame in frames:
        assert np.abs(found.joints[frame] - expected.joints[frame]).max() < 1e-3, frame
        if expression:
            assert np.abs(found.expression[frame] - expected.expression[frame]).max() < 2e-3, frame


def scene_state():
    """Everything a user would notice if it changed."""
    scene = bpy.context.scene
    kinds = ("objects", "meshes", "armatures", "actions", "scenes", "materials", "collections", "images", "cameras")
    return {
        "names": {kind: [(x.name, x.users) for x in getattr(bpy.data, kind)] for kind in kinds},
        "frame": (scene.frame_current, scene.frame_start, scene.frame_end, scene.render.fps, scene.render.fps_base),
        "selected": [o.name for o in bpy.context.selected_objects],
        "active": bpy.context.active_object and bpy.context.active_object.name,
        "open": bpy.context.window.scene.name if bpy.context.window else scene.name,
        "mode": bpy.context.mode,
        "places": [np.array(o.matrix_world).round(6).tolist() for o in bpy.data.objects],
        "poses": [
            np.array(b.matrix_basis).round(6).tolist()
            for o in bpy.data.objects
            if o.type == "ARMATURE"
            for b in o.pose.bones
        ],
        "keys": [sum(len(c.keyframe_points) for c in compat.fcurves_of(o)) for o in bpy.data.objects],
    }


def export(path, **settings):
    scene = bpy.context.scene
    return export_people(scene, built_people(scene), path, ExportSettings(**settings))


def glb_document(path):
    data = path.read_bytes()
    return json.loads(data[20 : 20 + struct.unpack_from("<I", data, 12)[0]])


@pytest.mark.parametrize("preset", ["unity", "unreal"])
def test_fbx_comes_back_with_joints_faces_and_clock(body, tmp_path, preset):
    people_with_loud_faces(body)
    expected = everybody_played()
    bpy.context.scene.frame_set(7)
    done = export(tmp_path / "clip.fbx", preset=preset)
    assert [p.name for p in done.paths] == (["clip.fbx"] if preset == "unity" else ["clip_P01.fbx", "clip_P02.fbx"])
    found = []
    for path in done.paths:
        pairs, shown = imported_fbx(path)
        found += shown
        render = bpy.context.scene.render
        assert render.fps / render.fps_base == pytest.approx(float(FPS), rel=1e-6)
        armature, mesh = pairs[0]
        key_frames = compat.fcurves_of(armature)[0].range()
        assert tuple(key_frames) == pytest.approx((1, 1 + (LENGTH - 1) / float(FPS) * 30), abs=1e-3)
        assert np.allclose(np.array(mesh.matrix_world.to_scale()), 1, atol=1e-5) or preset == "unreal"
        assert "left_eye_smplhf_end" not in armature.data.bones
    assert_same(found[0], expected[1])
    assert_same(found[1], expected[2], frames=(11, 21, 31))


def test_the_unity_presets_skeleton_stands_without_rotation_or_scale_and_the_unreal_ones_is_in_centimetres(
    body, tmp_path
):
    people_with_loud_faces(body)
    for preset, name, size in (("unity", "P01_armature", 1.0), ("unreal", "Armature", 100.0)):
        path = export(tmp_path / f"{preset}.fbx", preset=preset).paths[0]
        node, vertices, unit = fbx_root(path, name)
        assert node["Lcl Rotation"] == pytest.approx((0, 0, 0), abs=1e-4)
        assert node["Lcl Scaling"] == pytest.approx((1, 1, 1), abs=1e-6)
        assert np.ptp(vertices.reshape(-1, 3)[:, 1]) == pytest.approx(1.7 * size, rel=0.2)
        assert unit * size == pytest.approx(100.0)


def fbx_root(path, name):
    """(properties of a node, a mesh's vertices, centimetres a unit) as they stand in an FBX file."""
    from io_scene_fbx import parse_fbx

    root, _ = parse_fbx.parse(str(path))
    objects = next(e for e in root.elems if e.id == b"Objects")
    settings = next(e for e in root.elems if e.id == b"GlobalSettings")
    model = next(e for e in objects.elems if e.id == b"Model" and e.props[1].split(b"\x00")[0].decode() == name)
    geometry = next(e for e in objects.elems if e.id == b"Geometry" and e.props[2] == b"Mesh")
    vertices = next(e for e in geometry.elems if e.id == b"Vertices").props[0]

    def properties(element):
        return {
            e.props[0].decode(): tuple(e.props[4:]) for p in element.elems if p.id == b"Properties70" for e in p.elems
        }

    found = {"Lcl Rotation": (0, 0, 0), "Lcl Scaling": (1, 1, 1)} | properties(model)
    return found, np.array(vertices), properties(settings)["UnitScaleFactor"][0]


def test_glb_comes_back_with_joints_and_one_animation_of_bones_and_faces(body, tmp_path):
    people_with_loud_faces(body)
    expected = everybody_played()
    path = export(tmp_path / "clip.glb").paths[0]
    document = glb_document(path)
    assert len(document["animations"]) == 1
    channels = document["animations"][0]["channels"]
    assert {c["target"]["path"] for c in channels} >= {"rotation", "translation", "weights"}
    clocks = {s["input"] for s in document["animations"][0]["samplers"]}
    for clock in clocks:
        accessor = document["accessors"][clock]
        assert accessor["min"][0] == 0
        assert accessor["max"][0] == pytest.approx((LENGTH - 1) / float(FPS), rel=1e-6)
    _, found = imported(bpy.ops.import_scene.gltf, path, rate=30, start=0)
    assert_same(found[0], expected[1])
    assert_same(found[1], expected[2], frames=(11, 21, 31))


def test_usd_comes_back_with_joints_faces_and_clock(body, tmp_path):
    people_with_loud_faces(body)
    expected = everybody_played()
    path = export(tmp_path / "clip.usdc").paths[0]
    _, found = imported(bpy.ops.wm.usd_import, path, set_frame_range=True)
    scene = bpy.context.scene
    assert (scene.frame_start, scene.frame_end) == (1, LENGTH)
    assert_same(found[0], expected[1])
    assert_same(found[1], expected[2], frames=(11, 21, 31))


def test_bvh_comes_back_with_joints_and_clock_in_centimetres(body, tmp_path):
    people_with_loud_faces(body)
    expected = everybody_played()
    paths = export(tmp_path / "clip.bvh").paths
    assert [p.name for p in paths] == ["clip_P01.bvh", "clip_P02.bvh"]
    for track, path, frames in ((1, paths[0], FRAMES), (2, paths[1], (11, 21, 31))):
        bpy.ops.wm.read_factory_settings(use_empty=True)
        bpy.ops.import_anim.bvh(
            filepath=str(path), global_scale=0.01, update_scene_fps=True, update_scene_duration=True
        )
        armature = next(o for o in bpy.data.objects if o.type == "ARMATURE")
        scene = bpy.context.scene
        assert scene.render.fps / scene.render.fps_base == pytest.approx(float(FPS), rel=1e-5)
        assert compat.fcurves_of(armature)[0].range()[:] == (1, LENGTH)
        for frame in frames:
            scene.frame_set(frame)
            bones = armature.pose.bones
            found = np.array([armature.matrix_world @ bones[name].head for name in JOINT_NAMES])
            assert np.abs(found - expected[track].joints[frame]).max() < 1e-3


def test_smplx_npz_gives_the_joints_back_through_the_body_model_with_z_up(body, tmp_path):
    mocap = people_with_loud_faces(body)
    expected = everybody_played()
    paths = export(tmp_path / "clip.npz").paths
    for track, path in zip(mocap.tracks, paths, strict=True):
        with np.load(path) as stored:
            arrays = dict(stored)
        first = int(arrays["frame_start"])
        poses = arrays["poses"].reshape(-1, 55, 3).astype(np.float64)
        assert arrays["poses"].shape == (LENGTH + 1 - first, 165)
        betas = np.tile(arrays["betas"][:10], (len(poses), 1))
        found = pose_joints(body, betas, poses, arrays["trans"])
        rows = [f for f in FRAMES if f >= first and arrays["valid"][f - first]]
        assert len(rows) >= 3
        for frame in rows:
            assert np.abs(found[frame - first] - expected[track.id].joints[frame]).max() < 1e-3
            assert np.abs(arrays["expression"][frame - first] - expected[track.id].expression[frame]).max() < 1e-5
        assert float(arrays["mocap_frame_rate"]) == pytest.approx(float(FPS))
        assert arrays["pose_jaw"] == pytest.approx(arrays["poses"][:, 66:69])
        assert str(arrays["gender"]) == "neutral"
        assert arrays["betas"].shape == (16,)
    assert arrays["gaps"].tolist() == [[3, 5]]
    assert np.flatnonzero(~arrays["valid"]).tolist() == [3, 4, 5]


def test_a_gap_holds_the_pose_and_is_said(body, tmp_path):
    people_with_loud_faces(body)
    expected = played(*_objects(2), (5, 9))
    done = export(tmp_path / "clip.fbx")
    assert done.warnings == ["P02 is not there in frames 1-2, 6-8: the pose before is held."]
    pairs, _ = imported_fbx(done.paths[0])
    shown = played(*pairs[1], (5, 7, 8, 9), lambda f: 1 + (f - 1) / float(FPS) * 30)
    for frame, same in ((7, 5), (8, 5), (9, 9)):
        assert np.abs(shown.joints[frame] - expected.joints[same]).max() < 1e-3
    assert pairs[1][0]["aios_gaps"] == "1-2, 6-8"


def _objects(track):
    person = built_people(bpy.context.scene, [track])[0]
    return person.armature, person.meshes[0]


@pytest.mark.parametrize("suffix", ["fbx", "glb", "usdc", "bvh", "npz"])
def test_exporting_leaves_the_scene_as_it_was(body, tmp_path, suffix):
    people_with_loud_faces(body)
    scene = bpy.context.scene
    scene.frame_set(9)
    armature, mesh = _objects(1)
    bpy.data.objects.new("Armature", None)  # the name that the Unreal preset borrows
    for thing in scene.objects:
        thing.select_set(thing == mesh)
    bpy.context.view_layer.objects.active = armature
    armature.pose.bones["head"].rotation_quaternion = (0.8, 0.6, 0, 0)  # posed by hand, not keyed
    before = scene_state()
    for preset in ("unity", "unreal") if suffix == "fbx" else ("unity",):
        export(tmp_path / f"clip.{suffix}", preset=preset)
        assert scene_state() == before


@pytest.mark.parametrize("suffix", ["fbx", "glb", "usdc"])
def test_a_failing_exporter_leaves_the_scene_as_it_was_and_no_file(body, tmp_path, suffix, monkeypatch):
    people_with_loud_faces(body)
    module = {"fbx": "fbx", "glb": "glb", "usdc": "usd"}[suffix]

    def fail(*_arguments, **_options):
        raise OutputError("The disk is full.")

    monkeypatch.setattr(f"aios_blender.export.{module}.run", fail)
    before = scene_state()
    with pytest.raises(OutputError, match="disk"):
        export(tmp_path / f"clip.{suffix}")
    assert scene_state() == before
    assert not list(tmp_path.iterdir())


def test_a_person_moved_turned_and_constrained_by_hand_is_exported_as_seen(body, tmp_path):
    people_with_loud_faces(body)
    armature, _ = _objects(1)
    armature.location, armature.rotation_euler.z = (1.5, -2, 0.25), 0.7
    constraint = armature.pose.bones["head"].constraints.new("LIMIT_ROTATION")
    constraint.use_limit_x, constraint.owner_space = True, "LOCAL"
    expected = everybody_played()
    for suffix, operator, rate in (("fbx", bpy.ops.import_scene.fbx, 30), ("usdc", bpy.ops.wm.usd_import, float(FPS))):
        bpy.context.scene.frame_set(1)
        bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
        path = export(tmp_path / f"clip.{suffix}").paths[0]
        _, found = imported(operator, path, rate)
        assert_same(found[0], expected[1])
        bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "scene.blend"))


def test_one_person_or_the_selected_ones_are_exported_alone(body, tmp_path):
    people_with_loud_faces(body)
    scene = bpy.context.scene
    for chosen in (built_people(scene, [2]), selected_people(scene, [bpy.data.objects["P02_mesh"]])):
        path = export_people(scene, chosen, tmp_path / "one.glb").paths[0]
        nodes = {n["name"] for n in glb_document(path)["nodes"]}
        assert {"P02_armature", "P02_mesh"} <= nodes
        assert "P01_armature" not in nodes


def test_what_cannot_be_exported_is_said(body, tmp_path):
    with pytest.raises(ExportError, match="nobody to export"):
        built_people(bpy.context.scene)
    people_with_loud_faces(body)
    with pytest.raises(ExportError, match="no person 7"):
        built_people(bpy.context.scene, [7])
    with pytest.raises(ExportError, match="Nobody is selected"):
        selected_people(bpy.context.scene, [])
    with pytest.raises(ExportError, match="must end in"):
        export(tmp_path / "clip.dae")
    with pytest.raises(ExportError, match="no FBX preset 'godot'"):
        export(tmp_path / "clip.fbx", preset="godot")
    with pytest.raises(OutputError, match="does not exist"):
        export(tmp_path / "nowhere" / "clip.fbx")


def test_ranges_are_widened_and_stashed_actions_play_after_an_import(body):
    people_with_loud_faces(body)
    _, mesh = _objects(1)
    keys = mesh.data.shape_keys
    expected = everybody_played()[1].expression[31]
    for block in keys.key_blocks:
        block.slider_min, block.slider_max = 0, 1
    animation = keys.animation_data
    action, slot = animation.action, getattr(animation, "action_slot", None)
    animation.action = None
    track = animation.nla_tracks.new()
    strip = track.strips.new("stashed", 1, action)
    if slot:
        strip.action_slot = slot
    track.mute = True
    assert fix_shape_key_ranges([mesh]) == 10
    assert fix_shape_key_ranges([mesh]) == 0
    bpy.context.scene.frame_set(31)
    assert np.abs([keys.key_blocks[n].value for n in NAMES] - expected).max() < 1e-6


@pytest.fixture
def enabled():
    aios_blender.register()
    yield
    aios_blender.unregister()


def test_the_operators_do_what_the_functions_do(body, enabled, tmp_path):
    people_with_loud_faces(body)
    bpy.context.scene.frame_set(11)  # Blender does not select what is hidden, as in a gap
    bpy.ops.object.select_all(action="DESELECT")
    bpy.data.objects["P02_mesh"].select_set(True)
    done = bpy.ops.aios.export_people(filepath=str(tmp_path / "clip"), file_format=".npz", who="SELECTED")
    assert done == {"FINISHED"}
    assert [p.name for p in tmp_path.iterdir()] == ["clip.npz"]
    bpy.data.objects["P02_mesh"].data.shape_keys.key_blocks["Exp001"].slider_max = 1
    assert bpy.ops.aios.fix_shape_key_ranges() == {"FINISHED"}
    assert bpy.data.objects["P02_mesh"].data.shape_keys.key_blocks["Exp001"].slider_max == 10
    bpy.ops.object.select_all(action="DESELECT")
    with pytest.raises(RuntimeError, match="Nobody is selected"):
        bpy.ops.aios.export_people(filepath=str(tmp_path / "other"), file_format=".fbx", who="SELECTED")


def test_the_command_line_exports_scenes_and_mocaps(body, tmp_path, capsys):
    path = mocap_file.save(make_mocap(), tmp_path / "clip.npz")
    assert main(["export", str(path), "-o", str(tmp_path / "out.fbx"), "--preset", "unreal", "--person", "2"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / "out.fbx")
    assert main(["import", str(path), "-o", str(tmp_path / "clip.blend")]) == 0
    assert main(["export", str(tmp_path / "clip.blend"), "-o", str(tmp_path / "out.bvh")]) == 0
    assert (tmp_path / "out_P01.bvh").is_file()
    for wrong in (["clip.blend", "out.obj"], ["no.blend", "out.fbx"], ["no.npz", "out.fbx"], ["out.fbx", "out.glb"]):
        source, output = (str(tmp_path / name) for name in wrong)
        assert main(["export", source, "-o", output]) == 2
        assert capsys.readouterr().err.startswith("aios: ")
    assert not (tmp_path / "out.glb").exists()
