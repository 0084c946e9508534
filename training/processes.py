"""The processes of a run: one for each device, started by torchrun; a run without torchrun is a single one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist


@dataclass(frozen=True)
class Processes:
    """This process among all."""

    rank: int
    world: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def gather(self, value: object) -> list:
        """Everybody's small value, in the order of ranks."""
        if self.world == 1:
            return [value]
        values = [None] * self.world
        dist.all_gather_object(values, value)
        return values

    def agree(self, values: Sequence[float]) -> list[float]:
        """The greatest of everybody's numbers, place by place."""
        if self.world == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(tensor, dist.ReduceOp.MAX)
        return tensor.tolist()

    def wait(self) -> None:
        """Until everybody is here."""
        if self.world > 1:
            dist.barrier()


ALONE = Processes(0, 1, torch.device("cpu"))
"""A run in one process on the CPU."""


@contextmanager
def processes(device: str | None = None) -> Iterator[Processes]:
    """This process, connected to the others if torchrun started it: by NCCL between GPUs, else by Gloo.

    Args:
        device: 'cpu', 'cuda', 'mps', ...; None = CUDA where there is one. With CUDA every process of a machine takes
            the GPU of its local rank.
    """
    kind = device or ("cuda" if torch.cuda.is_available() else "cpu")
    world = int(os.environ.get("WORLD_SIZE", "1"))
    rank, local = (int(os.environ.get(name, "0")) for name in ("RANK", "LOCAL_RANK"))
    own = torch.device(kind, local) if kind == "cuda" else torch.device(kind)
    if own.type == "cuda":
        torch.cuda.set_device(own)
        torch.backends.cuda.matmul.allow_tf32 = True  # in products that are not in half precision
    if world > 1:
        dist.init_process_group("nccl" if own.type == "cuda" else "gloo")
    try:
        yield Processes(rank, world, own)
    finally:
        if world > 1:
            dist.destroy_process_group()
