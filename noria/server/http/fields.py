"""What the bodies of requests are made of: their root, by which null is absent, and texts, names, numbers and lists within bounds."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ValidationInfo,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError


def whole(text: str) -> str:
    """Return a text that can be written down.

    Raises:
        ValueError: half of a surrogate pair stands in it.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("half a surrogate pair is no text") from None
    return text


Text = Annotated[str, AfterValidator(whole)]
Name = Annotated[str, Field(max_length=256), AfterValidator(whole)]
Given = Annotated[str, Field(min_length=1), AfterValidator(whole)]


def _written(value: Any) -> Any:
    if isinstance(value, str) and not re.match(r"\d{4}-\d\d-\d\d[Tt ]", value):
        raise ValueError("a day and a time are meant, as in 2026-03-01T12:00:00+08:00")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_written)]
"""A time with its zone behind the question mark: a number is none, though it may count seconds elsewhere."""
UUID7 = r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"


def _integral(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


INTEGRAL = BeforeValidator(_integral)
"""5.0 is a whole number, as in JSON Schema. It stands after the bounds, or the document would lose them."""


_WHOLE = Annotated[int, Field(ge=-(2**63), le=2**63 - 1), INTEGRAL]
if TYPE_CHECKING:  # what they are once they are checked
    Id: TypeAlias = str
    SomeId: TypeAlias = str
else:
    Id = Annotated[Name | _WHOLE, AfterValidator(str)]
    """Somebody's own name for a thing or a person, which many keep as a whole number: 5 and "5" are one."""
    SomeId = Annotated[Annotated[Name, Field(min_length=1)] | _WHOLE, AfterValidator(str)]


def _truth(value: Any) -> Any:
    if not isinstance(value, bool):
        raise ValueError("input should be false")
    return value


No = Annotated[Literal[False], BeforeValidator(_truth)]
"""False, and not 0, which is equal to it."""
Number = Annotated[float, Field(allow_inf_nan=False)]


_MOST_FIELDS = 256
"""Fields that an object may have: many more than any model knows."""
MOST_ITEMS = 100_000
"""Items that a list may have whatever the settings say: what is longer is refused before it is looked at."""


class Body(BaseModel):
    """Root of all bodies: unknown fields are refused by name, so that nothing a client asks for is silently ignored.

    Types are strict: "1" is no number and 1 is no truth, so that the OpenAPI document means what it says. Null is absent: many
    clients send every field that they know, and null for what was not said.
    """

    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)

    required: ClassVar[frozenset[str]] = frozenset()
    """Names of the fields that must be there: only in these is null a value."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Note which fields must be there."""
        super().__pydantic_init_subclass__(**kwargs)
        cls.required = frozenset(field.alias or name for name, field in cls.model_fields.items() if field.is_required())

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, values: Any) -> Any:
        if isinstance(values, dict) and len(values) > _MOST_FIELDS:
            raise PydanticCustomError(
                "too_many",
                "too many fields: found {found}; allowed up to {most}",
                {"found": len(values), "most": _MOST_FIELDS},
            )
        if isinstance(values, dict) and None in values.values():
            return {name: value for name, value in values.items() if value is not None or name in cls.required}
        return values

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Return the schema with null allowed for whatever may be left out, known or not."""
        made = handler.resolve_ref_schema(handler(schema))
        for name, field in made.get("properties", {}).items():
            if name not in cls.required and not _takes_null(field):
                told = {key: field.pop(key) for key in ("title", "description", "default") if key in field}
                made["properties"][name] = {"anyOf": [*field.pop("anyOf", [field]), {"type": "null"}], **told}
        if made.get("additionalProperties") is False:
            made["additionalProperties"] = {"type": "null"}
        return made


def _takes_null(schema: JsonSchemaValue) -> bool:
    kinds = [one.get("type") for one in (schema, *schema.get("anyOf", ()))]
    return "null" in kinds or not any(key in schema for key in ("type", "anyOf", "oneOf", "$ref", "enum", "const"))


Item = TypeVar("Item")
Some = Annotated[list[Item], Field(min_length=1, max_length=MOST_ITEMS, fail_fast=True)]
"""A list of one item or more. Its first fault ends the search: a list of a million of them costs what one does."""


def _within(given: Any, info: ValidationInfo) -> Any:
    most = (info.context or {}).get("max_rows", MOST_ITEMS)
    if isinstance(given, list) and len(given) > most:
        raise PydanticCustomError(
            "too_many", "too many: found {found}; allowed 1 to {most}", {"found": len(given), "most": most}
        )
    return given


Rows = Annotated[list[Item], Field(min_length=1, max_length=MOST_ITEMS, fail_fast=True), BeforeValidator(_within)]
"""Texts or events of a request: counted before the first is looked at, by the `max_rows` that the body is validated with."""
