"""Reading ahead: pictures are decoded and resized in threads while the network looks at those before them."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_WORKERS = 4
"""Decoding and resizing release Python's lock; more threads than this would wait for the disk or the decoder."""
GRACE_SECONDS = 1.0
"""A reader that is stuck on a slow disk is waited for no longer; it ends with the process."""


def read_ahead(
    items: Iterable[Item], work: Callable[[Item], Result], count: int, may_read: threading.Event | None = None
) -> Iterator[Result]:
    """work(item) for every item in order: a thread reads items, others work on them, and at most `count` wait.

    While `may_read` is not set nobody begins anything: whoever waits for a result must have set it. An error arrives
    where the result would have. Closing the iterator, or an error, ends the threads.
    """
    waiting: queue.Queue[Future | None] = queue.Queue(count)
    stopped = threading.Event()
    pool = ThreadPoolExecutor(max(min(MOST_WORKERS, (os.cpu_count() or 1) - 1), 1), thread_name_prefix="read-ahead")
    gate = may_read or open_gate()
    args = items, work, pool, waiting, stopped, gate
    reader = threading.Thread(target=_read, args=args, daemon=True, name="read-ahead")
    reader.start()
    try:
        while (future := waiting.get()) is not None:
            yield future.result()
    finally:
        stopped.set()
        gate.set()
        reader.join(GRACE_SECONDS)
        pool.shutdown(wait=False, cancel_futures=True)


def _read(
    items: Iterable[Item],
    work: Callable[[Item], Result],
    pool: ThreadPoolExecutor,
    waiting: queue.Queue[Future | None],
    stopped: threading.Event,
    gate: threading.Event,
) -> None:
    """The reader thread: items into the pool, their futures into the queue, None behind the last."""

    def work_when_open(item: Item) -> Result:
        gate.wait()
        return work(item)

    try:
        gate.wait()
        for item in items:
            if not _put(waiting, pool.submit(work_when_open, item), stopped):
                return
            gate.wait()
        _put(waiting, None, stopped)
    except BaseException as error:  # handed to whoever waits for the next result, who raises it
        failed: Future = Future()
        failed.set_exception(error)
        _put(waiting, failed, stopped)


def open_gate() -> threading.Event:
    """What is to be set while threads may read: it is."""
    gate = threading.Event()
    gate.set()
    return gate


def _put(waiting: queue.Queue[Future | None], future: Future | None, stopped: threading.Event) -> bool:
    """Queue it as soon as there is room; False if nobody wants it any more."""
    while not stopped.is_set():
        try:
            waiting.put(future, timeout=0.1)
            return True
        except queue.Full:
            continue
    return False
