"""A GGUF's vocabulary -> the tokenizer of its model, its special tokens and its chat template.

Two kinds of vocabulary are known: byte-level BPE ("gpt2"), whose text is first cut by a pattern that the file names (qwen2,
llama-bpe, smollm ...), and SentencePiece BPE ("llama"). The patterns are those of llama.cpp (src/llama-vocab.cpp), which are
those of the models' own tokenizers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from noria.core.errors import FolderError
from noria.core.messages import message

from .reader import Gguf

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from tokenizers.pre_tokenizers import PreTokenizer

NORMAL, UNKNOWN, CONTROL, USER, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
"""Kinds of token in the format."""
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_SHORT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_WORDS = r"|[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_BEFORE = r"[^\r\n\p{L}\p{N}]?"
_SLASH_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_CASED = tuple(rf"{_BEFORE}{_UPPER}{a}{_LOWER}{b}" for a, b in (("*", "+"), ("+", "*")))
_PUNCTUATION = r"[\p{P}\$\+<=>\^~\|`]+"
CUTS: dict[str, tuple[str, ...]] = {
    "gpt-2": (_GPT2,),
    "default": (_PUNCTUATION, _GPT2, r"\p{N}+", r"[0-9][0-9][0-9]"),
    "smollm": (r"\p{N}", _GPT2),
    "llama-bpe": (rf"{_SHORT}{_WORDS}|\p{{N}}{{1,3}}{_REST}",),
    "qwen2": (rf"{_SHORT}{_WORDS}|\p{{N}}{_REST}",),
    "qwen35": (
        rf"{_SHORT}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+",
    ),
    "tekken": ("|".join(_CASED) + rf"|\p{{N}}{_SLASH_REST}",),
    "gpt-4o": ("|".join(f"{one}{_SHORT}?" for one in _CASED) + rf"|\p{{N}}{{1,3}}{_SLASH_REST}",),
    "deepseek-v3": (
        r"\p{N}{1,3}",
        r"[一-龥぀-ゟ゠-ヿ]+",
        r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
        r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    ),
    "falcon": (_PUNCTUATION, _GPT2, r"[0-9][0-9][0-9]"),
}
"""Name of a cut -> patterns, each applied to the pieces of the one before it."""
_LIKE = {
    "llama-bpe": "llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 dbrx smaug-bpe chatglm-bpe glm4",
    "qwen2": "stablelm2 hunyuan deepseek-r1-qwen kormo megrez",
    "smollm": "starcoder refact command-r codeshell exaone minerva-7b",
    "gpt-2": "phi-2 mpt olmo gigachat roberta-bpe trillion granite-docling",
    "gpt-4o": "llama4",
}
_SAME = {other: name for name, others in _LIKE.items() for other in others.split()}
_WHOLE = frozenset({"llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "lfm2", "tekken"})
"""Cuts whose pieces are looked up whole before merges are tried."""
_BEGINS = frozenset({"llama-bpe", "llama3", "llama-v3", "falcon3", "tekken", "chatglm-bpe"})
"""Cuts whose texts begin with the begin token where the file does not say."""
_COMPOSED = frozenset({"qwen2", "qwen35"})
"""Cuts before which a model's own tokenizer composes characters (Unicode NFC)."""
_ENDS = (
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|end▁of▁sentence|>",
    "<｜end▁of▁sentence｜>",
)
"""Control tokens that end what a model says, whatever else a file names: llama.cpp goes by the same names."""
_EVERYTHING = (
    "Hello, World's don'T we'LL 12345 3.14 x2y \r\n\n  tab\t  end  \n camelCaseHTTPServer 你好，世界！第12345号 東京ひらがなカタカナ 한국어 "
    "😀👍🏽 café naïve e\u0301 हिन्दी ελληνικά Русский ABCdef __init__(self): # $%^& != a/b/c\n/ ... '' \"q\"   "
)
"""A text by which cuts are told apart."""
_FILLER = re.compile(r"\[PAD\d+\]")
"""Rows of the table of embeddings that stand for no token."""
_ROLES = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}


