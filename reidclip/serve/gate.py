"""How many searches there are at one time: a bounded number runs, a bounded number waits, the rest are told to come back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

from reidclip.serve.refusal import Refusal

T = TypeVar("T")
_RETRY = {"Retry-After": "2"}


class Gate:
    """Admission, before anything of a request's body is read.

    Args:
        inside: requests that may hold a body at one time.
        waiting: requests that may be there at all.
        timeout: seconds that one waits.
    """

    def __init__(self, inside: int, waiting: int, timeout: float) -> None:
        self._free = asyncio.Semaphore(inside)
        self._waiting, self._timeout = waiting, timeout
        self.here = 0

    @asynccontextmanager
    async def enter(self) -> AsyncIterator[None]:
        """A place, for the length of the block.

        Raises:
            Refusal: 503, when too many wait already, or no place came free in time.
        """
        if self.here >= self._waiting:
            raise Refusal(503, f"{self.here} searches are under way or waiting already.", "Try again in a moment.", _RETRY)
        self.here += 1
        try:
            try:
                await asyncio.wait_for(self._free.acquire(), self._timeout)
            except asyncio.TimeoutError:
                raise Refusal(503, "The searches before this one took too long.", "Try again in a moment.", _RETRY) from None
            try:
                yield
            finally:
                self._free.release()
        finally:
            self.here -= 1


class Workers:
    """Threads for what computes, so that the page goes on answering.

    Work that took too long is told as failed and runs to its end: its thread is not free before, so no more than ``threads`` run.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)

    async def run(self, work: Callable[[], T], timeout: float) -> T:
        """What ``work`` gives.

        Raises:
            Refusal: 503 after ``timeout`` seconds. And what ``work`` raises.
        """
        future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        done, _ = await asyncio.wait({future}, timeout=timeout)
        if not done:
            future.add_done_callback(lambda late: late.cancelled() or late.exception())  # nobody waits for it: no warning of that
            future.cancel()  # where it has not begun
            raise Refusal(503, f"The search took longer than {timeout:g} s.", "Try again, or ask for less: no re-ranking.", _RETRY)
        return future.result()

    def close(self) -> None:
        """Let go of the threads; what has not begun never does."""
        self._pool.shutdown(wait=False, cancel_futures=True)
