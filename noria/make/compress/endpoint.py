"""Any endpoint that speaks OpenAI's API, as far as it lets be seen what its model reads and how likely it finds what follows.

They differ in what they show of a conversation and of the next token:

    Noria's     ids by /v1/tokenize; the likeliest tokens with their bytes; prompts as ids
    vLLM's      ids by `return_token_ids` or /tokenize; the likeliest tokens by number; prompts as ids
    llama.cpp's the text by /apply-template, its ids by /tokenize; the likeliest tokens by number; prompts as ids
    Ollama's    the text by `_debug_render_only`; of chats the likeliest tokens with their bytes, of prompts none
    others'     how many tokens were read, in `usage`

What one refuses is asked no more.
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
_FEWER: tuple[tuple[int, Json], ...] = ((TOP, {"return_tokens_as_token_ids": True}), (TOP, {}), (5, {}), (1, {}))
"""How many are asked for where more are refused, and in which form: vLLM tells numbers where it is asked to."""
_NUMBER = "token_id:"
"""What vLLM puts before the number of a token."""
LogProbs = Mapping[int | bytes, float]
"""Tokens, by number where that is told, else by their bytes -> natural logarithms of their probabilities."""


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
    logprobs: LogProbs
    number: int | None = None
    """Where it is told."""

    @property
    def key(self) -> int | bytes:
        """Return what stands for it in `logprobs`."""
        return self.token if self.number is None else self.number


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
        read = self._read("chat/completions", body)
        if read.ids is not None:
            return read
        told = self._first(
            ("tokenize", {**body, "add_generation_prompt": True}),
            ("../tokenize", {**body, "add_generation_prompt": True}),
        )
        if ids := _ids(told, "tokens"):
            return Rendered(read.count, ids)
        text = (self._first(("../apply-template", body)) or {}).get("prompt")
        if not isinstance(text, str):
            drawn = self._first(("chat/completions", {**body, "max_tokens": 1, "_debug_render_only": True})) or {}
            text = (drawn.get("_debug_info") or {}).get("rendered_template")
            return Rendered(read.count, None, text if isinstance(text, str) else None)
        ids = _ids(
            self._first(("../tokenize", {"content": text, "add_special": True, "parse_special": True})), "tokens"
        )
        return Rendered(read.count, ids if read.count is None or (ids and len(ids) == read.count) else None, text)

    def read(self, text: str) -> Rendered:
        """Return what a bare prompt is read as."""
        read = self._read("completions", {"prompt": text})
        if read.ids is not None:
            return read
        told = self._first(("../tokenize", {"content": text, "prompt": text, "add_special": True}))
        ids = _ids(told, "tokens")
        return Rendered(read.count, ids if read.count is None or (ids and len(ids) == read.count) else None)

    def takes_ids(self, ids: Sequence[int]) -> bool:
        """Return whether a prompt may be given as ids, and counts as so many tokens."""
        return self._read("completions", {"prompt": list(ids)}).count == len(ids)

    def next_token(
        self, prompt: Json, *, temperature: float = 0.0, seed: int = 0, logprobs: bool = True
    ) -> NextToken | None:
        """Return the token that follows a prompt, {"prompt": ids or text} or {"messages"}; None where it is refused."""
        chat = "messages" in prompt
        body: Json = {**prompt, "temperature": temperature, "top_p": 1, "seed": seed, "max_tokens": 1}
        path = "chat/completions" if chat else "completions"
        while logprobs and self._top:
            most, form = self._top[0]
            asked = {"logprobs": True, "top_logprobs": most} if chat else {"logprobs": most}
            if found := self._post(path, {**body, **asked, **form}, once=False):
                return _followed(found["choices"][0], chat)
            del self._top[0]
        if found := self._post(path, body):
            return _followed(found["choices"][0], chat)
        return None

    def _read(self, path: str, body: Json) -> Rendered:
        """Return how many tokens a prompt is read as, and which, where an answer tells it."""
        body = {**body, "max_tokens": 1, "temperature": 0}
        told = self._post(path, {**body, "return_token_ids": True}) or self._post(path, body) or {}
        count = (told.get("usage") or {}).get("prompt_tokens")
        ids = _ids(told, "prompt_token_ids") or _ids((told.get("choices") or [None])[0], "prompt_token_ids")
        return Rendered(count if isinstance(count, int) and count > 0 else None, ids)

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


def _ids(answer: Json | None, name: str) -> tuple[int, ...] | None:
    """Return a list of ids in an answer; None where there is none."""
    found = (answer or {}).get(name)
    return tuple(found) if isinstance(found, list) and found and all(isinstance(one, int) for one in found) else None


def _followed(choice: Json, chat: bool) -> NextToken:
    """Return the first token of a choice, in any of the forms that servers tell it."""
    text = str((choice.get("message") or {}).get("content") or "") if chat else str(choice.get("text") or "")
    told = choice.get("logprobs") or {}
    ended = not text and choice.get("finish_reason") == "stop"
    content = told.get("content") or told.get("tokens") or ()
    if content and isinstance(content[0], dict):  # OpenAI's chats, and llama.cpp's completions
        first = content[0]
        tops = [*first.get("top_logprobs", ()), first]
        found = {_key(one): float(one["logprob"]) for one in reversed(tops) if one.get("logprob") is not None}
        number = _key(first)
        return NextToken(_bytes(first), ended, found, number if isinstance(number, int) else None)
    if content:  # OpenAI's completions, where parts of characters cannot be told apart
        top: Json = (told.get("top_logprobs") or [None])[0] or {}
        drawn = told.get("token_logprobs") or [None]
        named = {str(token): float(value) for token, value in top.items()}
        if drawn[0] is not None:
            named.setdefault(str(content[0]), float(drawn[0]))
        found = {shown: value for token, value in named.items() if (shown := _named(token)) != b""}
        which = _named(str(content[0]))
        if isinstance(which, int):
            return NextToken(_shown(text), ended, found, which)
        return NextToken(which, ended, found)
    return NextToken(_shown(text), ended, {})


def _named(token: str) -> int | bytes:
    """Return a token by its number where it is named so, else its bytes."""
    number = token.removeprefix(_NUMBER)
    return int(number) if token.startswith(_NUMBER) and number.isdecimal() else _shown(token)


def _key(one: Json) -> int | bytes:
    number = one.get("id")
    named = _named(str(one.get("token") or ""))
    if isinstance(number, int):
        return number
    return named if isinstance(named, int) else _bytes(one)


def _shown(text: str) -> bytes:
    if re.fullmatch(r"bytes:(\\x[0-9a-f]{2})+", text):  # so OpenAI's completions name a part of a character
        return bytes.fromhex(text[6:].replace("\\x", ""))
    return b"" if "\ufffd" in text else text.encode()


def _bytes(one: Json) -> bytes:
    given = one.get("bytes")
    return bytes(given) if given else str(one.get("token") or "").encode()