def tokenizer_from(opened: Gguf) -> Tokenizer:
    """Return the tokenizer of a file's model.

    Raises:
        FolderError: the file has no vocabulary, its parts do not fit each other, or it is of a kind not known here.
    """
    facts = opened.facts
    model, tokens = facts.get("tokenizer.ggml.model"), facts.get("tokenizer.ggml.tokens")
    if not isinstance(tokens, list) or not tokens or not all(isinstance(one, str) for one in tokens):
        raise FolderError(message("infer.gguf_vocabulary", file=opened.file))
    kinds = facts.get("tokenizer.ggml.token_type") or [NORMAL] * len(tokens)
    if len(kinds) != len(tokens):
        raise FolderError(
            message("infer.gguf_fit", file=opened.file), found=f"{len(kinds)} token_type", allowed=f"{len(tokens)}"
        )
    if model == "gpt2":
        tokenizer = _bytewise(opened, tokens, kinds)
    elif model == "llama":
        tokenizer = _sentencepiece(opened, tokens, kinds)
    else:
        raise FolderError(message("infer.gguf_tokenizer", file=opened.file), found=model, allowed="gpt2, llama")
    _add_specials(tokenizer, tokens, kinds)
    _put_around(tokenizer, opened, tokens)
    return tokenizer


def cut_named(tokenizer: Tokenizer) -> str | None:
    """Return llama.cpp's name for what a byte-level tokenizer cuts texts by; None where none gives the same pieces."""
    own = tokenizer.pre_tokenizer
    if own is None:
        return None
    pieces = [piece for piece, _ in own.pre_tokenize_str(_EVERYTHING)]
    whole = bool(getattr(tokenizer.model, "ignore_merges", False))
    for name, cuts in CUTS.items():
        same = [piece for piece, _ in _cutter(cuts).pre_tokenize_str(_EVERYTHING)] == pieces
        if same and whole == (name in _WHOLE):
            return name
    return None


def special_ids(opened: Gguf) -> dict[str, Any]:
    """Return bos_token_id, eos_token_id (several as a list), pad_token_id and unk_token_id, where the file has them."""
    facts, tokens = opened.facts, opened.facts.get("tokenizer.ggml.tokens") or []
    kinds = facts.get("tokenizer.ggml.token_type") or []
    found: dict[str, Any] = {}
    for role, name in _ROLES.items():
        number = facts.get(f"tokenizer.ggml.{name}_token_id")
        if isinstance(number, int) and 0 <= number < len(tokens):
            found[f"{role}_token_id"] = number
    ends = [found.get("eos_token_id"), *(facts.get(f"tokenizer.ggml.{one}_token_id") for one in ("eot", "eom"))]
    control = {
        token: number for number, (token, kind) in enumerate(zip(tokens, kinds, strict=False)) if kind == CONTROL
    }
    ends += [control.get(name) for name in _ENDS]
    known = list(dict.fromkeys(one for one in ends if isinstance(one, int) and 0 <= one < len(tokens)))
    if known:
        found["eos_token_id"] = known if len(known) > 1 else known[0]
    return found


def tokenizer_settings(opened: Gguf) -> dict[str, Any]:
    """Return the `tokenizer_config.json` of a file's model: special tokens by name, and its chat template."""
    tokens, ids = opened.facts.get("tokenizer.ggml.tokens") or [], special_ids(opened)
    settings: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": opened.own("context_length"),
    }
    for role in _ROLES:
        number = ids.get(f"{role}_token_id")
        if number is not None:
            settings[f"{role}_token"] = tokens[number[0] if isinstance(number, list) else number]
    named = {
        name.removeprefix("tokenizer.chat_template."): text
        for name, text in opened.facts.items()
        if name.startswith("tokenizer.chat_template.") and isinstance(text, str)
    }
    default = opened.facts.get("tokenizer.chat_template")
    if isinstance(default, str) and default:
        several = [{"name": name, "template": text} for name, text in {"default": default, **named}.items()]
        settings["chat_template"] = several if named else default
    return settings


def _vocabulary(tokens: Sequence[str], kinds: Sequence[int]) -> dict[str, int]:
    """Return token -> id, of tokens of one name the first, without rows that stand for none."""
    known: dict[str, int] = {}
    for number, (token, kind) in enumerate(zip(tokens, kinds, strict=True)):
        if not (kind == UNUSED and _FILLER.fullmatch(token)):
            known.setdefault(token, number)
    return known


