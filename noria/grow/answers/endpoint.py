"""An assistant behind an OpenAI-compatible API: one question, one answer, tried again where the server is busy.

    endpoint = Endpoint(assistant_of("deepseek=https://api.deepseek.com/v1,model=deepseek-chat"), settings)
    reply = await endpoint.ask("哪个大模型最好？", draw=0)

The key comes from an environment variable, goes to that address alone and is cut out of whatever an error repeats. Nothing else on
the network is asked.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from time import monotonic, time
from typing import Any, Literal

import httpx

from noria.core.errors import SettingError, shorten
from noria.core.messages import message

from .settings import AskSettings

Status = Literal["answered", "refused", "empty", "failed"]
LONGEST_WAIT = 60.0
"""Seconds between two tries, unless the server itself names more."""
_BUSY = (408, 409, 425, 429)
_HOST = {"localhost", "127.0.0.1", "::1"}
_FILTERED = re.compile(
    r"content.?(?:filter|policy|management)|data_?inspection|sensitive|moderation|敏感|违规|不合规|审核", re.I
)
"""What servers call a question or an answer that they will not have; OpenAI, Azure, DashScope, Zhipu and others."""
_DECLINED = re.compile(
    r"(?:i['’]?m (?:very )?sorry|sorry|i apologi[sz]e)?[,，.。!！]?\s*(?:but )?(?:i|we) (?:can(?:no|['’])t|am (?:not able|unable)|won['’]t)"
    r"|as an ai[^.。]{0,60}(?:can(?:no|['’])t|unable|not able|do(?:n['’]t| not) (?:have|offer|give))"
    r"|(?:非常|很)?(?:抱歉|对不起)[，,。！!]?.{0,20}(?:无法|不能|没法|不便)|作为.{0,20}(?:AI|人工智能|语言模型)[^。]{0,30}(?:无法|不能|不便)"
    r"|我(?:无法|不能)(?:回答|提供|讨论|推荐)|换个(?:话题|问题)",
    re.I,
)
"""How an answer begins that declines the question: such an answer counts apart only where it names no brand."""


class Stopped(Exception):  # noqa: N818 - what became of an assistant, caught where it is asked
    """No further question makes sense: the key is wrong, or there is no such model or address."""


@dataclass(frozen=True)
class Assistant:
    """Whom questions are put to."""

    name: str
    url: str
    """Up to /v1."""
    model: str = ""
    """What the server calls it."""
    key_variable: str = ""
    """Environment variable that holds the key; empty where none is needed."""


@dataclass(frozen=True)
class Reply:
    """What came of one question."""

    status: Status
    text: str = ""
    finish: str = ""
    """stop, length, content_filter ..., as the server says."""
    model: str = ""
    """Which model the server says has answered."""
    tokens: int | None = None
    """Of the answer, as the server counts them."""
    prompt_tokens: int | None = None
    tries: int = 1
    seconds: float = 0.0
    """Of the last try."""
    problem: str = ""
    """Why there is no answer."""


def assistant_of(given: str, environ: Mapping[str, str] = os.environ) -> Assistant:
    """Return the assistant that NAME=URL[,model=MODEL][,key=VARIABLE] names.

    Raises:
        SettingError: no such form, no web address, or a variable that is not set.

    >>> assistant_of("mine=http://127.0.0.1:8000/v1/,model=bot", {})
    Assistant(name='mine', url='http://127.0.0.1:8000/v1', model='bot', key_variable='')
    """
    name, _, rest = (part.strip() for part in given.partition("="))
    url, *more = (part.strip() for part in rest.split(","))
    facts = dict(one.partition("=")[::2] for one in more)
    form = "NAME=URL[,model=MODEL][,key=VARIABLE]"
    if not name or set(facts) - {"model", "key"} or not all(facts.values()):
        raise SettingError(message("answers.assistant_form"), found=given, allowed=form)
    with suppress(httpx.InvalidURL):
        parts = httpx.URL(url)
        if parts.scheme in ("http", "https") and parts.host and not parts.userinfo:
            default = re.sub(r"\W+", "_", name).upper() + "_API_KEY"
            variable = facts.get("key", default if environ.get(default) else "")
            if variable and not environ.get(variable):
                raise SettingError(
                    message("answers.no_key", name=name), found=variable, hint=message("answers.set_key", name=variable)
                )
            return Assistant(name, url.rstrip("/").removesuffix("/chat/completions"), facts.get("model", ""), variable)
    raise SettingError(message("answers.assistant_form"), found=url or given, allowed=form)


class Endpoint:
    """One assistant while it is asked. Belongs to one event loop; `close` ends its connections.

    Args:
        assistant: whom.
        settings: with what, and how patiently.
        sleep: waits between tries.
        spread: a number from 0 to 1, which parts calls that failed together.
        environ: where the key is.
    """

    def __init__(
        self,
        assistant: Assistant,
        settings: AskSettings,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        spread: Callable[[], float] = random.random,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self.assistant, self._settings, self._sleep, self._spread = assistant, settings, sleep, spread
        self._key = environ.get(assistant.key_variable, "") if assistant.key_variable else ""
        self._client = httpx.AsyncClient(
            headers={"authorization": f"Bearer {self._key}"} if self._key else {},
            timeout=settings.timeout,
            limits=httpx.Limits(max_connections=settings.concurrency),
            # Reading the certificates takes a tenth of a second, and without TLS nobody asks for them.
            verify=assistant.url.startswith("https:"),
            # A proxy that the environment names is the user's own, and no way to this very machine.
            trust_env=httpx.URL(assistant.url).host not in _HOST,
        )

    async def close(self) -> None:
        """End the connections."""
        await self._client.aclose()

    async def only_model(self) -> str:
        """Return the one model that the server lists, for an assistant whose model was not named.

        Raises:
            SettingError: it lists several, none, or cannot be asked.
        """
        name = self.assistant.name
        try:
            reply = await self._client.get(f"{self.assistant.url}/models")
            known = [str(one["id"]) for one in reply.json()["data"]] if reply.status_code == 200 else []
            problem: object = f"HTTP {reply.status_code}" if not known else None
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            known, problem = [], self._plain(error)
        if len(known) == 1:
            return known[0]
        raise SettingError(
            message("answers.which_model", name=name),
            found=problem,
            allowed=known or None,
            hint=message("answers.name_model", name=name),
        )

    async def ask(self, question: str, draw: int) -> Reply:
        """Return the answer to a question, or why there is none.

        Raises:
            Stopped: the server will answer none: wrong key, address or model.
        """
        body: dict[str, Any] = {
            "model": self.assistant.model,
            "messages": [{"role": "user", "content": question}],
            "max_tokens": self._settings.max_tokens,
            "stream": False,
        }
        if self._settings.temperature is not None:
            body["temperature"] = self._settings.temperature
        if self._settings.seed is not None:
            body["seed"] = (self._settings.seed + draw) % 2**31
        problem, wait = "", 0.0
        for number in range(1, self._settings.tries + 1):
            if number > 1:
                await self._sleep(max(wait, min(LONGEST_WAIT, 2.0 ** (number - 2)) * (1 + self._spread())))
            begun = monotonic()
            try:
                reply = await self._client.post(f"{self.assistant.url}/chat/completions", json=body)
            except httpx.HTTPError as error:
                problem, wait = self._plain(error), 0.0
                continue
            if reply.status_code in _BUSY or reply.status_code >= 500:
                problem, wait = self._refusal(reply), _wait_of(reply)
                continue
            return self._read(reply, number, round(monotonic() - begun, 3))
        return Reply("failed", problem=problem, tries=self._settings.tries)

    def _read(self, reply: httpx.Response, number: int, seconds: float) -> Reply:
        if reply.status_code != 200:
            problem = self._refusal(reply)
            if reply.status_code in (401, 402, 403, 404, 405):
                raise Stopped(problem)
            status: Status = "refused" if _FILTERED.search(problem) else "failed"
            return Reply(status, problem=problem, tries=number, seconds=seconds)
        try:
            told = reply.json()
            choice = told["choices"][0]
            turn = choice.get("message") or {}
            text, finish = _text_of(turn.get("content")), str(choice.get("finish_reason") or "")
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            problem = message("answers.no_completion", found=shorten(reply.text))
            return Reply("failed", problem=problem, tries=number, seconds=seconds)
        usage = told.get("usage") or {}
        facts: dict[str, Any] = {"finish": finish, "model": str(told.get("model") or ""), "tries": number}
        facts |= {"tokens": usage.get("completion_tokens"), "prompt_tokens": usage.get("prompt_tokens")}
        refusal = str(turn.get("refusal") or "")
        if refusal or finish in ("content_filter", "sensitive"):
            return Reply("refused", text=text, problem=refusal or finish, seconds=seconds, **facts)
        return Reply("answered" if text.strip() else "empty", text=text, seconds=seconds, **facts)

    def _refusal(self, reply: httpx.Response) -> str:
        """Return what a server says of a call that it does not answer, without the key."""
        words = reply.text
        with suppress(ValueError, AttributeError, TypeError):
            error = reply.json().get("error")
            words = (
                error
                if isinstance(error, str)
                else f"{error.get('code') or error.get('type') or ''} {error['message']}"
            )
        return self._plain(f"HTTP {reply.status_code}: {words}")

    def _plain(self, problem: object) -> str:
        name = type(problem).__name__ + ": " if isinstance(problem, Exception) else ""
        text = " ".join(f"{name}{problem}".split()).rstrip(": ")
        return (text.replace(self._key, "***") if self._key else text)[:300]


def declined(text: str) -> bool:
    """Return whether an answer begins by declining the question."""
    return bool(_DECLINED.match(text.lstrip()[:200]))


def _text_of(content: Any) -> str:
    """Return the text of a message's content: text, or parts of which some are text."""
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return str(content or "")


def _wait_of(reply: httpx.Response) -> float:
    """Return how many seconds a server asks to wait, no more than ten minutes; 0 where it does not say."""
    asked = reply.headers.get("retry-after", "")
    with suppress(ValueError):
        return min(600.0, max(0.0, float(asked)))
    with suppress(ValueError, TypeError):
        return min(600.0, max(0.0, parsedate_to_datetime(asked).timestamp() - time()))
    return 0.0
