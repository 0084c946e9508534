"""Writing files whole or not at all, and by one process at a time."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from aios_core.errors import OutputError


def check_writable(path: str | os.PathLike) -> Path:
    """`path` as a Path, after making sure that a file can be written there; call it before long work.

    Raises:
        OutputError: it is a folder, its folder does not exist, or writing is not permitted.
    """
    path = Path(path)
    if path.is_dir():
        raise OutputError(f"Cannot write {path}: it is a folder.")
    if not path.parent.is_dir():
        raise OutputError(f"Cannot write {path}: the folder {path.parent} does not exist.")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise OutputError(f"Cannot write {path}: {error.strerror or error}.") from error
    if path.exists() and not os.access(path, os.W_OK):
        raise OutputError(f"Cannot write {path}: the file is read-only.")
    return path


@contextmanager
def whole_file(path: str | os.PathLike) -> Iterator[Path]:
    """A temporary path beside `path`, with its suffix, renamed to `path` when the block ends without an error.

    Raises:
        OutputError: the file cannot be written; whatever was at `path` before is untouched.
    """
    path = check_writable(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"Cannot write {path}: {error.strerror or error}.") from error
    finally:
        temporary.unlink(missing_ok=True)


def locked_file(path: str | os.PathLike) -> IO | None:
    """The file, locked until it is closed or this process ends; None if another process holds it."""
    file = open(path, "a+b")  # noqa: SIM115 (held for as long as the work is)
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file
