"""Footage comes out upright, in order and on time, whatever it is; what is no footage is one sentence."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from aios_core.errors import FootageError
from aios_core.media import open_footage
from aios_core.media.image import focal_length_35mm


def picture(width=40, height=24) -> np.ndarray:
    """RGB with a red top left corner."""
    image = np.full((height, width, 3), 90, np.uint8)
    image[: height // 2, : width // 2] = (250, 10, 10)
    return image


def write_video(path: Path, count: int, rate=Fraction(25), times=None, size=(64, 48)) -> Path:
    """A video whose n-th frame is n * 4 bright."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "10", "g": "5"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        if times is not None:
            stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        for i in range(count):
            frame = av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), i * 4, np.uint8), format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = round(times[i] * 1000), Fraction(1, 1000)
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def exif_jpeg(path: Path, image: np.ndarray, entries: list[tuple[int, int]], sub_entries=()) -> Path:
    """A JPEG with SHORT entries in its EXIF directories."""
    data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 98])[1].tobytes()

    def directory(items, at):
        body = len(items).to_bytes(2, "big")
        for tag, value in items:
            kind = 4 if tag == 0x8769 else 3
            packed = value.to_bytes(4, "big") if kind == 4 else value.to_bytes(2, "big") + b"\0\0"
            body += tag.to_bytes(2, "big") + kind.to_bytes(2, "big") + (1).to_bytes(4, "big") + packed
        return body + b"\0\0\0\0", at + len(body) + 4

    items = list(entries) + ([(0x8769, 8 + 2 + 12 * (len(entries) + 1) + 4)] if sub_entries else [])
    first, end = directory(items, 8)
    tiff = b"MM\0*" + (8).to_bytes(4, "big") + first + (directory(list(sub_entries), end)[0] if sub_entries else b"")
    segment = b"Exif\0\0" + tiff
    path.write_bytes(data[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + data[2:])
    return path


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_comes_out_upright(tmp_path, orientation):
    upright = picture()
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.transpose(1, 0, 2), 6: np.rot90(upright), 7: np.rot90(upright.transpose(1, 0, 2), 2),
        8: np.rot90(upright, -1),
    }[orientation]  # fmt: skip
    path = exif_jpeg(tmp_path / "photo.jpg", np.ascontiguousarray(stored), [(0x0112, orientation)])
    footage = open_footage(path)
    (frame,) = footage
    assert frame.rgb.shape == upright.shape == (footage.height, footage.width, 3)
    assert np.abs(frame.rgb.astype(int) - upright).mean() < 6


@pytest.mark.parametrize("kind", ["grey", "alpha", "16 bit"])
def test_unusual_pictures_become_eight_bit_rgb(tmp_path, kind):
    image = {
        "grey": np.full((20, 30), 128, np.uint8),
        "alpha": np.full((20, 30, 4), 128, np.uint8),
        "16 bit": np.full((20, 30, 3), 128 * 257, np.uint16),
    }[kind]
    cv2.imwrite(str(tmp_path / "x.png"), image)
    (frame,) = open_footage(tmp_path / "x.png")
    assert frame.rgb.dtype == np.uint8 and frame.rgb.shape == (20, 30, 3)
    assert np.abs(frame.rgb.astype(int) - 128).max() <= 1


def test_the_focal_length_is_read_from_exif(tmp_path):
    path = exif_jpeg(tmp_path / "photo.jpg", picture(), [(0x0112, 1)], [(0xA405, 28)])
    assert focal_length_35mm(path) == 28
    cv2.imwrite(str(tmp_path / "bare.jpg"), picture())
    assert focal_length_35mm(tmp_path / "bare.jpg") is None


@pytest.mark.parametrize("rate", [Fraction(30000, 1001), Fraction(25), Fraction(50)])
def test_videos_keep_their_exact_frame_rate_and_times(tmp_path, rate):
    footage = open_footage(write_video(tmp_path / "clip.mp4", 12, rate))
    frames = list(footage)
    assert footage.fps == rate
    assert footage.frame_count == len(frames) == 12
    assert [f.index for f in frames] == list(range(12))
    assert [f.timestamp for f in frames] == pytest.approx([i / float(rate) for i in range(12)], abs=1e-3)
    assert [round(f.rgb.mean() / 4) for f in frames] == list(range(12))


def test_a_variable_frame_rate_keeps_the_real_times(tmp_path):
    times = [0.0, 0.04, 0.08, 0.28, 0.32, 0.5]
    frames = list(open_footage(write_video(tmp_path / "clip.mkv", 6, times=times)))
    assert [f.timestamp for f in frames] == pytest.approx(times, abs=2e-3)


def test_range_and_step_choose_frames(tmp_path):
    path = write_video(tmp_path / "clip.mp4", 12)
    footage = open_footage(path, start=2, stop=9, step=3)
    assert [f.index for f in footage] == [2, 5, 8]
    assert footage.frame_count == 3


@pytest.mark.parametrize("name", ["shot_####.png", "shot_%04d.png", ""])
def test_sequences_are_read_in_order_by_folder_or_pattern(tmp_path, name):
    for i in (3, 1, 10, 2):
        cv2.imwrite(str(tmp_path / f"shot_{i:04d}.png"), np.full((8, 8, 3), i * 10, np.uint8))
    footage = open_footage(tmp_path / name if name else tmp_path)
    assert footage.kind == "sequence"
    assert [int(f.rgb.mean()) for f in footage] == [10, 20, 30, 100]


def test_a_truncated_video_gives_what_can_be_decoded_and_a_warning(tmp_path):
    whole = write_video(tmp_path / "clip.mkv", 200, size=(320, 240)).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) * 6 // 10])
    path = write_video(tmp_path / "noise.mp4", 3)
    footage = open_footage(tmp_path / "cut.mkv")
    assert 20 < len(list(footage)) < 200
    cut = path.read_bytes()[:200]
    (tmp_path / "cut.mp4").write_bytes(cut)
    with pytest.raises(FootageError, match="not a picture or video"):
        open_footage(tmp_path / "cut.mp4")


def test_what_is_no_footage_is_one_sentence(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    for name, words in (
        ("none.mp4", "No such footage"), ("notes.txt", "not a picture or video"), ("empty.png", "not a picture"),
        ("folder", "no pictures"), ("shot_###.png", "No picture fits"),
    ):  # fmt: skip
        with pytest.raises(FootageError, match=words):
            open_footage(tmp_path / name)
    video = write_video(tmp_path / "clip.mp4", 5)
    with pytest.raises(FootageError, match="range"):
        open_footage(video, start=9)


def test_leaving_off_in_the_middle_stops_the_reader(tmp_path):
    import threading

    before = threading.active_count()
    frames = iter(open_footage(write_video(tmp_path / "clip.mp4", 60)))
    next(frames)
    frames.close()
    deadline = 50
    while threading.active_count() > before and deadline:
        threading.Event().wait(0.05)
        deadline -= 1
    assert threading.active_count() <= before
