"""Any endpoint that speaks OpenAI's API, as far as it lets be seen what its model reads and how likely it finds what follows.

Ours, vLLM's, llama.cpp's, Ollama's and LM Studio's differ in what they show: ids by /tokenize, the rendered text by
/apply-template, counts in `usage`, chances in `logprobs`. What one refuses is asked no more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from noria.core.errors import InputError, ResourceError
from noria.core.messages import message

Json = dict[str, Any]
TOP = 20
"""Likeliest tokens that are asked for; OpenAI's API gives no more."""
_FEWER = (TOP, 5, 1)


@dataclass(frozen=True)
class Rendered:
    """What a model reads of a conversation or a text, as far as it is shown."""

    count: int | None = None
    ids: tuple[int, ...] | None = None
    text: str | None = None


@dataclass(frozen=True)
class NextToken:
    """The token that followed, as bytes, and the natural logarithms of the chances of the likeliest ones; empty where not told."""

    token: bytes
    """Empty where nothing is shown of it: a part of a character, where only texts are told, or an end."""
    ended: bool
    """The text ended there."""
    logprobs: Mapping[bytes, float]


class Endpoint:
    """One model of an endpoint.

    Args:
        client: whose base address is the endpoint's API, up to /v1, and which shows the key.
        model: what the endpoint calls the model; the first one that it lists where it is left out.

    Raises:
        ResourceError: nothing answers there. InputError: it lists no such model, or refuses the key.
    """

    def __init__(self, client: httpx.Client, model: str = "") -> None:
        self._client, self._refused = client, set[str]()
        self._top = list(_FEWER)
        told = self._asked("GET", "models", None)
        known = [str(one.get("id")) for one in (told or {}).get("data") or ()]
        if model and known and model not in known:
            raise InputError(message("verify.no_such_model", url=self.url), found=model, allowed=known)
        if not model and not known:
            raise InputError(message("verify.lists_no_model", url=self.url), hint=message("verify.name_model"))
        self.model = model or known[0]

    @property
    def url(self) -> str:
        """Return the address of the API."""
        return str(self._client.base_url).rstrip("/")

    def rendered(self, messages: Sequence[Json], tools: Sequence[Json] | None = None) -> Rendered:
        """Return what the model reads of a conversation."""
        body: Json = {"messages": list(messages), **({"tools": list(tools)} if tools else {})}
        count = self._count("chat/completions", body)
        told = self._first(
            ("tokenize", {**body, "add_generation_prompt": True}),
            ("../tokenize", {**body, "add_generation_prompt": True}),
        )
        if told and isinstance(told.get("tokens"), list) and told["tokens"]:
            return Rendered(count, tuple(told["tokens"]), None)
        text = (self._first(("../apply-template", body)) or {}).get("prompt")
        if not isinstance(text, str):
            return Rendered(count)
        read = self._first(("../tokenize", {"content": text, "add_special": True, "parse_special": True}))
        ids = tuple(read["tokens"]) if read and isinstance(read.get("tokens"), list) else None
        return Rendered(count, ids if count is None or (ids and len(ids) == count) else None, text)

    def count(self, text: str) -> int | None:
        """Return how many tokens a bare prompt is read as."""
        return self._count("completions", {"prompt": text})

    def takes_ids(self, ids: Sequence[int]) -> bool:
        """Return whether a prompt may be given as ids, and counts as so many tokens."""
        return self._count("completions", {"prompt": list(ids)}) == len(ids)

    def next_token(
        self, prompt: Json, *, temperature: float = 0.0, seed: int = 0, logprobs: bool = True
    ) -> NextToken | None:
        """Return the token that follows a prompt, {"prompt": ids or text} or {"messages"}; None where it is refused."""
        chat = "messages" in prompt
        body: Json = {**prompt, "temperature": temperature, "top_p": 1, "seed": seed, "max_tokens": 1}
        while logprobs and self._top:
            asked = {"logprobs": True, "top_logprobs": self._top[0]} if chat else {"logprobs": min(self._top[0], 20)}
            if found := self._post("chat/completions" if chat else "completions", {**body, **asked}, once=False):
                return _read(found["choices"][0], chat)
            del self._top[0]
        if found := self._post("chat/completions" if chat else "completions", body):
            return _read(found["choices"][0], chat)
        return None

    def _count(self, path: str, body: Json) -> int | None:
        usage = (self._post(path, {**body, "max_tokens": 1, "temperature": 0}) or {}).get("usage") or {}
        count = usage.get("prompt_tokens")
        return count if isinstance(count, int) and count > 0 else None

    def _first(self, *asked: tuple[str, Json]) -> Json | None:
        return next((told for path, body in asked if (told := self._post(path, body))), None)

    def _post(self, path: str, body: Json, *, once: bool = True) -> Json | None:
        """Return the answer; None where it is refused. A path that is not there is asked once."""
        kind = f"{path} {sorted(body)} {type(body.get('prompt')).__name__}"
        if path in self._refused or (once and kind in self._refused):
            return None
        told = self._asked("POST", path, {"model": self.model, **body})
        if told is None:
            self._refused.add(kind)
        return told

    def _asked(self, method: str, path: str, body: Json | None) -> Json | None:
        url = path if not path.startswith("../") else f"{self.url.removesuffix('/v1')}/{path[3:]}"
        try:
            answer = self._client.request(method, url, json=body)
        except httpx.HTTPError as error:
            raise ResourceError(
                message("verify.nothing_answers", url=self.url), found=str(error) or type(error).__name__
            ) from None
        if answer.status_code in (401, 403):
            raise InputError(message("verify.key_refused", url=self.url), hint=message("verify.give_key"))
        if answer.status_code in (429, 500, 502, 503, 504):
            raise ResourceError(
                message("verify.cannot_answer", url=self.url), found=f"{answer.status_code} {answer.text[:200]}"
            )
        if answer.status_code != 200:
            if answer.status_code in (404, 405, 501) and path != "chat/completions":
                self._refused.add(path)
            return None
        try:
            told = answer.json()
        except ValueError:
            return None
        return told if isinstance(told, dict) else None


