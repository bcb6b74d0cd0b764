"""Starts the processes of models by forking one that has imported all that they import, which takes seconds each time.

`python forked.py DESCRIPTOR` imports, and then forks for every message on the socket DESCRIPTOR: JSON {"arguments", "environment"} with
two descriptors, the model's socket and stderr. It answers with the number of the process. What is forked is `noria.infer.child` with its
arguments; that a server starts it anew itself is for the tests of the worker and of the server as a process.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from noria.infer.worker import open_process

THREADS = 1
"""Of a forked process; where a model is to have more it is started anew, for OpenMP has counted them by then."""
ROOM = 1 << 18
"""Bytes of a message, an environment among them."""
MODELS = (
    "AutoModelForCausalLM",
    "BertForQuestionAnswering",
    "BertForSequenceClassification",
    "BertForTokenClassification",
)
MODELS += ("BertModel", "LlamaForCausalLM", "T5ForConditionalGeneration")
"""What the tests' models are made of."""


class Forked:
    """A process as `subprocess.Popen` has it, which is the child of another."""

    def __init__(self, number: int) -> None:
        self.pid = number
        self._descriptor: int | None = None
        with suppress(ProcessLookupError):  # it is over already
            self._descriptor = os.pidfd_open(number)

    def kill(self) -> None:
        """End it, wherever it is."""
        if self._descriptor is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    def wait(self) -> None:
        """Return when it has ended."""
        if self._descriptor is not None:
            select.select([self._descriptor], [], [])
            os.close(self._descriptor)
            self._descriptor = None


class Nursery:
    """The process that forks, started on first use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, arguments: Sequence[object], descriptor: int, threads: int) -> Any:
        """Fork a process for a model; see `noria.infer.worker.open_process`."""
        if threads != THREADS:
            return open_process(arguments, descriptor, threads)
        environment = {**os.environ, "OMP_NUM_THREADS": str(THREADS), "TOKENIZERS_PARALLELISM": "false"}
        message = json.dumps({"arguments": [str(one) for one in arguments], "environment": environment}).encode()
        with self._lock:
            if self._socket is None:
                self._socket = self._open()
            socket.send_fds(self._socket, [message], [descriptor, 2])
            return Forked(int(self._socket.recv(64)))

    def close(self) -> None:
        """End it; what it forked lives on."""
        if self._socket and self._process:
            self._socket.close()
            self._process.wait()

    def _open(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ROOM)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(Path(__file__)), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={**os.environ, "OMP_NUM_THREADS": str(THREADS), "TOKENIZERS_PARALLELISM": "false"},
            )
        return ours


def main(descriptor: int) -> None:
    """Import, and fork until the socket is closed."""
    for name in ("child", "openvino", "torch"):
        importlib.import_module(f"noria.infer.{name}")
    for name in MODELS:
        getattr(importlib.import_module("transformers"), name)
    connection = socket.socket(fileno=descriptor)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how they ended
    gc.collect()
    gc.freeze()  # what was imported is no garbage, and need not be looked through in every process
    assert len(list(Path("/proc/self/task").iterdir())) == 1, "what has several threads cannot be forked"
    while True:
        content, given, *_ = socket.recv_fds(connection, ROOM, 2)
        if not content:
            return
        number = os.fork()
        if not number:
            connection.close()
            _serve(json.loads(content), *given)
        for one in given:
            os.close(one)
        connection.send(str(number).encode())


def _serve(told: dict[str, Any], descriptor: int, stderr: int) -> None:
    """Be the process of a model, and end."""
    status = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(stderr, 2)
        os.environ.clear()
        os.environ.update(told["environment"])
        folder, _, *rest = told["arguments"]  # the socket has another number here
        status = sys.modules["noria.infer.child"].main([folder, str(descriptor), *rest])
    finally:
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main(int(sys.argv[1]))
