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


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_videos_of_turned_phones_come_out_upright(tmp_path, turn):
    """The flag is the matrix of the track's header (`tkhd`, ISO 14496-12), as phones write it."""
    path = tmp_path / "clip.mp4"
    lying = np.rot90(picture(), turn // 90)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "5"})
        stream.width, stream.height, stream.pix_fmt = lying.shape[1], lying.shape[0], "yuv420p"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(lying), format="rgb24")))
        container.mux(stream.encode())
    data = bytearray(path.read_bytes())
    cosine, sine = [(1, 0), (0, 1), (-1, 0), (0, -1)][turn // 90]
    matrix = [cosine, sine, 0, -sine, cosine, 0, 0, 0, 1 << 14]
    at = data.index(b"tkhd") + 4 + 40
    data[at : at + 36] = b"".join((value << 16).to_bytes(4, "big", signed=True) for value in matrix)
    path.write_bytes(data)
    footage = open_footage(path)
    assert (footage.width, footage.height) == (40, 24)
    for frame in footage:
        assert np.abs(frame.rgb[4:8, 4:16].mean((0, 1)) - [250, 10, 10]).max() < 25
        assert np.abs(frame.rgb[16:, 24:].mean((0, 1)) - 90).max() < 10


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


def brightness(frame) -> float:
    return float(frame.rgb.mean()) / 4


@pytest.mark.parametrize("clock", ["steady", "variable", "ntsc", "offset"])
def test_reading_that_starts_late_gives_the_same_frames_as_reading_from_the_start(tmp_path, clock, monkeypatch):
    from aios_core.media import video

    times = {
        "variable": np.cumsum(np.r_[0, np.random.default_rng(0).choice([0.02, 0.04, 0.09], 59)]),
        "offset": 1.5 + np.arange(60) / 25,
    }.get(clock)
    rate = Fraction(30000, 1001) if clock == "ntsc" else Fraction(25)
    path = write_video(tmp_path / "clip.mp4", 60, rate, times)
    whole = [(f.index, f.timestamp, brightness(f)) for f in open_footage(path)]
    monkeypatch.setattr(video, "SEEK_FROM", 10)
    for start in (10, 33, 58):
        late = [(f.index, f.timestamp, brightness(f)) for f in open_footage(path, start)]
        assert np.allclose(late, whole[start:])


def test_an_hour_long_file_is_entered_at_its_end_within_seconds(tmp_path):
    import time

    path = tmp_path / "hour.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24").reformat(format="yuv420p")
        for i in range(90_000):
            frame.pts = i
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    begun = time.monotonic()
    first = next(iter(open_footage(path, start=89_000)))
    assert first.index == 89_000
    assert first.timestamp == pytest.approx(3560.0)
    assert time.monotonic() - begun < 5


def write_pictures(folder: Path, names: list[str]) -> None:
    folder.mkdir(exist_ok=True)
    for i, name in enumerate(names):
        cv2.imwrite(str(folder / name), np.full((8, 10, 3), i * 10, np.uint8))


@pytest.mark.parametrize("given", ["folder", "hashes", "printf"])
def test_a_picture_missing_from_a_sequence_is_a_hole_in_time(tmp_path, given):
    folder = tmp_path / "shots"
    write_pictures(folder, ["shot_0101.png", "shot_0102.png", "shot_0105.png", "shot_0106.png"])
    path = {"folder": folder, "hashes": folder / "shot_####.png", "printf": folder / "shot_%04d.png"}[given]
    footage = open_footage(path, sequence_fps=25)
    assert footage.frame_count == 4
    assert [f.index for f in footage] == [0, 1, 4, 5]
    assert [f.timestamp for f in footage] == pytest.approx([0, 0.04, 0.16, 0.2])
    assert [f.index for f in open_footage(path, start=1, stop=5)] == [1, 4]
    assert [f.index for f in open_footage(path, step=2)] == [0, 4]


