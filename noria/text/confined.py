"""Files of binary or nested formats, opened in a process of its own that is held to a memory and a time: what breaks it costs one file.

    for part in parts_of("pdf", image, "scan.pdf"):     # what `noria.text.pdf.parts` yields there
        ...

A hostile or damaged file can make any parser fill the memory, run for hours or crash. Here it ends a child that holds nothing
else, and the file is refused in one line. The child is kept for the next file, and ends by itself when none comes.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import IO, Any, Literal

from noria.core.errors import InputError
from noria.core.messages import Message, as_is, message, message_of

Part = dict[str, Any]
"""One JSON object that a parser yields: a title, a paragraph, a table, a sheet's rows."""
Opener = Literal["page", "pdf", "word", "sheet", "feed", "article"]

MEMORY_BYTES = 4 << 30
"""Address space of the child."""
LARGEST_BYTES = 1 << 29
"""Largest file that is opened, unpacked."""
REPLY_BYTES = 1 << 30
"""Most that a file may hold once it is read: a small one can name the same long text ten thousand times."""
SECONDS = {"page": (10, 4), "pdf": (30, 8), "word": (30, 8), "sheet": (30, 8), "feed": (10, 10), "article": (20, 20)}
"""Processor time for a file, and for each MiB of it: a hundred times what ordinary files take."""
_PARSERS = {
    "page": "web_page",
    "pdf": "pdf",
    "word": "word",
    "sheet": "sheets",
    "feed": "feed",
    "article": "article",
}
_IDLE_SECONDS = 10
_LARGE_BYTES = 1 << 24
"""From this size on the child ends after the file, and gives its memory back."""


def parts_of(opener: Opener, image: bytes, name: str, seconds: int | None = None, **facts: str) -> list[Part]:
    """Return what the parser of a format finds in a file.

    Args:
        opener: which parser.
        image: the file's bytes.
        name: the file's, for messages.
        seconds: of processor time that it may take; by its size if None.
        facts: what else the parser is told, such as the address that a page came from.

    Raises:
        InputError: the file is none of its format, is locked, empty or damaged, or takes more memory or time than it may.
    """
    if not image:
        raise InputError(message("errors.empty", name=name), found=message("text.bytes"))
    if len(image) > LARGEST_BYTES:
        raise too_large(name)
    base, more = SECONDS[opener]
    seconds = base + more * (len(image) >> 20) if seconds is None else seconds
    with _LOCK:
        question = {"opener": opener, "name": name, "size": len(image), "seconds": seconds, "facts": facts}
        return _child().ask(question, image)


def too_large(name: str) -> InputError:
    """Return the error of a file that is not opened for its size."""
    return InputError(
        message("text.too_large", name=name), allowed=message("text.most_mib", largest_bytes=LARGEST_BYTES >> 20)
    )


class _Child:
    """The process that opens files, from the side that asks."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        home = str(Path(__file__).parents[2])
        paths = [home, *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            # -P: a module in the folder where somebody stands is none of the parser's.
            [sys.executable, "-P", "-m", "noria.text.confined"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )

    @property
    def there(self) -> bool:
        return self.owner == os.getpid() and self._process.poll() is None

    def ask(self, question: dict[str, Any], image: bytes) -> list[Part]:
        """Return the reply to one file; where the child ends over it, the reason."""
        try:
            return self._asked(question, image)
        except BrokenPipeError:
            code = self.end()
            if code == 0:  # it went for want of files, just now
                return _child().ask(question, image)
            raise _ended(question, code) from None
        except InputError:
            raise
        except BaseException:
            self.end(kill=True)  # what it still has to say is no answer to the next question
            raise

    def _asked(self, question: dict[str, Any], image: bytes) -> list[Part]:
        assert self._process.stdin
        assert self._process.stdout
        name, size = question["name"], 0
        parts: list[Part] = []
        self._process.stdin.write(json.dumps(question).encode() + b"\n")
        self._process.stdin.write(image)
        self._process.stdin.flush()
        for line in self._process.stdout:
            size += len(line)
            if size > REPLY_BYTES:
                self.end(kill=True)
                raise InputError(
                    message("text.holds_too", name=name),
                    allowed=message("text.most_gib", reply_bytes=REPLY_BYTES >> 30),
                )
            part = json.loads(line)
            if part == {"end": "whole"}:
                return parts
            if "error" in part:
                told = {name: message_of(one) if isinstance(one, dict) else one for name, one in part.items()}
                raise InputError(told["error"], found=told["found"], hint=told["hint"])
            parts.append(part)
        raise _ended(question, self.end())

    def end(self, *, kill: bool = False) -> int:
        """End the child if it has not ended, and return its exit code."""
        assert self._process.stdin
        assert self._process.stdout
        if kill:
            self._process.kill()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        return self._process.wait()


def _ended(question: dict[str, Any], code: int) -> InputError:
    if code == -signal.SIGXCPU:
        seconds = message("text.processor_time", seconds=question["seconds"])
        return InputError(message("text.takes_too", name=question["name"]), allowed=seconds)
    how = as_is(signal.Signals(-code).name) if code < 0 else message("text.exit_code", code=code)
    return InputError(message("text.damaged_takes", name=question["name"]), found=message("text.reader_ended", how=how))


_LOCK = threading.Lock()
_held: list[_Child] = []


def _child() -> _Child:
    if not _held or not _held[0].there:
        _close()
        _held.append(_Child())
    return _held[0]


@atexit.register
def _close() -> None:
    for child in _held:
        if child.owner == os.getpid():
            child.end()
    _held.clear()


def _serve() -> None:
    """Open one file after another, in the child."""
    import resource
    import select

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES if most < 0 else min(most, MEMORY_BYTES), most))
    # What a library prints must not stand between the parts.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    stream = os.fdopen(os.dup(0), "rb", buffering=0)
    while select.select([stream], [], [], _IDLE_SECONDS)[0]:
        question = json.loads(_line(stream) or b"null")
        if question is None:
            return
        image = _whole(stream, question["size"])
        used = resource.getrusage(resource.RUSAGE_SELF)
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        spent = int(used.ru_utime + used.ru_stime) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (spent + question["seconds"], hard))
        for part in _answers(question, image):
            out.write(json.dumps(part, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
        out.flush()
        if len(image) > _LARGE_BYTES:
            return


def _answers(question: dict[str, Any], image: bytes) -> Iterator[Part]:
    name = question["name"]
    try:
        parser = import_module(f"noria.text.{_PARSERS[question['opener']]}")
        yield from parser.parts(image, name, **question["facts"])
        yield {"end": "whole"}
    except InputError as error:
        yield {"error": _kept(error.what), "found": _kept(error.found), "hint": _kept(error.hint)}
    except MemoryError:
        yield {
            "error": _kept(message("text.memory", name=name)),
            "found": _kept(message("text.unpack_more", size=len(image))),
            "hint": None,
        }
    except Exception as error:  # whatever a library throws at what somebody sent
        found = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        yield {"error": _kept(message("text.damaged", name=name)), "found": found, "hint": None}


def _kept(value: Any) -> Any:
    return value.as_dict() if isinstance(value, Message) else value


def _line(stream: IO[bytes]) -> bytes:
    line = bytearray()
    while (byte := stream.read(1)) and byte != b"\n":
        line += byte
    return bytes(line)


def _whole(stream: IO[bytes], size: int) -> bytes:
    image = bytearray()
    while len(image) < size and (piece := stream.read(min(size - len(image), 1 << 20))):
        image += piece
    return bytes(image)


if __name__ == "__main__":
    _serve()
