"""What a model folder says of its special tokens and its chat template, in whichever of its files it says it.

Tools write them in different places: tokenizer_config.json, special_tokens_map.json, config.json, generation_config.json,
tokenizer.json itself, chat_template.jinja, chat_template.json, or a template a name in additional_chat_templates/.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from noria.core.errors import FolderError
from noria.core.messages import message

from .encode import end_of

PADS = ("<|pad|>", "<pad>", "[PAD]", "<|padding|>", "<|finetune_right_pad_id|>", "<|endoftext|>")
"""Tokens that fill short texts up, by the names that tokenizers give them."""


def special_name(folder: Path, tokenizer: Tokenizer, role: str) -> str:
    """Return the text of a special token (role bos, eos or pad); empty where the folder names none that it knows.

    Raises:
        FolderError: a file of the folder is no JSON.
    """
    number = special_id(folder, tokenizer, role)
    return "" if number is None else str(tokenizer.id_to_token(number))


def special_id(folder: Path, tokenizer: Tokenizer, role: str) -> int | None:
    """Return the id of a special token (role bos, eos or pad); None where the folder names none that its tokenizer knows.

    Raises:
        FolderError: a file of the folder is no JSON.
    """
    for given in _given(folder, role):
        number = tokenizer.token_to_id(given) if isinstance(given, str) else given
        if number is not None and tokenizer.id_to_token(number) is not None:
            return int(number)
    return None


def pad_id(folder: Path, tokenizer: Tokenizer) -> int:
    """Return the id that fills short texts up: the folder's, else one of a usual name, else the end of a text; 0 for none."""
    named = special_id(folder, tokenizer, "pad")
    if named is not None:
        return named
    usual = (tokenizer.token_to_id(name) for name in PADS)
    found = next((number for number in usual if number is not None), None)
    if found is None:
        found = special_id(folder, tokenizer, "eos")
    if found is None:
        found = end_of(tokenizer)
    return found or 0


def chat_template(folder: Path) -> str:
    """Return the chat template of a folder, Jinja; empty where it has none.

    Raises:
        FolderError: a file of the folder is no JSON.
    """
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8-sig")
    for name in ("chat_template.json", "tokenizer_config.json", "processor_config.json"):
        given = read_json(folder / name).get("chat_template")
        if isinstance(given, list):  # several, by name
            by_name = {one.get("name"): one.get("template") for one in given if isinstance(one, dict)}
            given = by_name.get("default") or next(iter(by_name.values()), None)
        if isinstance(given, dict):
            given = given.get("default") or next(iter(given.values()), None)
        if isinstance(given, str) and given:
            return given
    others = sorted((folder / "additional_chat_templates").glob("*.jinja"))
    chosen = next((one for one in others if one.stem == "default"), None)
    return chosen.read_text(encoding="utf-8-sig") if chosen else ""


def read_json(file: Path) -> dict[str, Any]:
    """Return the object in a JSON file; an empty one where there is no such file or it holds something else.

    Raises:
        FolderError: the file is no JSON.
    """
    try:
        known = json.loads(file.read_text(encoding="utf-8-sig")) if file.is_file() else {}
    except ValueError as error:
        raise FolderError(message("tasks.cannot_read", file=file), found=str(error)) from None
    return known if isinstance(known, dict) else {}


def _given(folder: Path, role: str) -> Iterator[str | int]:
    """Yield what the files of a folder call a special token, names and ids, the likeliest first."""
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        given = read_json(folder / name).get(f"{role}_token")
        if isinstance(given, dict):
            given = given.get("content")
        if isinstance(given, str) and given:
            yield given
    config = read_json(folder / "config.json")
    text = config.get("text_config")
    for document in (config, text if isinstance(text, dict) else {}, read_json(folder / "generation_config.json")):
        given = document.get(f"{role}_token_id")
        for number in given if isinstance(given, list) else [given]:
            if isinstance(number, int) and number >= 0:
                yield number
    if role == "pad":
        padding = read_json(folder / "tokenizer.json").get("padding")
        if isinstance(padding, dict) and isinstance(padding.get("pad_token"), str):
            yield padding["pad_token"]
