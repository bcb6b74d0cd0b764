"""Pieces of a page in Markdown: heads, tables, docstrings, and the fields of a JSON schema."""

from __future__ import annotations

import ast
import inspect
import json
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import Any

from tests.contracts.tree import REPOSITORY

AGAIN = "python -m tests.contracts.reference"
"""The command that writes the pages."""
Schema = Mapping[str, Any]


def title(name: str, told: str) -> list[str]:
    """Return the head of a page."""
    return [f"# {name}", "", told, "", f"Written from the code by `{AGAIN}`; do not edit.", ""]


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """Return a table of Markdown, its cells made fit for one line each."""
    head = list(head)

    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"

    return [line(head), "|" + " --- |" * len(head), *(line(row) for row in rows), ""]


def anchor(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def prose(text: str) -> str:
    """Return a docstring as Markdown: literal blocks and dashed headings made plain, angle brackets kept as text."""
    parts = re.split(r"(```.*?```|`[^`]*`)", text.replace("::\n", ":\n"), flags=re.DOTALL)
    parts[::2] = [re.sub(r"<(?=[\w/])", r"\\<", part) for part in parts[::2]]
    return "".join(parts)


def place(module: str) -> str:
    """Return a link to a module's file."""
    path = module.replace(".", "/")
    path += "/__init__.py" if (REPOSITORY / path).is_dir() else ".py"
    return f"[{path}](../../{path})"


def meanings(thing: type) -> dict[str, str]:
    """Return what the docstrings below a class's attributes say, those of the classes above it too."""
    found: dict[str, str] = {}
    for one in reversed(thing.__mro__):
        if one.__module__.split(".")[0] == "noria":
            body = ast.parse(textwrap.dedent(inspect.getsource(one))).body[0].body
            for first, second in pairwise(body):
                if (
                    isinstance(first, ast.AnnAssign)
                    and isinstance(second, ast.Expr)
                    and isinstance(second.value, ast.Constant)
                ):
                    found[first.target.id] = str(second.value.value)
    return found


# JSON schemas, of settings and of bodies


def kind(schema: Schema, link: Callable[[str], str]) -> str:
    """Return a schema's type in words."""
    if "$ref" in schema:
        return link(schema["$ref"].rsplit("/", 1)[-1])
    if len(schema.get("allOf", ())) == 1:
        return kind(schema["allOf"][0], link)
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " or ".join(dict.fromkeys(kind(one, link) for one in schema[several]))
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{one}`" for one in schema.get("enum", [schema.get("const")]))
    of = schema.get("type", "anything")
    if of == "array":
        if "prefixItems" in schema:
            return "list of " + " and ".join(kind(one, link) for one in schema["prefixItems"])
        return f"list of {kind(schema.get('items', {}), link)}"
    if of == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"table of {kind(schema['additionalProperties'], link)}"
    return {"string": {"path": "path", "date-time": "time"}.get(schema.get("format", ""), "text"), "null": "none"}.get(
        of, of
    )


def bounds(schema: Schema) -> str:
    """Return what a schema allows of its values, in words."""
    variants = [schema, *schema.get("anyOf", ())]
    words = {
        "minimum": "at least {}",
        "exclusiveMinimum": "above {}",
        "maximum": "at most {}",
        "exclusiveMaximum": "below {}",
        "minLength": "{} characters or more",
        "maxLength": "{} characters or fewer",
        "minItems": "{} or more",
        "maxItems": "{} or fewer",
        "pattern": "`{}`",
    }
    found = [told.format(_number(one[key])) for one in variants for key, told in words.items() if key in one]
    return ", ".join(dict.fromkeys(found))


def _number(value: Any) -> str:
    return f"{value:,.15g}" if isinstance(value, int | float) and abs(value) >= 1_000 else f"{value}".removesuffix(".0")


def default(schema: Schema, needed: bool) -> str:
    """Return a field's default as JSON, or that it must be given."""
    if needed or "default" not in schema:
        return "required" if needed else ""
    return "" if isinstance(schema["default"], dict) and schema["default"] else f"`{json.dumps(schema['default'])}`"


def fields(schema: Schema, link: Callable[[str], str]) -> list[str]:
    """Return the table of an object's fields."""
    needed = schema.get("required", ())
    rows = [
        (f"`{name}`", kind(one, link), bounds(one), default(one, name in needed), prose(one.get("description", "")))
        for name, one in schema.get("properties", {}).items()
    ]
    return table(("field", "type", "bounds", "default", "meaning"), rows) if rows else []
