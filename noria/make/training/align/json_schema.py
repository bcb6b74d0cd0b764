"""Whether a value is as a JSON schema says: the keywords that describe what a model is asked to write.

holds({"type": "object", "required": ["city"]}, {"city": "Rome"})      # True
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "integer": lambda value: _TYPES["number"](value) and float(value).is_integer(),
}
_BOUNDS: dict[str, Callable[[Any, Any], bool]] = {
    "minimum": lambda value, bound: not _TYPES["number"](value) or value >= bound,
    "maximum": lambda value, bound: not _TYPES["number"](value) or value <= bound,
    "minLength": lambda value, bound: not isinstance(value, str) or len(value) >= bound,
    "maxLength": lambda value, bound: not isinstance(value, str) or len(value) <= bound,
    "minItems": lambda value, bound: not isinstance(value, list) or len(value) >= bound,
    "maxItems": lambda value, bound: not isinstance(value, list) or len(value) <= bound,
    "pattern": lambda value, bound: not isinstance(value, str) or bool(re.search(bound, value)),
    "const": lambda value, bound: _same(value, bound),
    "enum": lambda value, bound: any(_same(value, one) for one in bound),
}
TOLD = {"title", "description", "default", "examples", "format", "$schema", "$id", "$defs", "definitions", "$comment"}
"""Keywords that bind nothing here."""
KNOWN = {
    *_BOUNDS,
    *TOLD,
    *("type", "properties", "required", "additionalProperties", "items", "anyOf", "oneOf", "allOf", "not", "$ref"),
}


def unknown_keywords(schema: Any) -> list[str]:
    """Return the keywords of a schema, however deep, that are not looked at here."""
    if not isinstance(schema, dict):
        return []
    found = [key for key in schema if key not in KNOWN]
    inner = [schema.get(key) for key in ("items", "additionalProperties", "not")]
    inner += [one for key in ("anyOf", "oneOf", "allOf") for one in schema.get(key, ())]
    inner += [one for key in ("properties", "$defs", "definitions") for one in schema.get(key, {}).values()]
    return sorted({*found, *(name for one in inner for name in unknown_keywords(one))})


def holds(schema: Any, value: Any, root: Mapping[str, Any] | None = None) -> bool:
    """Return whether a value is as a schema says; `root` is the document that `$ref` looks names up in."""
    if isinstance(schema, bool):
        return schema
    root = schema if root is None else root

    def fits(other: Any, of: Any = value) -> bool:
        return holds(other, of, root)

    if "$ref" in schema:
        found: Any = root
        for part in str(schema["$ref"]).removeprefix("#").strip("/").split("/"):
            found = found[part] if part else found
        if not fits(found):
            return False
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_TYPES[kind](value) for kind in kinds):
        return False
    if not all(_BOUNDS[key](value, bound) for key, bound in schema.items() if key in _BOUNDS):
        return False
    if isinstance(value, dict) and not _object(schema, value, fits):
        return False
    if isinstance(value, list) and "items" in schema and not all(fits(schema["items"], one) for one in value):
        return False
    return (
        ("anyOf" not in schema or any(map(fits, schema["anyOf"])))
        and ("oneOf" not in schema or sum(map(fits, schema["oneOf"])) == 1)
        and all(map(fits, schema.get("allOf", ())))
        and ("not" not in schema or not fits(schema["not"]))
    )


def _object(schema: Mapping[str, Any], value: Mapping[str, Any], fits: Callable[..., bool]) -> bool:
    own = schema.get("properties", {})
    others = [key for key in value if key not in own]
    return (
        all(key in value for key in schema.get("required", ()))
        and all(fits(one, value[key]) for key, one in own.items() if key in value)
        and all(fits(schema.get("additionalProperties", True), value[key]) for key in others)
    )


def _same(left: Any, right: Any) -> bool:
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)
