"""A model that another server holds, behind OpenAI's API: vLLM on a GPU machine, or another Noria. In the place of a `Worker`.

    write_remote("runs/big", task="chat", url="http://gpu-1:8000/v1", model="Qwen3-8B", key_variable="BIG_KEY")
    noria ship serve runs/big

The folder names the server and no more; the key to it is read from the environment. Keys, guard, limits and events are this
server's own. The other one is asked every few seconds whether it is there.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from noria.core.errors import FolderError, InputError, SettingError
from noria.core.folder import Manifest, new_folder, read_manifest
from noria.core.messages import message
from noria.tasks.complete import Sampling

from .replies import Answers, Busy, Given, Piece, Unavailable
from .worker import Status, Worker

TASKS = ("chat", "complete", "embed")
PULSE = 5.0
"""Seconds between two questions whether the other server is there."""
Json = dict[str, Any]


def write_remote(
    target: str | Path, *, task: str, url: str, model: str, key_variable: str = "", max_length: int = 4_096
) -> Path:
    """Write a model folder that stands for another server's model.

    Args:
        target: the folder to write; its name is what clients call the model.
        task: chat, complete or embed.
        url: the other server's API, up to /v1.
        model: what it calls the model.
        key_variable: the environment variable that holds the key to it; empty: it wants none.
        max_length: most tokens, as the other server's model has them.

    Raises:
        SettingError: unknown task, or an address that is none.
    """
    if task not in TASKS:
        raise SettingError(message("infer.remote_model"), found=task, allowed=TASKS)
    parts = httpx.URL(url)
    if parts.scheme not in ("http", "https") or not parts.host:
        raise SettingError(message("infer.address"), found=url, allowed=message("infer.http_host"))
    with new_folder(Path(target), kind="model") as folder:
        remote = {"url": url.rstrip("/"), "model": model, "key_variable": key_variable}
        folder.facts.update(task=task, labels=[], max_length=max_length, remote=remote)
    return Path(target)


def open_worker(folder: str | Path, **options: Any) -> Worker | Remote:
    """Return what answers for a model folder: a process of our own, or another server's where the folder names one.

    `options` are those of `Worker`; of a remote model only the queue's bound is ours.
    """
    manifest = read_manifest(Path(folder))
    if "remote" in manifest.facts:
        return Remote(folder, manifest, queue=options.get("queue", 256))
    return Worker(folder, **options)


@dataclass(frozen=True)
class _Address:
    url: str
    model: str
    key_variable: str = ""


class Remote:
    """One remote model, with the methods of a `Worker`. Belongs to one event loop.

    Raises:
        FolderError: the folder does not say where the model is, or the variable with the key is not set.
    """

    def __init__(self, folder: str | Path, manifest: Manifest, *, queue: int = 256) -> None:
        self.folder, self.queue, self.task = Path(folder), queue, str(manifest.facts["task"])
        try:
            self._at = _Address(**manifest.facts["remote"])
        except TypeError as error:
            raise FolderError(message("infer.does_say", folder=folder), found=str(error)) from None
        key = os.environ.get(self._at.key_variable, "") if self._at.key_variable else ""
        if self._at.key_variable and not key:
            raise FolderError(
                message("infer.needs_key", folder=folder, url=self._at.url),
                hint=message("infer.set_variable", key_variable=self._at.key_variable),
            )
        self._key = key
        self.version = manifest.identity()[:12]
        self.status: Status = "starting"
        self.facts: Json = {"engine": "remote", "max_length": manifest.facts.get("max_length")}
        self.restarts = 0
        self.depth = 0
        """Requests that it answers for us now."""
        self.process_id: int | None = None
        self._client: httpx.AsyncClient | None = None
        self._keeper: asyncio.Task[None] | None = None

    async def start(self, *, timeout: float = 60.0) -> None:
        """Return when the other server lists the model.

        Raises:
            Unavailable: it is not there in time. FolderError: it knows no such model, or the key is wrong.
        """
        headers = {"authorization": f"Bearer {self._key}"} if self._key else {}
        limits = httpx.Limits(max_connections=self.queue, max_keepalive_connections=64)
        self._client = httpx.AsyncClient(base_url=self._at.url, headers=headers, limits=limits, trust_env=False)
        end = asyncio.get_running_loop().time() + timeout
        while not await self._is_reachable():
            if asyncio.get_running_loop().time() > end:
                await self.stop()
                raise Unavailable(f"the server of {self.folder.name} is not there", found=self._at.url)
            await asyncio.sleep(0.5)
        self.status = "ready"
        self._keeper = asyncio.create_task(self._keep())

    def version_of(self, adapter: str) -> str:
        """Return the version: there is never an adapter."""
        return self.version

    async def stop(self) -> None:
        """Ask no more; what is being answered is told so."""
        self.status = "stopped"
        if self._keeper:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if self._client:  # streams that are open break off, which `complete` tells
            await self._client.aclose()

    def health(self) -> Json:
        """Return how the model is doing: status, requests under way, engine."""
        return {"status": self.status, "queue": self.depth, "restarts": self.restarts, **self.facts}

    async def ask(self, texts: Sequence[Given], *, timeout: float = 30.0) -> Answers:
        """Return the vectors of some texts.

        Raises:
            Busy: too many requests. Unavailable: the other server is down or too slow. InputError: it refuses the texts.
        """
        if self.task != "embed":
            raise InputError(message("infer.model_answers"), found=message("infer.remote_model_2", task=self.task))
        given = [one if isinstance(one, str) else one["ids"] for one in texts]
        body = {"model": self._at.model, "input": given, "encoding_format": "float"}
        self._enter()
        try:
            reply = await self._client_of().post("/embeddings", json=body, timeout=timeout)
            told = self._checked(reply.status_code, reply.content)
        except httpx.HTTPError as error:
            raise self._unavailable(error) from None
        finally:
            self.depth -= 1
        vectors = sorted(told["data"], key=lambda one: one["index"])
        tokens = [int(told.get("usage", {}).get("prompt_tokens", 0)), *[0] * (len(vectors) - 1)]
        answers = [{"embedding": np.asarray(one["embedding"], "<f4")} for one in vectors]
        return Answers(answers, tokens, self.version)

    async def tokenize(self, prompt: Given, *, timeout: float = 30.0) -> list[int]:
        """Refuse: what the other server's model reads is that server's to tell."""
        raise InputError(message("infer.remote_tokens"), found=self.folder.name)

    async def complete(
        self,
        prompt: Given,
        sampling: Sampling,
        stop: Sequence[str] = (),
        *,
        schema: str | None = None,
        timeout: float = 30.0,
        adapter: str = "",
    ) -> AsyncGenerator[Piece, None]:
        """Yield a completion piece by piece; closing the iterator ends the stream, and with it the other server's work.

        There is never an `adapter`: the other server's are models of its own.

        Raises:
            Busy: too many requests. Unavailable: the other server is down or silent for `timeout` seconds.
            InputError: it refuses the request.
        """
        path, body = self._request(prompt, sampling, stop, schema)
        self._enter()
        pieces, used, finish = 0, (0, 0), "stop"
        try:
            async with self._client_of().stream("POST", path, json=body, timeout=timeout) as reply:
                if reply.status_code != 200:
                    self._checked(reply.status_code, await reply.aread())
                async for line in reply.aiter_lines():
                    if not line.startswith("data: ") or line == "data: [DONE]":
                        continue
                    told = json.loads(line[6:])
                    if "error" in told:
                        raise Unavailable(
                            f"the server of {self.folder.name} failed", found=told["error"].get("message")
                        )
                    if usage := told.get("usage"):
                        used = usage["prompt_tokens"], usage["completion_tokens"]
                    for choice in told.get("choices", ()):
                        text = _text_of(choice)
                        finish = choice.get("finish_reason") or finish
                        pieces += bool(text)
                        yield Piece(text, pieces, used[0], None, tuple(_logprobs(choice)), self.version)
            # The usage comes after the last text, and the end is told with it.
            yield Piece("", used[1] or pieces, used[0], finish, (), self.version)
        except (httpx.HTTPError, httpx.StreamError, ValueError, KeyError) as error:
            raise self._unavailable(error) from None
        finally:
            self.depth -= 1

    def _request(self, prompt: Given, sampling: Sampling, stop: Sequence[str], schema: str | None) -> tuple[str, Json]:
        body: Json = {
            "model": self._at.model,
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": sampling.seed % 2**31,
            "presence_penalty": sampling.presence_penalty,
            "frequency_penalty": sampling.frequency_penalty,
        }
        if stop:
            body["stop"] = list(stop)
        if sampling.top_k:
            body["top_k"] = sampling.top_k
        if schema:
            named = {"name": "answer", "schema": json.loads(schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": named}
        if isinstance(prompt, str) and self.task == "complete":
            logprobs = {"logprobs": min(sampling.logprobs, 5)} if sampling.logprobs >= 0 else {}
            return "/completions", {**body, "prompt": prompt, **logprobs}
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt["messages"]
        told = {"logprobs": True, "top_logprobs": sampling.logprobs} if sampling.logprobs >= 0 else {}
        return "/chat/completions", {**body, "messages": messages, **told}

    def _enter(self) -> None:
        if self.status == "stopped":
            raise Unavailable("the server is stopping", retry_after=5)
        if self.status == "down":
            raise Unavailable(f"the server of {self.folder.name} is down", retry_after=int(PULSE))
        if self.depth >= self.queue:
            raise Busy(f"too many requests for {self.folder.name}", found=self.depth, hint="come back soon")
        self.depth += 1

    def _client_of(self) -> httpx.AsyncClient:
        if self._client is None:
            raise Unavailable(f"{self.folder.name} has not started")
        return self._client

    def _checked(self, status: int, content: bytes) -> Json:
        told: Any = None
        with suppress(ValueError):
            told = json.loads(content)
        if status == 200 and isinstance(told, dict):
            return told
        error = told.get("error") if isinstance(told, dict) else None
        said = error.get("message") if isinstance(error, dict) else None
        if status == 429:
            raise Busy(f"the server of {self.folder.name} has its hands full", found=said)
        if status in (400, 413, 422):
            raise InputError(message("infer.server_refuses", name=self.folder.name), found=said)
        raise Unavailable(f"the server of {self.folder.name} failed", found=said or f"status {status}")

    def _unavailable(self, error: Exception) -> Unavailable:
        if self.status == "stopped":
            return Unavailable("the server is stopping", retry_after=5)
        what = "took too long" if isinstance(error, httpx.TimeoutException) else "broke off"
        return Unavailable(f"the server of {self.folder.name} {what}", found=type(error).__name__)

    async def _is_reachable(self) -> bool:
        try:
            reply = await self._client_of().get("/models", timeout=PULSE)
        except httpx.HTTPError:
            return False
        if reply.status_code in (401, 403):
            raise FolderError(
                message("infer.key_wrong", url=self._at.url),
                hint=message("infer.set", key_variable=self._at.key_variable or "a key_variable"),
            )
        if reply.status_code != 200:
            return False
        known = [one.get("id") for one in self._checked(200, reply.content).get("data", ())]
        if self._at.model not in known:
            raise FolderError(
                message("infer.serves_such", url=self._at.url), found=self._at.model, allowed=map(str, known)
            )
        return True

    async def _keep(self) -> None:
        """Note whether the other server is there."""
        while True:
            await asyncio.sleep(PULSE)
            there = False
            with suppress(FolderError, Unavailable, InputError, Busy):
                there = await self._is_reachable()
            if self.status == "down" and there:
                self.restarts += 1
            self.status = "ready" if there else "down"


def _text_of(choice: Json) -> str:
    delta = choice.get("delta")
    return str((delta.get("content") if isinstance(delta, dict) else choice.get("text")) or "")


def _logprobs(choice: Json) -> list[Json]:
    """Return log probabilities as a `Piece` has them, from either form of OpenAI's API."""
    told = choice.get("logprobs")
    if not told:
        return []
    if "content" in told:
        return [
            {
                "token": one["token"],
                "logprob": one["logprob"],
                "bytes": one.get("bytes") or list(one["token"].encode()),
                "top": one.get("top_logprobs") or [],
            }
            for one in told["content"] or ()
        ]
    tops = told.get("top_logprobs") or [{}] * len(told["tokens"])
    return [
        {
            "token": token,
            "logprob": logprob,
            "bytes": list(token.encode()),
            "top": [{"token": name, "logprob": value, "bytes": list(name.encode())} for name, value in top.items()],
        }
        for token, logprob, top in zip(told["tokens"], told["token_logprobs"], tops, strict=True)
    ]
