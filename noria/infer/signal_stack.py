"""Signals around libraries that are not ours: heard at the end of a call, and on a stack that is still there.

A library that calls back into Python, or that turns Python's values into its own, loses what a signal's handler raises there, or
takes it for a fault of the value. Those calls hold signals until they return (`signals_held`).

Without OpenVINO's stack put back (`signal_stack_kept`) the next Ctrl-C or SIGTERM ends the process, unheard. Compiling a model, and letting go of one, leaves a stack for signals of the library's own behind in the thread that asked, and frees
it. Python hears signals on that stack: the next one would be a segmentation fault.
"""

from __future__ import annotations

import ctypes
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_C_LIBRARY = ctypes.CDLL(None) if sys.platform == "linux" else None


class _SignalStack(ctypes.Structure):
    """The C library's `stack_t` on Linux."""

    _fields_ = (("sp", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def _current() -> _SignalStack:
    found = _SignalStack()
    if _C_LIBRARY is not None:
        _C_LIBRARY.sigaltstack(None, ctypes.byref(found))
    return found


def signal_stack() -> tuple[int | None, int]:
    """Return where this thread's stack for signals begins, and its size; (None, 0) where it has none."""
    found = _current()
    return found.sp, found.size


@contextmanager
def signal_stack_kept() -> Iterator[None]:
    """Put this thread's stack for signals back at the end of the block.

    As a decorator it also covers what the function lets go of when it returns.
    """
    before = _current()
    try:
        yield
    finally:
        if _C_LIBRARY is not None:
            _C_LIBRARY.sigaltstack(ctypes.byref(before), None)


@contextmanager
def signals_held() -> Iterator[None]:
    """Hold SIGINT and SIGTERM until the end of the block, and let their handlers have them then; only in the main thread, which hears them.

    For calls that are over within seconds: a person who presses Ctrl-C waits for them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        for one in before:
            signal.signal(one, lambda *told: came.append(told))
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
        for number, frame in came[:1]:
            if callable(handler := before[signal.Signals(number)]):
                handler(number, frame)
            elif handler == signal.SIG_DFL:
                signal.raise_signal(number)
