"""`aios weights`: which weights there are, where they come from, whether a file is sound, conversion, export."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path

from aios_core.errors import AiosError
from aios_core.output import check_writable

OPEN_TERMS = """\
open   shipped with this package.
       Trained by training/ on synthetic people only (CC0 and free assets); free for any use, also commercial,
       under GPL-3.0-or-later. Predicts shape and expression of the open body."""

AIOS_TERMS = """\
aios   the published AiOS checkpoint (CVPR 2024): your own download, not shipped.
       Get aios_checkpoint.pth from the authors' project page (search for "AiOS: All-in-One-Stage Expressive Human
       Pose and Shape Estimation"). Its licence (S-Lab License 1.0) allows non-commercial use only.
       Point at it with --weights /path/to/aios_checkpoint.pth, or set AIOS_CHECKPOINT=/path/to/aios_checkpoint.pth
       and use --weights aios. It predicts shape and expression of SMPL-X: add --body with your own SMPL-X file
       (see `aios body list`). Check a download with `aios weights check FILE`."""

AIOS_LICENSE = "that of the weights this was made from; the published ones': S-Lab License 1.0, non-commercial use only"


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add `aios weights` and its subcommands."""
    weights = commands.add_parser("weights", help="list, check and convert network weights")
    verbs = weights.add_subparsers(dest="verb", required=True, metavar="VERB")
    listing = verbs.add_parser(
        "list", help="which weights can be used, where they come from, what their licence allows"
    )
    listing.set_defaults(run=list_weights)
    check = verbs.add_parser("check", help="say whether a file holds usable weights, and what is missing")
    check.add_argument("file", help="a .pth or .safetensors file, or 'open' or 'aios'")
    check.set_defaults(run=check_weights)
    convert = verbs.add_parser("convert", help="rewrite a checkpoint as a small, safe .safetensors file")
    convert.add_argument("file", help="a .pth or .safetensors file")
    convert.add_argument("-o", "--output", required=True, help="the .safetensors file to write")
    convert.add_argument("--full-precision", action="store_true", help="keep float32 instead of float16")
    convert.set_defaults(run=convert_weights)
    export = verbs.add_parser("export", help="write the network in a form that runs without PyTorch")
    export.add_argument("file", help="a .pth or .safetensors file, or 'open' or 'aios'")
    export.add_argument("--onnx", action="store_true", required=True, help="as ONNX, for ONNX Runtime and others")
    export.add_argument("-o", "--output", required=True, help="the .onnx file to write")
    export.add_argument(
        "--size", default="dynamic", metavar="WxH",
        help="size of the padded pictures, pixels; dynamic (the default) takes any",
    )  # fmt: skip
    export.set_defaults(run=export_weights)


def list_weights(_options: argparse.Namespace) -> None:
    """Print the weights that can be used, their origin and terms."""
    from aios_core.model.checkpoint import weights_path

    print(OPEN_TERMS)
    print(f"       File: {weights_path('open')}\n")
    print(AIOS_TERMS)
    print(f"       Found: {os.environ.get('AIOS_CHECKPOINT') or 'no (AIOS_CHECKPOINT is not set)'}")


def check_weights(options: argparse.Namespace) -> None:
    """Build the model with a weights file and print what it is."""
    from aios_core.model.checkpoint import build_model, weights_path

    path = weights_path(options.file)
    model = build_model(path)
    count = sum(parameter.numel() for parameter in model.parameters())
    config = model.config
    print(
        f"{path}: complete. {count / 1e6:.1f} million parameters, pictures at {config.short_side}x{config.long_side}, "
        f"up to {config.people} people, {config.body_family} body, {Path(path).stat().st_size / 2**20:.1f} MiB."
    )


def convert_weights(options: argparse.Namespace) -> None:
    """Write a checkpoint as .safetensors with its configuration inside."""
    output = check_writable(options.output)
    from aios_core.model.checkpoint import build_model, save_weights

    save_weights(build_model(options.file), output, fp16=not options.full_precision)
    print(f"{output}: {output.stat().st_size / 2**20:.1f} MiB")


def export_weights(options: argparse.Namespace) -> None:
    """Write the network of a weights file as ONNX."""
    if Path(options.output).suffix.lower() != ".onnx":
        raise AiosError(f"{options.output}: the output's name must end in .onnx.")
    output, size = check_writable(options.output), _picture_size(options.size)
    from aios_core.config import AIOS
    from aios_core.model.checkpoint import load_checkpoint, model_of, weights_path
    from aios_core.model.onnx_export import export_onnx
    from aios_core.pipeline.people import DEFAULT_THRESHOLD

    checkpoint = load_checkpoint(weights_path(options.file))
    stated = {"license": AIOS_LICENSE, "score_threshold": str(DEFAULT_THRESHOLD), **(checkpoint.metadata or {})}
    stated.pop("format", None)  # of safetensors
    export_onnx(model_of(checkpoint, checkpoint.config or AIOS).eval(), output, size, stated, checkpoint.pose_mean)
    told = "any size" if size is None else f"{size[0]}x{size[1]}"
    print(f"{output}: {output.stat().st_size / 2**20:.1f} MiB, for pictures of {told}")


def _picture_size(text: str) -> tuple[int, int] | None:
    """(width, height), or None for 'dynamic'."""
    if text == "dynamic":
        return None
    found = re.fullmatch(r"(\d+)x(\d+)", text)
    if found is None:
        raise AiosError(f"--size {text}: give WIDTHxHEIGHT in pixels, such as 640x384, or dynamic.")
    return int(found[1]), int(found[2])
