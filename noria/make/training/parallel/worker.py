"""One of the processes that `launch.py` starts: takes its call from stdin, tells events through a pipe."""

from __future__ import annotations

import json
import os
import pickle
import signal
import sys
import threading
from importlib import import_module
from types import FrameType
from typing import IO, Any, NoReturn

from noria.core.errors import Interrupted, NoriaError, RowError, from_system
from noria.core.progress import Report


def main(pipe: int) -> int:
    """Make the call that came; return the exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    with os.fdopen(pipe, "w", encoding="utf-8") as stream:
        module, name, arguments, named = pickle.load(sys.stdin.buffer)
        threading.Thread(target=_end_with_the_caller, daemon=True).start()
        report = Report("programs", stream) if os.environ["RANK"] == "0" else Report.silent()
        try:
            getattr(import_module(module), name)(*arguments, report=report, **named)
            return 0
        except KeyboardInterrupt:
            return _send_error(
                stream, Interrupted("interrupted", hint="the same command goes on from the last checkpoint")
            )
        except NoriaError as error:
            return _send_error(stream, error)
        except OSError as error:
            return _send_error(stream, from_system(error) or error)
        except Exception as error:
            import traceback

            traceback.print_exc()
            return _send_error(stream, error)


def _send_error(stream: IO[str], error: BaseException) -> int:
    """Say what ended this process, and return its exit code."""
    plain = isinstance(error, NoriaError)
    kind = "InputError" if type(error) is RowError else type(error).__name__ if plain else ""
    line = str(error) if plain else f"{type(error).__name__}: {error}"
    event: dict[str, Any] = {"event": "error", "class": kind, "line": " ".join(line.split())}
    stream.write(json.dumps(event, ensure_ascii=False) + "\n")
    stream.flush()
    return error.exit_code if isinstance(error, NoriaError) else 1


def _end_with_the_caller() -> None:
    # Nothing more is ever written there: reading ends when the caller closes it, or is no more.
    sys.stdin.buffer.read(1)
    os._exit(1)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    code = main(int(sys.argv[1]))
    # Without waiting: a sum that hangs in another thread has nothing left to say.
    sys.stdout.flush()
    os._exit(code)
