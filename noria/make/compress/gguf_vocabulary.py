"""A model folder's tokenizer, special tokens and chat template, as a GGUF holds them.

What a byte-level tokenizer cuts texts by has a name in llama.cpp; it is found by trying: the cut that gives the same pieces of
a text with everything in it. A tokenizer whose cut has no name there is written all the same, for Noria's engines hand over
ids; another program that reads texts by itself would now and then cut one otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.core.errors import FolderError
from noria.core.messages import message
from noria.infer.engine import end_ids, read_config
from noria.infer.gguf.vocabulary import BYTE, CONTROL, NORMAL, UNKNOWN, UNUSED, USER, cut_named
from noria.make.tokens.tokenizer import load_tokenizer
from noria.tasks.specials import chat_template, special_id
from noria.tasks.tokenizer import document_of

if TYPE_CHECKING:
    import gguf
    from tokenizers import Tokenizer

_SPACE = "▁"
"""What SentencePiece writes for a space."""
_UNNAMED = "default"


def add_vocabulary(out: gguf.GGUFWriter, folder: Path, size: int) -> None:
    """Add tokens, merges or scores, special tokens and template of a folder to a file.

    Args:
        out: of the file.
        folder: the model folder.
        size: rows of its table of embeddings; those that stand for no token get a name that no text has.

    Raises:
        FolderError: the tokenizer is of a kind that llama.cpp has not, or larger than the table.
    """
    tokenizer = load_tokenizer(folder)
    document = document_of(tokenizer)
    model: Mapping[str, Any] = document["model"]
    vocabulary: dict[str, int] = model["vocab"] if model.get("type") == "BPE" else {}
    bytewise = "ByteLevel" in str(document.get("decoder")) or "ByteLevel" in str(document.get("pre_tokenizer"))
    if not vocabulary or not (bytewise or model.get("byte_fallback")):
        raise FolderError(
            message("make.gguf_tokenizer", folder=folder), found=model.get("type"), allowed=message("make.gguf_kinds")
        )
    added = {token["id"]: token for token in document.get("added_tokens") or []}
    highest = max([*vocabulary.values(), *added], default=-1)
    if highest >= size:
        raise FolderError(
            message("infer.other_tokenizer", folder=folder), found=highest + 1, allowed=message("infer.rows", rows=size)
        )
    tokens = [f"[PAD{number}]" for number in range(size)]
    kinds = [UNUSED] * size
    unknown = model.get("unk_token")
    for token, number in vocabulary.items():
        byte = not bytewise and len(token) == 6 and token.startswith("<0x")
        tokens[number], kinds[number] = token, BYTE if byte else UNKNOWN if token == unknown else NORMAL
    for number, token in added.items():
        if kinds[number] != UNKNOWN:
            kinds[number] = CONTROL if token["special"] else USER
        tokens[number] = token["content"]
    if bytewise:
        out.add_tokenizer_model("gpt2")
        out.add_tokenizer_pre(cut_named(tokenizer) or _UNNAMED)
        out.add_token_list(tokens)
        out.add_token_types(kinds)
        out.add_token_merges([one if isinstance(one, str) else " ".join(one) for one in model["merges"]])
    else:
        out.add_tokenizer_model("llama")
        out.add_tokenizer_pre(_UNNAMED)
        out.add_token_list(tokens)
        out.add_token_scores(_scores(model, tokens))
        out.add_token_types(kinds)
        out.add_add_space_prefix(tokenizer.encode("a", add_special_tokens=False).tokens[:1] != ["a"])
    _add_specials(out, folder, tokenizer)


def _scores(model: Mapping[str, Any], tokens: list[str]) -> list[float]:
    """Return a score for each token, by which SentencePiece merges in the order of the merges."""
    ranks: dict[str, int] = {}
    for rank, merge in enumerate(model["merges"]):
        left, right = merge.split(" ", 1) if isinstance(merge, str) else merge
        ranks.setdefault(left + right, rank)
    return [-float(ranks.get(token, len(ranks))) for token in tokens]


def _add_specials(out: gguf.GGUFWriter, folder: Path, tokenizer: Tokenizer) -> None:
    number = {role: special_id(folder, tokenizer, role) for role in ("bos", "eos", "pad", "unk")}
    for role, add in (
        ("bos", out.add_bos_token_id),
        ("eos", out.add_eos_token_id),
        ("pad", out.add_pad_token_id),
        ("unk", out.add_unk_token_id),
    ):
        if (found := number[role]) is not None:
            add(found)
    known = end_ids(read_config(folder)) - {number["eos"]}
    others = sorted(one for one in known if tokenizer.id_to_token(one) is not None)
    if others:
        out.add_eot_token_id(others[0])
    whole, bare = (tokenizer.encode("a", add_special_tokens=added).ids for added in (True, False))
    out.add_add_bos_token(bool(whole) and whole[0] == number["bos"] != bare[0])
    out.add_add_eos_token(bool(whole) and whole[-1] == number["eos"] != bare[-1])
    if template := chat_template(folder):
        out.add_chat_template(template)
