"""What an answer is worth, by what the user names: a Python function, a JSON schema, a match, a classifier that is served.

reward = reward_for("rewards.py:short")                   # def short(row, text): return -len(text) / 100
reward = reward_for("schema:order.json")                  # 1 where the text is JSON of that schema
reward = reward_for("match")                              # 1 where the row's `answer` stands in the text
reward = reward_for("match:^\\\\d+$")                       # 1 where the expression is found in the text
reward = reward_for("http://127.0.0.1:8000/v1#positive")  # the probability of a label under a served classifier
reward(row, "...")
"""

from __future__ import annotations

import importlib.util
import json
import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from noria.core.errors import InputError, SettingError
from noria.core.messages import message

from .json_schema import holds, unknown_keywords

Reward = Callable[[Mapping[str, Any], str], float]
"""A row and the text of an answer -> what it is worth; the more the better."""
ALLOWED = ("FILE.py:FUNCTION", "schema:FILE.json", "match", "match:EXPRESSION", "http://HOST/v1#LABEL")


def reward_for(name: str) -> Reward:
    """Return the reward of a name, with one check: what it gives must be a finite number.

    Raises:
        SettingError: no such reward.
        InputError: its file cannot be used.
    """
    given = _named(name)

    def checked(row: Mapping[str, Any], text: str) -> float:
        value = given(row, text)
        if isinstance(value, bool | int | float) and math.isfinite(value):
            return float(value)
        raise InputError(message("make.reward_no_number", name=name), found=value)

    return checked


def _named(name: str) -> Reward:
    if name == "match":
        return _matches
    kind, _, rest = name.partition(":")
    if kind == "match":
        try:
            expression = re.compile(rest)
        except re.error as error:
            raise SettingError(message("make.reward_expression"), found=f"{rest}: {error}") from None
        return lambda row, text: float(bool(expression.search(text)))
    if kind == "schema":
        return _of_schema(Path(rest))
    if kind in ("http", "https"):
        return _served(name)
    file, _, function = name.rpartition(":")
    if file.endswith(".py") and function:
        return _of_file(Path(file), function)
    raise SettingError(message("make.reward_unknown"), found=name, allowed=ALLOWED)


def _matches(row: Mapping[str, Any], text: str) -> float:
    if not isinstance(row.get("answer"), str) or not row["answer"].strip():
        raise InputError(message("make.reward_answer"), found=dict(row))
    return float(_plain(row["answer"]) in _plain(text))


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _of_schema(file: Path) -> Reward:
    try:
        schema = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(message("make.reward_file", file=file), found=str(error)) from None
    if names := unknown_keywords(schema):
        raise InputError(message("make.reward_keywords", file=file), found=", ".join(names))

    def found(row: Mapping[str, Any], text: str) -> float:
        try:
            return float(holds(schema, json.loads(text)))
        except (ValueError, RecursionError):
            return 0.0

    return found


def _of_file(file: Path, name: str) -> Reward:
    specification = importlib.util.spec_from_file_location(f"reward_{file.stem}", file)
    if specification is None or specification.loader is None or not file.is_file():
        raise InputError(message("make.reward_file", file=file), found=str(file))
    module = importlib.util.module_from_spec(specification)
    try:
        specification.loader.exec_module(module)
    except Exception as error:  # whatever the user's own file raises
        raise InputError(message("make.reward_file", file=file), found=repr(error)) from error
    function = getattr(module, name, None)
    if not callable(function):
        names = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise InputError(message("make.reward_function", file=file), found=name, allowed=names)
    return function  # type: ignore[no-any-return]


def _served(address: str) -> Reward:
    url, _, label = address.partition("#")
    if not label:
        raise SettingError(message("make.reward_label"), found=address, allowed=ALLOWED[-1])

    def found(row: Mapping[str, Any], text: str) -> float:
        import httpx

        try:
            answer = httpx.post(f"{url.rstrip('/')}/classify", json={"input": [text]}, timeout=30)
            answer.raise_for_status()
            scores = answer.json()["data"][0]["scores"]
            return float(scores[label])
        except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
            raise InputError(message("make.reward_server", url=url, label=label), found=repr(error)) from None

    return found
