"""Tokenizers in the files of older forms, converted: `vocab.txt`, `vocab.json` and `merges.txt`, SentencePiece.

transformers knows how each family reads its own files, so the conversion is its own. What it cannot convert is refused by
the file's name, with the way to a `tokenizer.json`.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from noria.core.errors import FolderError
from noria.core.messages import message
from noria.tasks.tokenizer import FILE, tokenizer_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SETS = (
    ("vocab.json", "merges.txt"),
    ("vocab.txt",),
    ("sentencepiece.bpe.model",),
    ("spiece.model",),
    ("spm.model",),
    ("tokenizer.model",),
    ("source.spm", "target.spm"),
    ("bpe.codes",),
    ("tekken.json",),
    ("vocab.json",),
)
"""Files that make up a tokenizer of an older form, the surest first."""
_WAY = (
    f"make a {FILE}: where its own library is installed, "
    'transformers.AutoTokenizer.from_pretrained("FOLDER").save_pretrained("FOLDER")'
)


def files(folder: Path) -> tuple[str, ...]:
    """Return the names of the files of an older form that a folder's tokenizer is in; none where there is none."""
    whole = (names for names in SETS if all((folder / name).is_file() for name in names))
    return next(whole, ())


def converted(folder: Path, names: tuple[str, ...]) -> Tokenizer:
    """Return the tokenizer that transformers makes of a folder's files of an older form.

    Raises:
        FolderError: they cannot be converted; names them, and the way.
    """
    from transformers import AutoTokenizer

    from noria.make.quiet import quiet_transformers

    told = " and ".join(names)
    if names[0].endswith((".model", ".spm")) and find_spec("sentencepiece") is None:
        raise FolderError(
            message("make.holds_tokenizer", folder=folder, told=told),
            hint=message("make.pip_install", way=_WAY),
        )
    try:
        with quiet_transformers():
            made = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        # Read anew from its own text: one that runs Python inside, as those that cut Chinese words do, has none.
        return tokenizer_of(made.backend_tokenizer.to_str())
    except Exception as error:  # transformers, tokenizers and the libraries of older forms raise many kinds
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise FolderError(message("make.tokenizer_cannot", folder=folder, told=told), found=first, hint=_WAY) from error
