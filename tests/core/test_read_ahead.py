"""Frames are read while the network looks: in order, never far ahead, and no thread outlives its reader."""

import threading
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from aios_core.config import CaptureConfig
from aios_core.errors import FootageError
from aios_core.media import Footage
from aios_core.media.read_ahead import GRACE_SECONDS, read_ahead
from aios_core.pipeline.capture import people_of
from aios_core.pipeline.network import Network
from tests.core.test_pipeline import predictions
from tests.core.toy_model import TOY, replace


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + 5
    while (left := set(threading.enumerate()) - before) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not left


def test_results_come_in_order_whoever_is_done_first():
    def work(item: int) -> int:
        time.sleep(0.02 if item % 3 == 0 else 0)
        return item * 10

    assert list(read_ahead(range(20), work, 6)) == [item * 10 for item in range(20)]
    assert list(read_ahead((), work, 6)) == []


def test_items_are_read_while_the_consumer_is_at_work():
    second_was_read = threading.Event()

    def items():
        yield 1
        second_was_read.set()
        yield 2

    results = read_ahead(items(), lambda item: item, 2)
    assert next(results) == 1
    assert second_was_read.wait(5)
    assert list(results) == [2]


def test_nobody_reads_or_works_while_the_gate_is_shut():
    may_read, begun = threading.Event(), []

    def items():
        for item in range(6):
            begun.append(("read", item))
            yield item

    def work(item: int) -> int:
        begun.append(("work", item))
        return item

    may_read.set()
    results = read_ahead(items(), work, 2, may_read)
    assert next(results) == 0
    may_read.clear()
    time.sleep(0.2)  # what had begun ends
    before = list(begun)
    time.sleep(0.2)
    assert begun == before and len(before) < 12
    may_read.set()
    assert list(results) == [1, 2, 3, 4, 5]


def test_closing_ends_threads_that_rest_at_the_gate():
    may_read = threading.Event()
    may_read.set()
    results = read_ahead(range(100), lambda item: item, 2, may_read)
    next(results)
    may_read.clear()
    results.close()


def test_no_more_is_read_than_may_wait():
    read = []

    def items():
        for item in range(50):
            read.append(item)
            yield item

    results = read_ahead(items(), lambda item: item, 3)
    next(results)
    time.sleep(0.3)
    assert len(read) <= 1 + 3 + 1, "one was taken, three wait, one is in the reader's hand"
    results.close()


@pytest.mark.parametrize("where", ["reading", "work"])
def test_an_error_arrives_behind_what_came_before_it(where):
    def items():
        yield from (1, 2)
        if where == "reading":
            raise FootageError("torn")
        yield 3

    def work(item: int) -> int:
        if item == 3:
            raise FootageError("torn")
        return item

    results = read_ahead(items(), work, 8)
    assert [next(results), next(results)] == [1, 2]
    with pytest.raises(FootageError, match="torn"):
        next(results)


def test_leaving_off_ends_a_reader_whose_queue_is_full():
    closed = threading.Event()

    def items():
        try:
            yield from range(10**9)
        finally:
            closed.set()

    results = read_ahead(items(), lambda item: item, 2)
    next(results)
    results.close()
    assert closed.wait(5), "what the items hold open is closed with them"


def test_leaving_off_does_not_wait_for_a_disk_that_never_answers():
    answer = threading.Event()

    def items():
        yield 1
        answer.wait(20)

    results = read_ahead(items(), lambda item: item, 2)
    next(results)
    begun = time.monotonic()
    results.close()
    assert time.monotonic() - begun < GRACE_SECONDS + 2
    answer.set()


class FakeFootage(Footage):
    """Frames out of nowhere, with a count of those that were read."""

    read = 0

    def frames(self, size=None, ahead=4, may_read=None):
        def item(index: int):
            FakeFootage.read = index + 1
            return self._frame(index, index / 25, np.zeros((64, 96, 3), np.uint8))

        return read_ahead(range(self.frame_count), item, ahead, may_read)


class Watcher(torch.nn.Module):
    """A network that is busy until the next batch has been read, or `patience` seconds are over."""

    config = replace(TOY, antialias=True)

    def __init__(self, batch: int, patience: float = 5):
        super().__init__()
        self.batch, self.patience, self.calls, self.waited_in_vain = batch, patience, 0, 0

    def forward(self, images, padding_mask, least_score=0.0):
        self.calls += 1
        deadline = time.monotonic() + self.patience
        while FakeFootage.read < self.batch * (self.calls + 1) and time.monotonic() < deadline:
            time.sleep(0.001)
        self.waited_in_vain += FakeFootage.read < self.batch * (self.calls + 1)
        found = predictions()
        many = {
            name: value.repeat(len(images), *[1] * (value.ndim - 1))
            for name, value in vars(found).items()
            if value is not None
        }
        return type("Found", (), {"final": type(found)(**many)})


def fake_line(count: int, batch: int) -> tuple[FakeFootage, Network, CaptureConfig]:
    FakeFootage.read = 0
    footage = FakeFootage(Path("x"), "video", 96, 64, Fraction(25), count)
    return footage, Network(Watcher(batch), torch.device("cpu"), None, 0.3), CaptureConfig(batch=batch)


def test_the_next_frames_are_read_while_the_network_looks(monkeypatch):
    monkeypatch.setattr(Network, "takes_all_cores", lambda _: False)
    footage, network, config = fake_line(count=12, batch=3)
    found = list(people_of(footage, network, config, 0.3))
    assert [frame.index for frame, _ in found] == list(range(12))
    assert all(len(people) for _, people in found)
    assert network.model.calls == 4
    assert network.model.waited_in_vain == 1, "behind the last batch there is nothing to read"


def test_nothing_is_read_while_the_network_takes_all_cores(monkeypatch):
    monkeypatch.setattr(Network, "takes_all_cores", lambda _: True)
    footage, network, config = fake_line(count=24, batch=3)
    looked, grown = network.model.forward, []

    def forward(images, padding_mask, least_score=0.0):
        time.sleep(0.05)  # what had begun ends
        before = FakeFootage.read
        time.sleep(0.05)
        grown.append(FakeFootage.read - before)
        return looked(images, padding_mask)

    network.model.patience = 0
    network.model.forward = forward
    found = list(people_of(footage, network, config, 0.3))
    assert [frame.index for frame, _ in found] == list(range(24))
    assert grown == [0] * 8


def test_an_error_of_the_network_ends_the_reading():
    footage, network, config = fake_line(count=1000, batch=2)
    network.model.forward = lambda *_, **__: (_ for _ in ()).throw(RuntimeError("out of memory"))
    with pytest.raises(RuntimeError, match="out of memory"):
        list(people_of(footage, network, config, 0.3))
    assert FakeFootage.read < 20


def test_small_pictures_are_looked_at_together_and_large_ones_alone():
    _, network, _ = fake_line(count=1, batch=1)
    assert network.frames_at_once((480, 288)) == 7
    assert network.frames_at_once((1333, 800)) == network.frames_at_once((4000, 3000)) == 1
    on_gpu = replace(network, device=torch.device("cuda"))
    assert on_gpu.frames_at_once((1333, 800)) == 16


def test_a_capture_that_names_no_batch_takes_the_networks():
    footage, network, config = fake_line(count=40, batch=16)
    assert len(list(people_of(footage, network, replace(config, batch=None), 0.3))) == 40
    assert network.model.calls == 3
