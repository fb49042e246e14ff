"""Who is here: joining the processes that torchrun started, and what they tell each other besides tensors."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from reidclip.errors import UserError, WorkError

T = TypeVar("T")

MEET_SECONDS = 60.0  # how long the processes wait for each other at the start
FIRST_SPEAKS_SECONDS = 10.0  # how long the others keep an error that the first may have found too; torchrun ends them in 1 to 5
ANSWER_MINUTES = 30.0  # and for an answer later: the slowest may be writing a large state; torchrun ends everybody when one dies

_HELD_BACK = "reidclip_held_back"  # attribute of an exception

HOW_TO_START = "Start all of them with `torchrun --nproc-per-node N -m reidclip COMMAND ...`, or unset WORLD_SIZE for one process."


def launched() -> int:
    """How many processes the environment speaks of, before they joined; 1 without torchrun.

    Raises:
        UserError: WORLD_SIZE is no positive number.
    """
    text = os.environ.get("WORLD_SIZE", "1")
    if not text.isdecimal() or int(text) < 1:
        raise UserError(f"WORLD_SIZE is '{text}', which is no number of processes.", HOW_TO_START)
    return int(text)


def local_rank() -> int:
    """Number of this process on its machine, which is that of its GPU."""
    text = os.environ.get("LOCAL_RANK", "0")
    return int(text) if text.isdecimal() else 0


def size() -> int:
    """Number of processes that joined."""
    return dist.get_world_size() if _joined() else 1


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if _joined() else 0


def is_first() -> bool:
    """Whether this process is the one that writes and speaks; known before the processes join."""
    if _joined():
        return dist.get_rank() == 0
    return launched() == 1 or os.environ.get("RANK", "0") == "0"


@contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """Within, the processes of torchrun can speak to each other; without torchrun nothing happens.

    Args:
        device: of this process; tensors on a GPU travel by NCCL, those on the CPU by gloo.

    Raises:
        UserError: variables of the environment are missing, or the others do not come within a minute.
    """
    if launched() == 1 or _joined():
        yield
        return
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
    if missing:
        raise UserError(f"WORLD_SIZE is {launched()}, but {' and '.join(missing)} are not set.", HOW_TO_START)
    where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    if os.environ["RANK"] != "0":
        _wait_for_first(os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"])
    try:
        store, number, count = next(rendezvous("env://", timeout=timedelta(seconds=MEET_SECONDS)))
        store.set_timeout(timedelta(seconds=MEET_SECONDS))
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        if device.type == "cuda":
            torch.cuda.set_device(device)
        dist.init_process_group(backend, store=store, rank=number, world_size=count, timeout=timedelta(minutes=ANSWER_MINUTES))
    except (RuntimeError, ValueError) as error:
        reason = str(error).split("\n")[0]
        raise UserError(f"The {launched()} processes of this run did not meet at {where}: {reason}", HOW_TO_START) from error
    try:
        yield
    except Exception as error:
        let_first_speak(error)  # while the first can still hear this process: it would else tell that this one is gone, and end it
        raise
    finally:
        dist.destroy_process_group()


def let_first_speak(error: Exception) -> None:
    """In all but the first process: wait a while with an error, once. Where the first has found the same, as with a wrong argument, it
    tells it, and torchrun ends this process meanwhile; whoever is still there afterwards has an error of its own."""
    if not is_first() and not getattr(error, _HELD_BACK, False):
        setattr(error, _HELD_BACK, True)
        time.sleep(FIRST_SPEAKS_SECONDS)


def _wait_for_first(address: str, port: str) -> None:
    """Return when the first process listens: torch's own waiting takes two minutes to fail and prints its stack.

    Raises:
        UserError: it does not within a minute.
    """
    end = time.monotonic() + MEET_SECONDS
    while True:
        try:
            socket.create_connection((address, int(port)), timeout=5).close()
            return
        except (OSError, ValueError, OverflowError) as error:
            if time.monotonic() > end or not port.isdecimal() or isinstance(error, OverflowError):
                raise UserError(
                    f"The first of the {launched()} processes of this run does not listen at {address}:{port}: {error}.", HOW_TO_START
                ) from error
            time.sleep(0.5)


@contextmanager
def answered() -> Iterator[None]:
    """Around every exchange: an error there means that another process is gone."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).split("\n")[0]
        raise WorkError(
            f"Another process of this run ended or cannot be reached: {reason}",
            "Its own message says why. The last training state is kept: run the same command again to go on.",
        ) from error


def wait_for_all() -> None:
    """Return when every process is here."""
    any_process(False)


def any_process(flag: bool) -> bool:
    """Whether the flag is set in any process; all get the same answer. Travels by gloo, so that no GPU is waited for."""
    if size() == 1:
        return flag
    told = torch.tensor([float(flag)])
    with answered():
        dist.all_reduce(told, op=dist.ReduceOp.MAX)
    return bool(told.item())


def total_of(count: int) -> int:
    """Sum of the processes' counts; all get the same answer. Travels by gloo, like `any_process`."""
    if size() == 1:
        return count
    told = torch.tensor([count], dtype=torch.int64)
    with answered():
        dist.all_reduce(told)
    return int(told.item())


def from_first(value: T | None) -> T:
    """The first process's value in every process; small picklable things only."""
    if size() == 1:
        assert value is not None
        return value
    box: list[Any] = [value if is_first() else None]
    with answered():
        dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
    found: T = box[0]
    return found


def from_all(value: T) -> list[T]:
    """Every process's value, in the order of their numbers, in every process; small picklable things only."""
    if size() == 1:
        return [value]
    boxes: list[Any] = [None] * size()
    with answered():
        dist.all_gather_object(boxes, value)
    return boxes


def part_of(items: Sequence[T]) -> Sequence[T]:
    """This process's share of independent work: every size()-th item, so that parts take alike long."""
    return items[rank() :: size()]


def _joined() -> bool:
    return dist.is_available() and dist.is_initialized()
