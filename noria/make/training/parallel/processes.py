"""Which of how many processes this one is, by what the environment says; and how they meet and wait for each other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch

from noria.make.training.settings import ParallelSettings

PATIENCE = timedelta(hours=12)
"""How long a process waits for the others; one that dies is noticed at once, so this only bounds a machine that hangs."""


def tensor_width(settings: ParallelSettings) -> int:
    """Return how many processes share a layer's matrices."""
    return {"tensor": world_size(), "data+tensor": settings.tensor}.get(settings.layout, 1)


def world_size() -> int:
    """Return how many processes there are, this one included."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


def local_processes() -> int:
    """Return how many of them share this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if world_size() > 1 else 1


def is_first_process() -> bool:
    """Return whether this process is the one that writes and tells."""
    return world_size() == 1 or os.environ["RANK"] == "0"


def init_process_group() -> None:
    """Join the process group, once; whoever started the process has put the address into the environment."""
    import torch.distributed as dist

    if not dist.is_initialized():
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        address = os.environ.get("NORIA_RENDEZVOUS", "env://")
        rank = int(os.environ["RANK"])
        dist.init_process_group(backend, address, rank=rank, world_size=world_size(), timeout=PATIENCE)


@contextmanager
def first_process_first() -> Iterator[None]:
    """Let the first process do the block before the others, so that what it writes is there when they come."""
    if world_size() == 1:
        yield
        return
    import torch.distributed as dist

    init_process_group()
    if not is_first_process():
        dist.barrier()
    yield
    if is_first_process():
        dist.barrier()
