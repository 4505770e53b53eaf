"""Stopping politely: finish the epoch, save, say how to go on."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

terminated = threading.Event()  # set once this process was sent SIGTERM


def interrupt_on_sigterm() -> None:
    """From now on SIGTERM interrupts like Ctrl-C."""

    def handle(number: int, frame: Any) -> None:
        terminated.set()
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, handle)


@contextmanager
def stop_on_signal() -> Iterator[Callable[[], bool]]:
    """First Ctrl-C or SIGTERM: stop after the epoch that is under way; a second one: at once."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    requested = threading.Event()

    def handle(number: int, frame: Any) -> None:
        if number == signal.SIGTERM:
            terminated.set()
        if requested.is_set():
            raise KeyboardInterrupt
        requested.set()
        print("stopping after this epoch (once more to stop at once)", file=sys.stderr)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield requested.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if requested.is_set():
        signal.raise_signal(signal.SIGINT)
