"""The Mocap file: what is saved comes back; what is damaged is refused and nothing is half-written."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aios_core import mocap as m
from aios_core.errors import MocapFileError, OutputError
from tests.mocaps import make_mocap


def assert_same(a: m.Mocap, b: m.Mocap) -> None:
    for name in (
        "source",
        "source_kind",
        "width",
        "height",
        "fps",
        "camera",
        "weights",
        "body_family",
        "gender",
        "version",
    ):
        assert getattr(a, name) == getattr(b, name), name
    assert np.array_equal(a.timestamps, b.timestamps)
    assert np.array_equal(a.camera_to_world, b.camera_to_world)
    for first, second in zip(a.tracks, b.tracks, strict=True):
        assert_same_arrays(first, second)
        assert (first.measured is None) == (second.measured is None)
        if first.measured is not None:
            assert_same_arrays(first.measured, second.measured)


def assert_same_arrays(first, second) -> None:
    for name, value in vars(first).items():
        assert name == "measured" or np.array_equal(value, getattr(second, name)), name


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), length=st.integers(9, 30), rate=st.fractions(1, 240, max_denominator=1001))
def test_a_saved_mocap_comes_back_the_same(tmp_path_factory, seed, length, rate):
    made = make_mocap(seed, Fraction(rate), length, source="/clips/Zoë & friends.mp4")
    path = tmp_path_factory.mktemp("mocap") / "clip.npz"
    m.save(made, path)
    assert_same(m.load(path), made)


def test_no_entry_of_the_file_is_a_pickle(tmp_path):
    with np.load(m.save(make_mocap(), tmp_path / "clip.npz"), allow_pickle=False) as stored:
        for name in stored.files:
            assert stored[name].dtype != object


def test_gaps_are_the_frames_somebody_is_missing():
    assert make_mocap().tracks[1].gaps() == [(5, 8)]
    assert make_mocap().tracks[0].gaps() == []


@pytest.mark.parametrize("damage", ["cut", "text", "pickle", "other npz", "missing"])
def test_a_damaged_or_foreign_file_is_one_sentence(tmp_path, damage):
    path = m.save(make_mocap(), tmp_path / "clip.npz")
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:500])
    elif damage == "text":
        path.write_text("hello")
    elif damage == "pickle":
        np.save(tmp_path / "x.npy", np.array([{}], dtype=object), allow_pickle=True)
        path.write_bytes((tmp_path / "x.npy").read_bytes())
    elif damage == "other npz":
        np.savez(path, a=np.zeros(3))
    else:
        path.unlink()
    with pytest.raises(MocapFileError) as error:
        m.load(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_newer_version_is_refused_by_name(tmp_path):
    from dataclasses import replace

    path = m.save(replace(make_mocap(), version=m.VERSION + 1), tmp_path / "clip.npz")
    with pytest.raises(MocapFileError, match="newer version"):
        m.load(path)


def test_a_mocap_that_makes_no_sense_is_not_saved(tmp_path):
    made = make_mocap()
    made.tracks[0].transl[3] = np.nan
    with pytest.raises(MocapFileError, match="not finite"):
        m.save(made, tmp_path / "clip.npz")
    assert list(tmp_path.iterdir()) == []


def test_an_old_file_survives_a_save_that_fails(tmp_path):
    path = m.save(make_mocap(), tmp_path / "clip.npz")
    before = path.read_bytes()
    made = make_mocap()
    made.tracks[0].frames[:] = 3
    with pytest.raises(MocapFileError):
        m.save(made, path)
    assert path.read_bytes() == before
    with pytest.raises(OutputError):
        m.save(make_mocap(), tmp_path / "no" / "clip.npz")
