"""The command line `aios`: thin commands over the package's functions.

Exit codes: 0 done, 2 the user's mistake (one sentence on stderr), 130 interrupted. torch is imported only by the
commands that run the network, so that `aios --help` is instant.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence

import aios_core
from aios_core.cli import body, capture, doctor, evaluate, tracks, weights
from aios_core.errors import AiosError

INTERRUPTED = 130


def parser() -> argparse.ArgumentParser:
    """The parser of every `aios` command."""
    top = argparse.ArgumentParser(
        prog="aios", description="Motion capture of everybody in a picture or video, as rigged SMPL-X people."
    )
    top.add_argument("--version", action="version", version=f"aios {aios_core.__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in (capture, tracks, evaluate, weights, body, doctor):
        module.add_commands(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the process's exit code."""
    options = parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    if getattr(options, "exit_with_parent", False):
        options.stopping = threading.Event()
        threading.Thread(target=_exit_when_stdin_closes, args=[options.stopping], daemon=True).start()
    try:
        return options.run(options) or 0
    except AiosError as error:
        options.report_error(str(error)) if hasattr(options, "report_error") else _print_error(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        _print_error("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _print_error(message: str) -> None:
    print(f"aios: {message}", file=sys.stderr)


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _exit_when_stdin_closes(stopping: threading.Event) -> None:
    """A job started by another program must not outlive it: its end closes our stdin. A word there ends it early."""
    # Not through sys.stdin: its lock, held here, would stop the interpreter from going down.
    while os.read(0, 1024):
        stopping.set()
    signal.raise_signal(signal.SIGTERM)
