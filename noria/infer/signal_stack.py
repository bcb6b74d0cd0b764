"""A thread's stack for signals, put back after OpenVINO: without it the next Ctrl-C or SIGTERM ends the process, unheard.

Compiling a model, and letting go of one, leaves a stack for signals of the library's own behind in the thread that asked, and frees
it. Python hears signals on that stack: the next one would be a segmentation fault.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

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
