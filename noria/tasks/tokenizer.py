"""The one way a tokenizer is read and written: it never fills a text up nor cuts it, whatever its file says.

Most sentence-transformers folders hold a `tokenizer.json` that fills every text up to 128 tokens and cuts it there. Whoever
encodes decides both, so they are taken off wherever a tokenizer is read, and none is ever written with them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from noria.core.errors import FolderError
from noria.core.messages import message

FILE = "tokenizer.json"


def read_tokenizer(folder: str | Path) -> Tokenizer:
    """Return the tokenizer of a model or tokenizer folder, without padding and truncation.

    Raises:
        FolderError: `tokenizer.json` is missing or cannot be read.
    """
    file = Path(folder) / FILE
    if not file.is_file():
        raise FolderError(
            message("tasks.holds", folder=folder, file=FILE), hint=message("tasks.model_tokenizer_folder")
        )
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises a bare Exception for every fault of the file
        raise FolderError(message("tasks.cannot_read", file=file), found=str(error)) from None
    return bare(tokenizer)


def tokenizer_of(document: Mapping[str, Any] | str) -> Tokenizer:
    """Return the tokenizer that the content of a `tokenizer.json` describes, without padding and truncation."""
    text = document if isinstance(document, str) else json.dumps(document, ensure_ascii=False)
    return bare(Tokenizer.from_str(text))


def document_of(tokenizer: Tokenizer) -> dict[str, Any]:
    """Return the content of the `tokenizer.json` that a tokenizer would be written as."""
    return dict(json.loads(bare(tokenizer).to_str()))


def write_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write a tokenizer as a folder's `tokenizer.json`, without padding and truncation."""
    bare(tokenizer).save(str(folder / FILE), pretty=False)


def bare(tokenizer: Tokenizer) -> Tokenizer:
    """Take padding and truncation off a tokenizer, in place, and return it."""
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def required(tokenizer: Tokenizer | None) -> Tokenizer:
    """Return the tokenizer of a model that reads texts.

    Raises:
        FolderError: there is none, as for a model over rows of numbers.
    """
    if tokenizer is None:
        raise FolderError(message("tasks.model_tokenizer_task"), hint=message("tasks.folder_should", file=FILE))
    return tokenizer