def _bytewise(opened: Gguf, tokens: Sequence[str], kinds: Sequence[int]) -> Tokenizer:
    from tokenizers import Tokenizer, decoders, models, normalizers

    pre = str(opened.facts.get("tokenizer.ggml.pre") or "default")
    cuts = CUTS.get(_SAME.get(pre, pre))
    if cuts is None:
        raise FolderError(
            message("infer.gguf_cut", file=opened.file), found=pre, allowed=", ".join(sorted({*CUTS, *_SAME}))
        )
    known = _vocabulary(tokens, kinds)
    merges = [tuple(one.split(" ", 1)) for one in opened.facts.get("tokenizer.ggml.merges") or []]
    fitting = [one for one in merges if len(one) == 2 and {*one, "".join(one)} <= known.keys()]
    if len(fitting) < len(merges):
        raise FolderError(
            message("infer.gguf_fit", file=opened.file),
            found=message("infer.gguf_merges", count=len(merges) - len(fitting)),
        )
    tokenizer = Tokenizer(models.BPE(vocab=known, merges=fitting, ignore_merges=pre in _WHOLE))
    if pre in _COMPOSED:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = _cutter(cuts)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _cutter(cuts: Sequence[str]) -> PreTokenizer:
    from tokenizers import Regex, pre_tokenizers

    split = [pre_tokenizers.Split(Regex(one), "isolated") for one in cuts]
    last = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([*split, last])


def _sentencepiece(opened: Gguf, tokens: Sequence[str], kinds: Sequence[int]) -> Tokenizer:
    from tokenizers import Tokenizer, decoders, models, normalizers

    known = _vocabulary(tokens, kinds)
    scores = opened.facts.get("tokenizer.ggml.scores") or []
    if len(scores) != len(tokens):
        raise FolderError(
            message("infer.gguf_fit", file=opened.file), found=f"{len(scores)} scores", allowed=f"{len(tokens)}"
        )
    unknown = opened.facts.get("tokenizer.ggml.unknown_token_id")
    tokenizer = Tokenizer(
        models.BPE(
            vocab=known,
            merges=_merges(tokens, kinds, scores, known),
            unk_token=tokens[unknown] if isinstance(unknown, int) and 0 <= unknown < len(tokens) else None,
            fuse_unk=True,
            byte_fallback=BYTE in kinds,
        )
    )
    prefixed = opened.facts.get("tokenizer.ggml.add_space_prefix", True)
    spaced = [normalizers.Prepend("▁")] if prefixed else []
    tokenizer.normalizer = normalizers.Sequence([*spaced, normalizers.Replace(" ", "▁")])
    stripped = [decoders.Strip(" ", 1, 0)] if prefixed else []
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *stripped]
    )
    return tokenizer


def _merges(
    tokens: Sequence[str], kinds: Sequence[int], scores: Sequence[float], known: dict[str, int]
) -> list[tuple[str, str]]:
    """Return the merges that SentencePiece's scores stand for: of all pairs that make a piece, those of better pieces first."""
    pieces = {token for token, number in known.items() if kinds[number] in (NORMAL, USER, UNUSED)}
    found = []
    for token in pieces:
        for place in range(1, len(token)):
            left, right = token[:place], token[place:]
            if left in pieces and right in pieces:
                found.append((-scores[known[token]], known[token], known[left], known[right], (left, right)))
    return [pair for *_, pair in sorted(found)]


def _add_specials(tokenizer: Tokenizer, tokens: Sequence[str], kinds: Sequence[int]) -> None:
    from tokenizers import AddedToken

    for kind, special in ((CONTROL, True), (USER, False)):
        named = [token for token, own in zip(tokens, kinds, strict=True) if own == kind and token]
        added = [AddedToken(token, special=special, normalized=False) for token in named]
        (tokenizer.add_special_tokens if special else tokenizer.add_tokens)(added)


def _put_around(tokenizer: Tokenizer, opened: Gguf, tokens: Sequence[str]) -> None:
    """Let a text begin and end with the tokens that the file says, where it does."""
    from tokenizers import processors

    facts, ids = opened.facts, special_ids(opened)
    byte_level = facts.get("tokenizer.ggml.model") == "gpt2"
    default = facts.get("tokenizer.ggml.pre") in _BEGINS if byte_level else True
    wanted = {
        "bos": facts.get("tokenizer.ggml.add_bos_token", default),
        "eos": facts.get("tokenizer.ggml.add_eos_token", False),
    }
    used: list[tuple[str, int]] = []
    for role in wanted:
        number = ids.get(f"{role}_token_id")
        if wanted[role] and number is not None:
            used.append((role, number[0] if isinstance(number, list) else number))
    if not used:
        return
    named = {role: tokens[one] for role, one in used}
    parts = [named.get("bos"), "$A", named.get("eos")]
    pair = [*parts, named.get("bos"), "$B:1", named.get("eos")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=[one for one in parts if one],
        pair=[one for one in pair if one],
        special_tokens=[(named[role], one) for role, one in used],
    )
