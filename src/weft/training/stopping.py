"""Ctrl-C and SIGTERM, which wait until a run has saved what it has."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

__all__ = ["Stopping"]


class Stopping:
    """Within this context a first Ctrl-C or SIGTERM is kept back until `give_way`; a second one is not.

    A signal that is ignored, as a shell has it for what runs in the background, stays so. Only Python's main thread can
    hold signals back: in another one nothing changes, nor where `hold` is False.
    """

    def __init__(self, *, hold: bool) -> None:
        self.hold = hold and threading.current_thread() is threading.main_thread()
        self.asked: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if self.hold:
            self._before = {
                number: signal.signal(number, self._ask)
                for number in (signal.SIGINT, signal.SIGTERM)
                if signal.getsignal(number) is not signal.SIG_IGN
            }
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def give_way(self) -> None:
        """Let the signal that was kept back do what it does."""
        if self.asked is not None:
            self._restore()
            signal.raise_signal(self.asked)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        again, self.asked = self.asked is not None, number
        if again:
            self.give_way()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
