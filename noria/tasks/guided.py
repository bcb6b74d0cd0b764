"""Held to JSON: which tokens may come next, so that what a causal model writes is JSON of a given schema.

    guides = Guides(tokenizer, ends=engine.ends)
    guide = guides.open('{"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}')
    scores[~guide.allowed(len(scores))] = -inf; guide.take(drawn)

The grammar and its masks are llguidance's (https://github.com/guidance-ai/llguidance). The model's chances are kept among the
tokens that are allowed; JSON without needless blanks is written, so that a small model cannot lose itself in them.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from noria.core.errors import InputError, SettingError
from noria.core.messages import message

LONGEST = 64 * 1024
"""Characters of a schema."""


class Guide:
    """One text that is held to a schema while it is written."""

    def __init__(self, matcher: Any) -> None:
        self._matcher = matcher

    def allowed(self, size: int) -> np.ndarray:
        """Return which of `size` tokens may come next, bool [size]; once the JSON is whole only those that end the text."""
        bits = np.unpackbits(np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8), bitorder="little")
        mask = np.zeros(size, dtype=bool)
        mask[: min(size, len(bits))] = bits[:size]
        return mask

    def take(self, token: int) -> None:
        """Note the token that was drawn.

        Raises:
            InputError: it was none of those allowed.
        """
        if not self._matcher.consume_token(token):
            raise InputError(message("tasks.text_left"))

    @property
    def whole(self) -> bool:
        """Return whether nothing more can follow."""
        return bool(self._matcher.is_stopped())


class Guides:
    """Makes guides for one tokenizer.

    Args:
        tokenizer: the model's.
        ends: tokens that end a text; one of them must be there, for JSON has to end.
    """

    def __init__(self, tokenizer: Tokenizer, ends: Collection[int]) -> None:
        self._tokenizer, self._ends = tokenizer, sorted(ends)
        self._known: Any = None

    def open(self, schema: str) -> Guide:
        """Return a guide for a JSON schema, or for a grammar in llguidance's Lark, which begins with a rule.

        Raises:
            InputError: the schema asks for what cannot be held to.
            SettingError: the model's tokenizer cannot write JSON byte by byte, or the model has no token that ends a text.
        """
        import llguidance

        made = llguidance.LLMatcher(self._words(), _grammar(schema), log_level=0)
        if made.is_error():
            raise InputError(message("tasks.json_schema_cannot"), found=_first(made.get_error()))
        return Guide(made)

    def _words(self) -> Any:
        """Return the tokenizer as llguidance knows it, made once: for large vocabularies it takes a second."""
        if self._known is None:
            import llguidance

            end = self._ends or self._unused()
            try:
                self._known = llguidance.LLTokenizer(
                    self._tokenizer.to_str(), n_vocab=self._tokenizer.get_vocab_size(), eos_token=end
                )
            except Exception as error:  # the library raises several kinds for tokenizers that it cannot read
                raise SettingError(message("tasks.model_tokenizer"), found=_first(str(error))) from error
        return self._known

    def _unused(self) -> list[int]:
        """Return a special token to stand for the end of a model that has none: JSON that is whole ends by itself."""
        special = [number for number, token in self._tokenizer.get_added_tokens_decoder().items() if token.special]
        if not special:
            raise SettingError(message("tasks.model_token"))
        return special[:1]


def check_schema(schema: str) -> None:
    """Check that texts can be held to a JSON schema.

    Raises:
        InputError: they cannot: it is no schema, too long, or asks for what the grammar does not know.
    """
    import llguidance

    if len(schema) > LONGEST:
        raise InputError(
            message("tasks.json_schema"),
            found=message("tasks.characters", schema=len(schema)),
            allowed=message("tasks.up", longest=LONGEST),
        )
    wrong, told = llguidance.LLMatcher.validate_grammar_with_warnings(_grammar(schema))
    if wrong:
        raise InputError(message("tasks.json_schema_cannot"), found=_first(told[0]))


def _grammar(schema: str) -> str:
    import llguidance

    if not schema.lstrip().startswith("{"):
        return str(llguidance.LLMatcher.grammar_from_lark(schema))
    try:
        return str(llguidance.LLMatcher.grammar_from_json_schema(schema, overrides={"whitespace_flexible": False}))
    except ValueError as error:
        raise InputError(message("tasks.json_schema_2"), found=_first(str(error))) from None


def _first(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else "no reason told"
