"""llama.cpp's own server, from xllamacpp, in a process of its own, as it comes: the peer of those who serve causal models."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from noria.machine import cores

PEER = "llama.cpp's server"
TOGETHER = 8
"""Places for clients."""


@contextmanager
def llamacpp_server(file: Path, context: int) -> Iterator[tuple[str, int]]:
    """Run the server on a GGUF; yield its address, up to /v1, and the process's id.

    Args:
        file: the model.
        context: tokens that all places share: so its own command does by itself.
    """
    command = [sys.executable, "-m", "benchmarks.llamacpp_server", str(file), str(context)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().strip() + "/v1", process.pid
        finally:
            process.kill()


def _serve(file: str, context: int) -> None:
    import xllamacpp

    given = xllamacpp.CommonParams()
    given.model.path, given.verbosity = file, -1
    given.n_parallel, given.n_ctx, given.kv_unified = TOGETHER, context, True
    given.cpuparams.n_threads = given.cpuparams_batch.n_threads = cores()
    server = xllamacpp.Server(given)
    print(server.listening_address, flush=True)
    sys.stdin.read()  # until it is ended


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]))
