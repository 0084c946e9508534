"""Long motions piece by piece: windows that overlap, so that memory does not grow, faded into one motion."""

from __future__ import annotations

import numpy as np

from aios_core.geometry.rotations import axis_angle_to_rotmat
from aios_core.pipeline.refine.fit_terms import Placed, relative_rotation


def windows(times: np.ndarray, length: float, overlap: float) -> list[slice]:
    """Slices of at most `length` seconds over all times (N,), each sharing about `overlap` seconds with the next."""
    assert length > overlap >= 0, (length, overlap)
    begin, stop = 0, int(np.searchsorted(times, times[0] + length))
    pieces = [slice(begin, stop)]
    while stop < len(times):
        begin = min(int(np.searchsorted(times, times[stop] - overlap)), stop)
        stop = int(np.searchsorted(times, times[begin] + length))
        pieces.append(slice(begin, stop))
    return pieces


def joined(motions: list[Placed], pieces: list[slice], times: np.ndarray) -> Placed:
    """One motion of those of the pieces: over the middle half of what two share, one fades into the next."""
    rotmats, pelvis = [motions[0].rotmats], [motions[0].pelvis]
    for motion, before, piece in zip(motions[1:], pieces, pieces[1:], strict=False):
        shared = before.stop - piece.start
        share = _fade(times[piece.start : before.stop])
        last_rotmats, last_pelvis = rotmats[-1][len(rotmats[-1]) - shared :], pelvis[-1][len(pelvis[-1]) - shared :]
        turns = relative_rotation(last_rotmats, motion.rotmats[:shared]) * share[:, None, None]
        faded = last_rotmats @ axis_angle_to_rotmat(turns)
        moved = last_pelvis + (motion.pelvis[:shared] - last_pelvis) * share[:, None]
        rotmats[-1], pelvis[-1] = rotmats[-1][: len(rotmats[-1]) - shared], pelvis[-1][: len(pelvis[-1]) - shared]
        rotmats.append(np.concatenate([faded, motion.rotmats[shared:]]))
        pelvis.append(np.concatenate([moved, motion.pelvis[shared:]]))
    return Placed(np.concatenate(rotmats), np.concatenate(pelvis))


def _fade(times: np.ndarray) -> np.ndarray:
    """(M,) from 0 to 1 over the middle half of times (M,)."""
    if not len(times):
        return times
    middle, half = (times[0] + times[-1]) / 2, max((times[-1] - times[0]) / 2, 1e-9)
    return np.clip((times - middle) / half + 0.5, 0, 1)
