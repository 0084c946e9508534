"""Build the open body's files: `python -m aios_core.body.open_body --out FOLDER`."""

from __future__ import annotations

import argparse
import sys

from aios_core.body.open_body.build import BuildConfig, build_files
from aios_core.errors import AiosError


def main() -> int:
    """Parse the command line and build; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m aios_core.body.open_body", description=__doc__)
    parser.add_argument("--out", required=True, metavar="FOLDER", help="folder for the three .npz files")
    parser.add_argument("--adults", type=int, default=BuildConfig.adults, help="shapes the model is fitted to")
    parser.add_argument("--unseen", type=int, default=BuildConfig.unseen, help="further shapes it is measured on")
    options = parser.parse_args()
    try:
        config = BuildConfig(adults=options.adults, unseen=options.unseen)
        for path in build_files(options.out, config, say=lambda text: print(text, flush=True)):
            print(path)
    except AiosError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
