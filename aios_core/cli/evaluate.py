"""`aios evaluate`: how good a Mocap is against a known truth."""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict

from aios_core.errors import AiosError


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = commands.add_parser("evaluate", help="measure a Mocap file against a true one of the same frames")
    parser.add_argument("mocap", help="a Mocap file (.npz)")
    parser.add_argument("--truth", required=True, help="the true Mocap file (.npz)")
    parser.add_argument("--body", help="body model file (default: the open body)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.set_defaults(run=evaluate_mocap)


def evaluate_mocap(options: argparse.Namespace) -> None:
    """Print scores of identities and of everybody's motion."""
    from aios_core import mocap
    from aios_core.body.files import load_body, open_body
    from aios_core.evaluation.identity import frame_boxes, identity_scores
    from aios_core.evaluation.motion import matched_tracks, motion_scores

    found, truth = mocap.load(options.mocap), mocap.load(options.truth)
    if found.frame_count != truth.frame_count:
        raise AiosError(
            f"{options.mocap} has {found.frame_count} frames and the truth {truth.frame_count}: not the same footage."
        )
    body = load_body(options.body) if options.body else open_body()
    identity = identity_scores(frame_boxes(found), frame_boxes(truth))
    people = [
        {"truth": real.name, "track": track.name, **asdict(motion_scores(truth, real, found, track, body))}
        for real, track in matched_tracks(found, truth)
    ]
    if options.json:
        print(json.dumps({"identity": asdict(identity), "people": people}, default=float).replace("NaN", "null"))
        return
    print(f"people: {len(truth.tracks)} true, {len(found.tracks)} found, {len(people)} matched")
    print(_line(asdict(identity)))
    for person in people:
        print(f"{person.pop('truth')} = {person.pop('track')}")
        print(_line(person))


def _line(values: dict[str, float]) -> str:
    shown = {name: value for name, value in values.items() if not (isinstance(value, float) and math.isnan(value))}
    return "\n".join(f"  {name:22s} {value:.3f}" if isinstance(value, float) else f"  {name:22s} {value}"
                     for name, value in shown.items())  # fmt: skip