def _read(choice: Json, chat: bool) -> NextToken:
    """Return the first token of a choice, in any of the forms that servers tell it."""
    text = str((choice.get("message") or {}).get("content") or "") if chat else str(choice.get("text") or "")
    told = choice.get("logprobs") or {}
    ended = not text and choice.get("finish_reason") == "stop"
    content = told.get("content") or told.get("tokens") or ()
    if content and isinstance(content[0], dict):  # OpenAI's chats, and llama.cpp's completions
        first = content[0]
        tops = [*first.get("top_logprobs", ()), first]
        found = {_bytes(one): float(one["logprob"]) for one in reversed(tops) if one.get("logprob") is not None}
        return NextToken(_bytes(first), ended, found)
    if content:  # OpenAI's completions, where parts of characters cannot be told apart
        top: Json = (told.get("top_logprobs") or [None])[0] or {}
        drawn = told.get("token_logprobs") or [None]
        named = {str(token): float(value) for token, value in top.items()}
        if drawn[0] is not None:
            named.setdefault(str(content[0]), float(drawn[0]))
        found = {shown: value for token, value in named.items() if (shown := _shown(token))}
        return NextToken(_shown(str(content[0])), ended, found)
    return NextToken(_shown(text), ended, {})


def _shown(text: str) -> bytes:
    if re.fullmatch(r"bytes:(\\x[0-9a-f]{2})+", text):  # so OpenAI's completions name a part of a character
        return bytes.fromhex(text[6:].replace("\\x", ""))
    return b"" if "\ufffd" in text else text.encode()


def _bytes(one: Json) -> bytes:
    given = one.get("bytes")
    return bytes(given) if given else str(one.get("token") or "").encode()
