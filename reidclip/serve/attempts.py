"""How often one address may give a wrong token: nobody guesses by trying many."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable

from reidclip.serve.refusal import Refusal

MOST = 20
PERIOD = 60.0  # seconds
_ADDRESSES = 1024  # that are remembered


class Attempts:
    """Wrong tokens of the last minute, by address; asked by one event loop.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()

    def check(self, address: str) -> None:
        """Let an address try.

        Raises:
            Refusal: 429 after too many wrong tokens, whatever the next one is.
        """
        times = self._wrong.get(address)
        if times is None or len(times) < MOST:
            return
        left = PERIOD - (self._clock() - times[0])
        if left > 0:
            raise Refusal(
                429, "Too many wrong tokens came from this address.", "Try again in a minute.", {"Retry-After": str(int(left) + 1)}
            )

    def wrong(self, address: str) -> None:
        """Remember a wrong token; only the newest ones and the newest addresses count."""
        self._wrong.setdefault(address, deque(maxlen=MOST)).append(self._clock())
        self._wrong.move_to_end(address)
        while len(self._wrong) > _ADDRESSES:
            self._wrong.popitem(last=False)
