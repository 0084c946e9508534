"""The overlay shows people where they are."""

from dataclasses import replace

import av
import cv2
import numpy as np
import pytest

from aios_core.body.files import open_body
from aios_core.body.skinning import full_pose, pose_joints
from aios_core.preview import draw_mesh, draw_preview
from tests.core.test_media import write_video
from tests.mocaps import make_mocap


@pytest.fixture(scope="module")
def body():
    return open_body()


def test_joints_of_drawn_people_lie_on_their_colour(body, tmp_path):
    cv2.imwrite(str(tmp_path / "photo.png"), np.zeros((360, 640, 3), np.uint8))
    mocap = make_mocap(length=9, source=str(tmp_path / "photo.png"))
    tracks = tuple(
        replace(t, frames=t.frames[:1] * 0, **{n: getattr(t, n)[:1] for n in _PER_KEY}) for t in mocap.tracks
    )
    mocap = replace(mocap, source_kind="image", timestamps=np.zeros(1), tracks=tracks)
    draw_preview(mocap, mocap.source, body, tmp_path / "out.png")
    drawn = cv2.imread(str(tmp_path / "out.png"))
    for track in tracks:
        pose = full_pose(track.global_orient, track.body_pose)
        joints = pose_joints(body, track.betas[None], pose, track.transl)[0, [0, 3, 6, 9, 12]]
        for x, y in mocap.camera.project(joints).astype(int):
            assert drawn[y, x].max() > 40
    assert (drawn.max(-1) == 0).mean() > 0.5, "the rest of the picture is left alone"


_PER_KEY = ("global_orient", "body_pose", "left_hand_pose", "right_hand_pose", "jaw_pose", "expression", "transl",
            "scores", "boxes_xyxy_px", "keypoints_px", "key_kinds", "confidence", "contacts")  # fmt: skip


def test_a_video_keeps_its_length_and_frame_rate(body, tmp_path):
    source = write_video(tmp_path / "clip.mp4", 9, size=(640, 360))
    draw_preview(make_mocap(length=9, source=str(source)), source, body, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == 25
        assert sum(1 for _ in container.decode(stream)) == 9


def test_the_nearer_mesh_hides_the_farther_one():
    from aios_core.mocap import Camera

    square = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], np.float32)
    faces = np.array([[0, 2, 1], [0, 3, 2]])
    layer, depth = np.zeros((40, 40, 3), np.float32), np.full((40, 40), np.inf, np.float32)
    for z, colour in ((3.0, [200, 0, 0]), (2.0, [0, 200, 0]), (4.0, [0, 0, 200])):
        draw_mesh(layer, depth, square + [0, 0, z], faces, Camera(40.0, (20.0, 20.0)), np.array(colour, np.float32))
    assert depth[20, 20] == pytest.approx(2)
    assert layer[20, 20].argmax() == 1
