"""How many searches there are at one time: a bounded number runs, a bounded number waits, the rest are told to come back."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
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
        what: they are, in the plural.
    """

    def __init__(self, inside: int, waiting: int, timeout: float, what: str = "searches") -> None:
        self._free = asyncio.Semaphore(inside)
        self._waiting, self._timeout, self._what = waiting, timeout, what
        self.here = 0

    @asynccontextmanager
    async def enter(self) -> AsyncIterator[None]:
        """A place, for the length of the block.

        Raises:
            Refusal: 503, when too many wait already, or no place came free in time.
        """
        if self.here >= self._waiting:
            raise Refusal(503, f"{self.here} {self._what} are under way or waiting already.", "Try again in a moment.", _RETRY)
        self.here += 1
        try:
            try:
                await asyncio.wait_for(self._free.acquire(), self._timeout)
            except asyncio.TimeoutError:
                raise Refusal(503, f"The {self._what} before this one took too long.", "Try again in a moment.", _RETRY) from None
            try:
                yield
            finally:
                self._free.release()
        finally:
            self.here -= 1


class Workers:
    """Threads for what computes, so that the page goes on answering.

    Work that took too long is told as failed and runs to its end: its thread is not free before, so no more than ``threads`` run. Work is
    handed to a thread that is free and to no other: the pool's queue would keep what nobody waits for any more, with the picture it holds.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._name, self._free, self._lock = name, threads, threading.Lock()
        self._waiting: deque[Future[None]] = deque()

    async def run(self, work: Callable[[], T], timeout: float) -> T:
        """What ``work`` gives.

        Raises:
            Refusal: 503 after ``timeout`` seconds, waiting for a thread among them. And what ``work`` raises.
        """
        try:
            return await asyncio.wait_for(self._run(work), timeout)
        except asyncio.TimeoutError:
            raise Refusal(503, f"The {self._name} took longer than {timeout:g} s.", "Try again, or ask for less.", _RETRY) from None

    def close(self) -> None:
        """Let go of the threads; what has not begun never does."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[], T]) -> T:
        place = self._take()
        try:
            await asyncio.wrap_future(place)
        except asyncio.CancelledError:
            self._leave(place)
            raise
        job = self._pool.submit(work)
        job.add_done_callback(lambda _: self._give())
        return await asyncio.wrap_future(job)

    def _take(self) -> Future[None]:
        """A place, or the promise of one; threads give them back, and loops come and go, so that no semaphore of asyncio would do."""
        place: Future[None] = Future()
        with self._lock:
            if self._free:
                self._free -= 1
                place.set_result(None)
            else:
                self._waiting.append(place)
        return place

    def _leave(self, place: Future[None]) -> None:
        with self._lock:
            if place in self._waiting:
                self._waiting.remove(place)
        if not place.cancel():  # it was given in the same moment
            self._give()

    def _give(self) -> None:
        with self._lock:
            place = self._waiting.popleft() if self._waiting else None
            if place is None:
                self._free += 1
                return
        if place.set_running_or_notify_cancel():
            place.set_result(None)
        else:
            self._give()  # left in the same moment