def test_sequences_run_at_the_rate_that_is_meant(tmp_path):
    write_pictures(tmp_path / "s", ["a1.png", "a2.png"])
    assert open_footage(tmp_path / "s", sequence_fps=29.97).fps == Fraction(30000, 1001)
    assert open_footage(tmp_path / "s", sequence_fps=50).fps == 50
    assert open_footage(tmp_path / "s").fps == 24
    with pytest.raises(FootageError, match="frames a second"):
        open_footage(tmp_path / "s", sequence_fps=0)


def test_pictures_without_numbers_follow_by_name_and_two_sequences_are_refused(tmp_path):
    write_pictures(tmp_path / "names", ["anna.png", "bert.png"])
    assert [f.index for f in open_footage(tmp_path / "names")] == [0, 1]
    write_pictures(tmp_path / "two", ["a_1.png", "a_2.png", "b_1.png", "b_2.png"])
    with pytest.raises(FootageError, match=r"a_#\.png, b_#\.png"):
        open_footage(tmp_path / "two")
    assert open_footage(tmp_path / "two" / "b_#.png").frame_count == 2


def test_numbers_of_mixed_width_keep_their_order(tmp_path):
    write_pictures(tmp_path / "s", ["f8.png", "f9.png", "f10.png"])
    assert [round(brightness(f) * 4) for f in open_footage(tmp_path / "s")] == [0, 10, 20]


def test_a_damaged_picture_of_a_sequence_is_left_out_with_a_warning(tmp_path):
    write_pictures(tmp_path / "s", ["f1.png", "f2.png", "f3.png"])
    (tmp_path / "s" / "f2.png").write_bytes(b"no picture")
    footage = open_footage(tmp_path / "s")
    assert [f.index for f in footage] == [0, 2]
    assert "f2.png" in footage.warnings[0]


@pytest.mark.parametrize("kind", ["sequence", "video"])
def test_the_frames_behind_one_are_the_rest(tmp_path, kind):
    if kind == "video":
        path = write_video(tmp_path / "clip.mp4", 20)
    else:
        write_pictures(tmp_path / "s", [f"f{i}.png" for i in range(20) if i != 7])
        path = tmp_path / "s"
    footage = open_footage(path, start=1, step=3)
    whole = [f.index for f in footage]
    for index in whole:
        rest = footage.after(index)
        assert [f.index for f in rest] == [i for i in whole if i > index]
        assert rest.frame_count == sum(i > index for i in whole)


def test_fifty_frames_a_second_stay_fifty(tmp_path):
    footage = open_footage(write_video(tmp_path / "clip.mp4", 10, Fraction(50)))
    assert footage.fps == 50
    assert [f.timestamp for f in footage] == pytest.approx(np.arange(10) / 50)


@pytest.mark.parametrize("size", [(80, 45), (90, 160), (400, 225)])
@pytest.mark.parametrize("kind", ["video", "phone held upright", "sequence"])
def test_frames_read_at_another_size_show_the_same_picture(tmp_path, monkeypatch, kind, size):
    rng = np.random.default_rng(0)
    image = cv2.resize(rng.integers(0, 256, (9, 16, 3), np.uint8), (320, 180), interpolation=cv2.INTER_CUBIC)
    if kind == "sequence":
        cv2.imwrite(str(tmp_path / "s1.png"), image[..., ::-1])
        cv2.imwrite(str(tmp_path / "s2.png"), image[..., ::-1])
        footage = open_footage(tmp_path)
    else:
        path = tmp_path / "clip.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=25, options={"crf": "5"})
            stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv444p"
            for _ in range(2):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode())
        if kind == "phone held upright":
            monkeypatch.setattr(av.VideoFrame, "rotation", 90)
        footage = open_footage(path)
    whole, small = list(footage), list(footage.frames(size))
    assert [f.index for f in small] == [f.index for f in whole] == [0, 1]
    for full, frame in zip(whole, small, strict=True):
        assert frame.rgb.shape == (size[1], size[0], 3)
        assert frame.size == full.size == (footage.width, footage.height)
        area = cv2.INTER_AREA if size[0] < footage.width else cv2.INTER_LINEAR
        expected = cv2.resize(full.rgb, size, interpolation=area)
        assert np.abs(frame.rgb.astype(int) - expected).mean() < 3
