"""Where templates of strangers are rendered: Jinja that reads no file, calls nothing of ours, and ends.

A chat template arrives with a model from anywhere. Jinja's sandbox keeps it from attributes and files; here its loops, its
numbers and its texts are bounded too, so that one which would loop, or double a text until memory is full, is refused.
"""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

ROUNDS = 1_000_000
"""Rounds of all loops of one rendering: a conversation of thousands of turns takes some ten thousand."""
SECONDS = 10.0
LONGEST = 16_000_000
"""Characters of a text, and members of a list, that a template may make."""
WIDEST = 1_000
"""A width, an indent or a count that is larger is meant to fill memory."""
_WIDE = frozenset(
    [
        "center",
        "ljust",
        "rjust",
        "zfill",
        "expandtabs",
        "indent",
        "wordwrap",
        "truncate",
        "batch",
        "slice",
        "round",
        "tojson",
        "format",
        "format_map",
    ]
)
"""Filters and methods of texts that take a width or a count."""
_WIDE_FORM = re.compile(r"\d{4,}|\*")
"""Stands in a form whose field is wider than that."""
_left: ContextVar[list[float] | None] = ContextVar("left", default=None)


class Room(ImmutableSandboxedEnvironment):
    """An environment without a loader, whose templates are bounded."""

    intercepted_binops = frozenset(("+", "*", "**", "%"))

    def __init__(self, *extensions: type[Extension] | str) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=list(extensions))
        del self.globals["lipsum"]
        self.filters = {name: self._bounded(name, function) for name, function in self.filters.items()}

    def add_filter(self, name: str, function: Callable[..., Any]) -> None:
        """Let templates call a function as a filter."""
        self.filters[name] = self._bounded(name, function)

    def template(self, text: str, **named: Any) -> Any:
        """Return a compiled template; raises TemplateError where it is no Jinja."""
        return self.from_string(_Bounding().visit(self.parse(text)), globals=named)

    def tick(self) -> str:
        """Count a round of a loop."""
        left = _left.get()
        if left is not None:
            left[0] -= 1
            if left[0] < 0 or time.monotonic() > left[1]:
                raise TemplateError("it loops for too long")
        return ""

    def joined_texts(self, *parts: Any) -> str:
        """Return texts joined: what `~` does."""
        texts = [str(one) for one in parts]
        _fits(sum(map(len, texts)))
        return "".join(texts)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Return what an operator makes of two values, where it is not too large."""
        sized = [one for one in (left, right) if isinstance(one, Sized)]
        if operator == "+":
            _fits(sum(map(len, sized)))
        elif operator == "*" and sized:
            other = right if sized[0] is left else left
            _fits(len(sized[0]) * max(0, int(other)) if isinstance(other, int) else 0)
        elif operator == "**":
            _small(left, right)
        elif operator == "%" and isinstance(left, str):
            _check("format", (left, right), {})
        return super().call_binop(context, operator, left, right)

    def call(self, context: Any, obj: Any, *args: Any, **named: Any) -> Any:
        """Return what a call gives, where its arguments are not meant to fill memory."""
        method = getattr(obj, "__wrapped__", obj)  # Jinja itself stands round a text's `format`
        own = getattr(method, "__self__", None)
        if isinstance(own, str):
            _check(str(getattr(method, "__name__", "")), (own, *args), named)
        return super().call(context, obj, *args, **named)

    @staticmethod
    def _bounded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def bounded(*args: Any, **named: Any) -> Any:
            _check(name, args, named)
            return function(*args, **named)

        return bounded


@contextmanager
def bounded() -> Iterator[None]:
    """Bound the loops of what is rendered inside."""
    token = _left.set([ROUNDS, time.monotonic() + SECONDS])
    try:
        yield
    finally:
        _left.reset(token)


class _Bounding(NodeTransformer):
    """Counts the rounds of every loop, and has texts joined where their length is seen."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - as Jinja names it
        self.generic_visit(node)
        node.body.insert(0, nodes.ExprStmt(_asked("tick", [])).set_lineno(node.lineno))
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _asked("joined_texts", node.nodes).set_lineno(node.lineno)


def _asked(name: str, args: list[nodes.Expr]) -> nodes.Call:
    return nodes.Call(nodes.EnvironmentAttribute(name), args, [], None, None)


def _check(name: str, args: tuple[Any, ...], named: dict[str, Any]) -> None:
    """Refuse what would make a text too long: of a filter, or of a text's own method, by its name."""
    texts = [one for one in args if isinstance(one, str)]
    if name in _WIDE:
        _small(*args[1:], *named.values())
    if name.startswith("format") and texts and _WIDE_FORM.search(texts[0]):
        raise TemplateError("it writes a text too wide")
    if name == "replace" and len(texts) >= 3:
        _fits(len(texts[0]) + texts[0].count(texts[1]) * len(texts[2]))
    elif name == "join":
        between = len(texts[0]) if texts else 0
        parts = next((one for one in args if isinstance(one, list | tuple)), ())
        _fits(sum(between + len(str(one)) for one in parts))


def _small(*values: Any) -> None:
    if any(isinstance(one, int | float) and not -WIDEST <= one <= WIDEST for one in values):
        raise TemplateError("it writes a text too wide")


def _fits(length: int) -> None:
    if length > LONGEST:
        raise TemplateError("it makes a text too long")


def joined(pieces: Iterable[str]) -> str:
    """Return a rendered text, where it is not too long."""
    found, length = [], 0
    for piece in pieces:
        length += len(piece)
        _fits(length)
        found.append(piece)
    return "".join(found)
