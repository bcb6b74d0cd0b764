"""Chat templates: the Jinja of Hugging Face tokenizers, in a sandbox, and which characters of its text the assistant said."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import date
from functools import lru_cache
from typing import Any

from noria.core.errors import InputError
from noria.core.messages import message

Messages = Sequence[dict[str, Any]]
Spans = list[tuple[int, int]]
_OPENED, _CLOSED = "\ufdd0", "\ufdd1"
"""Stand round what a template marks as generated until its text is whole; no text may hold them (Unicode, noncharacters)."""
_FAULTS = (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError, MemoryError)
"""What a template's own mistakes raise."""


class Template:
    """A template with the begin and end tokens that it may name.

    Args:
        text: Jinja.
        begin, end: what it calls bos_token and eos_token.

    Raises:
        InputError: it is not Jinja.
    """

    def __init__(self, text: str, begin: str, end: str) -> None:
        self._text, self._begin, self._end = text, begin, end
        _compiled(text)

    def write(self, messages: Messages, *, begins: bool, tools: Sequence[dict[str, Any]] | None = None) -> str:
        """Return the text of messages; `begins`: the assistant's next turn is opened behind them; `tools` may be called.

        Raises:
            InputError: the template refuses or cannot write them.
        """
        return self.marked(messages, begins=begins, tools=tools)[0]

    def marked(
        self, messages: Messages, *, begins: bool = False, tools: Sequence[dict[str, Any]] | None = None
    ) -> tuple[str, Spans]:
        """Return the text, and the characters that the template itself marks as generated, by `{% generation %}`."""
        from jinja2 import TemplateError

        from .sandbox import bounded, joined

        told = [{key: _strip_markers(value) for key, value in turn.items()} for turn in messages]
        try:
            with bounded():
                pieces = _compiled(self._text).generate(
                    messages=told,
                    add_generation_prompt=begins,
                    bos_token=self._begin,
                    eos_token=self._end,
                    tools=list(tools) if tools else None,
                )
                given = joined(pieces)
        except (TemplateError, *_FAULTS) as error:
            raise InputError(message("tasks.chat_template_cannot"), found=error) from error
        text, spans = "", []
        for number, part in enumerate(given.split(_OPENED)):
            inside, closed, outside = part.partition(_CLOSED)
            if number and closed:
                spans.append((len(text), len(text) + len(inside)))
            text += inside + outside.replace(_CLOSED, "")
        return text, spans


def _strip_markers(value: Any) -> Any:
    return value.replace(_OPENED, "").replace(_CLOSED, "") if isinstance(value, str) else value


@lru_cache(maxsize=16)
def _compiled(text: str) -> Any:
    from jinja2 import TemplateError, nodes
    from jinja2.ext import Extension

    from .sandbox import Room

    class Generation(Extension):
        """`{% generation %} ... {% endgeneration %}` round what the assistant said, as transformers has it."""

        tags = {"generation"}  # noqa: RUF012 - as Jinja reads it

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.CallBlock(self.call_method("_around"), [], [], body).set_lineno(line)

        def _around(self, caller: Callable[[], str]) -> str:
            return f"{_OPENED}{caller()}{_CLOSED}"

    def refuse(message: str) -> None:
        raise TemplateError(message)

    def as_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, **more: Any) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **more)

    try:
        room = Room(Generation, "jinja2.ext.loopcontrols")
        room.add_filter("tojson", as_json)
        return room.template(text, raise_exception=refuse, strftime_now=lambda form: date.today().strftime(form))
    except TemplateError as error:
        raise InputError(message("tasks.chat_template_jinja"), found=error) from error
