"""llama.cpp's server, as its library has it in this process: one at a time, behind a port of its own with a key."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import xllamacpp

from noria.core.errors import FolderError, ResourceError
from noria.core.messages import message

from .decoder import PREFILL, TOGETHER

_SILENT = -1
ONE = threading.Lock()
"""Two servers of the library in one process end each other."""


def opened(
    file: Path, room: int, threads: int, *, called: Path, begin: Callable[[Any], Any] = xllamacpp.Server
) -> tuple[Any, str]:
    """Return the library's server for a file, and the key to it; whoever asks holds `ONE`.

    Args:
        file: a GGUF.
        room: tokens of keys and values that its cache has room for, of all texts together.
        threads: of a pass.
        called: the file that people know.
        begin: makes a server of its settings.

    Raises:
        FolderError: it cannot read the file.
    """
    given = xllamacpp.CommonParams()
    given.model.path, given.verbosity, given.warmup = str(file), _SILENT, False
    # One cache for all texts: a slot of the longest text for each of them would take eight times the memory.
    given.n_parallel, given.n_ctx, given.kv_unified, given.fit_params = TOGETHER, room, True, False
    given.n_batch = given.n_ubatch = PREFILL
    given.cache_ram_mib = 0  # beside it the library would keep gigabytes of what earlier texts left
    given.cpuparams.n_threads = given.cpuparams_batch.n_threads = threads
    # The library opens a port for requests by itself; nobody else is told its key.
    key = secrets.token_urlsafe(32)
    given.no_perf, given.ui, given.n_threads_http, given.api_keys = True, False, 1, [key]
    try:
        server = begin(given)
        # Its loop has begun once it answered: a server that is closed before that never ends.
        server.handle_completions({"prompt": [0], "n_predict": 1, "temperature": 0.0}, lambda _: False)
        return server, key
    except FolderError:
        raise
    except Exception as error:  # whatever the library makes of a bad file
        raise FolderError(message("infer.cannot_read", file=called), found=str(error).strip()) from None


@contextmanager
def own_server(file: Path, room: int, threads: int) -> Iterator[tuple[str, str]]:
    """Run llama.cpp's own HTTP server on a file as it is, as another program would load it; yield its address and the key to it.

    Args:
        file: a GGUF.
        room: tokens of the longest text.
        threads: of a pass.

    Raises:
        FolderError: llama.cpp cannot read it.
        ResourceError: the process runs another model in the library.
    """
    if not ONE.acquire(blocking=False):
        raise ResourceError(message("infer.llama_cpp"), hint=message("infer.close_other"))
    server: Any = None
    try:
        server, key = opened(file, room, threads, called=file)
        yield server.listening_address, key
    finally:
        server = None
        ONE.release()
