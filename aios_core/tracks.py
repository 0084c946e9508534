"""Changing who is who in a Mocap, without the network: split, merge, rename and delete tracks. numpy only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np

from aios_core.errors import AiosError
from aios_core.mocap import Measured, Mocap, Track


def track_of(mocap: Mocap, number: int) -> Track:
    """The track with this id.

    Raises:
        AiosError: there is none.
    """
    for track in mocap.tracks:
        if track.id == number:
            return track
    known = ", ".join(str(track.id) for track in mocap.tracks) or "none"
    raise AiosError(f"There is no track {number} (there are: {known}).")


def rename_track(mocap: Mocap, number: int, name: str) -> Mocap:
    """The Mocap with another name for a track."""
    if not name.strip():
        raise AiosError("A track's name cannot be empty.")
    return change_track(mocap, number, lambda track: [replace(track, name=name.strip())])


def delete_track(mocap: Mocap, number: int) -> Mocap:
    """The Mocap without a track."""
    return change_track(mocap, number, lambda track: [])


def split_track(mocap: Mocap, number: int, frame: int) -> Mocap:
    """The Mocap with a track cut in two: what comes from `frame` of the Mocap on becomes a new track.

    Raises:
        AiosError: there is no such track, or one side would be empty.
    """
    new = max(track.id for track in mocap.tracks) + 1 if mocap.tracks else 1

    def cut(track: Track) -> list[Track]:
        after = track.frames >= frame
        if after.all() or not after.any():
            first, last = int(track.frames[0]), int(track.frames[-1])
            raise AiosError(f"Track {number} lies in frames {first} to {last}: frame {frame} does not cut it in two.")
        parts = [_select(track, ~after), _select(track, after)]
        if track.measured is not None:
            seen_after = track.measured.frames >= frame
            parts = [
                replace(part, measured=track.measured.select(rows))
                for part, rows in zip(parts, (~seen_after, seen_after), strict=True)
            ]
        return [parts[0], replace(parts[1], id=new, name=f"{track.name} from frame {frame}")]

    return change_track(mocap, number, cut)


def merge_tracks(mocap: Mocap, number: int, other: int) -> Mocap:
    """The Mocap with two tracks made one, which keeps the first's id and name; refine it afterwards.

    In frames that both have, the better score wins. The shape is the mean over both, weighted by their lengths.

    Raises:
        AiosError: there are no such two tracks, or only one of them knows what was measured.
    """
    if number == other:
        raise AiosError("A track cannot be merged with itself.")
    first, second = track_of(mocap, number), track_of(mocap, other)
    if (first.measured is None) != (second.measured is None):
        raise AiosError(f"Tracks {number} and {other} cannot be merged: only one of them holds its measurements.")
    merged = _join(first, second)
    share = len(first) / max(len(first) + len(second), 1)
    merged = replace(merged, betas=(share * first.betas + (1 - share) * second.betas).astype(np.float32))
    if first.measured is not None:
        merged = replace(merged, measured=_join(first.measured, second.measured))
    return delete_track(change_track(mocap, number, lambda track: [merged]), other)


def change_track(mocap: Mocap, number: int, change: Callable[[Track], list[Track]]) -> Mocap:
    """The Mocap with what `change` makes of a track in its place.

    Raises:
        AiosError: there is no such track.
    """
    track_of(mocap, number)
    tracks = [new for track in mocap.tracks for new in (change(track) if track.id == number else [track])]
    return replace(mocap, tracks=tuple(tracks))


_WHOLE = ("id", "name", "betas", "measured")
"""Fields of a Track that have no row for each frame."""


def _per_frame(rows: Track | Measured) -> list[str]:
    skipped = _WHOLE if isinstance(rows, Track) else ()
    return [f.name for f in fields(rows) if f.name not in skipped]


def _select(track: Track, which: np.ndarray) -> Track:
    return replace(track, **{name: getattr(track, name)[which] for name in _per_frame(track)})


def _join(first: Track | Measured, second: Track | Measured) -> Track | Measured:
    """The frames of both in order; of a frame that both have, the better scored."""
    frames = np.concatenate([first.frames, second.frames])
    scores = np.concatenate([first.scores, second.scores])
    order = np.lexsort([-scores, frames])
    kept = order[np.concatenate([[True], np.diff(frames[order]) > 0])]
    joined = {name: np.concatenate([getattr(first, name), getattr(second, name)])[kept] for name in _per_frame(first)}
    return replace(first, **joined)
