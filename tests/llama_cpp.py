"""llama.cpp itself, from scratch: a file that it is given, asked over its own port as other programs ask it."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import xllamacpp

SPOKEN = [
    "Hello, world! It's 2024; don't.",
    "你好，世界！我们今天去北京大学，12345元。",
    "😀👍🏽 emoji 👩‍👩‍👧 test",
    "def f(x):\n\treturn x**2  # 平方\n\n\nprint(f(10))",
    "   leading and trailing   ",
    "<|im_start|>user\nHi<|im_end|>\n",
    "naïve café Ünïcödé ﬁ 𝒳\r\n\n",
]
"""What people write that tokenizers differ on."""


class LlamaCpp:
    """A server of the library with one file; one at a time in a process."""

    def __init__(self, file: Path, context: int = 512) -> None:
        given = xllamacpp.CommonParams()
        given.model.path, given.n_ctx, given.n_parallel = str(file), context, 1
        given.warmup, given.verbosity, given.fit_params = False, -1, False
        given.cpuparams.n_threads = given.cpuparams_batch.n_threads = 1
        self._server: Any = xllamacpp.Server(given)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.tokens("a")  # a server that is closed before its loop has begun never ends
        self._server = None

    @property
    def address(self) -> str:
        return str(self._server.listening_address)

    def ask(self, path: str, **body: Any) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{self.address}/{path}", json.dumps(body).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as reply:
            answer: dict[str, Any] = json.load(reply)
            return answer

    def tokens(self, text: str) -> list[int]:
        """The ids of a text, as the file's own tokenizer has them."""
        return list(self.ask("tokenize", content=text, add_special=True, parse_special=True)["tokens"])

    def written(self, ids: Sequence[int], count: int) -> list[int]:
        """The likeliest tokens that follow."""
        return list(
            self.ask("completion", prompt=list(ids), n_predict=count, temperature=0, return_tokens=True)["tokens"]
        )
