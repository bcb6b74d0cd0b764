"""A task by its name with options of its own, checked: many labels a text, questions that may have no answer."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from pydantic import TypeAdapter, ValidationError

from noria.core.errors import SettingError, unknown
from noria.core.messages import message

from .task import Task, task_for

FITTED = ("labels", "temperature", "outside_penalty", "least", "companion")
"""Fields of a task that rows decide, not options."""


def task_with(name: str, options: Mapping[str, object] | None = None, *, many: bool = False) -> Task:
    """Return the task called `name`, with its options.

    Args:
        name: as of `task_for`.
        options: fields of the task; a text such as "true" is read as the field's type.
        many: a text may have several labels, or none.

    Raises:
        SettingError: no such task, or an option that it does not know or not with that value.
    """
    task = task_for(name)
    hints = typing.get_type_hints(type(task))
    known = {one.name: hints[one.name] for one in fields(task) if one.name not in FITTED}
    if many and "many" not in known:
        raise SettingError(message("tasks.many_tasks"), found=name, allowed="classify, numeric")
    given: dict[str, Any] = {**({"many": True} if many else {}), **(options or {})}
    for key, value in given.items():
        if key not in known:
            raise unknown(f"option of {name}", key, known)
        try:
            given[key] = TypeAdapter(known[key]).validate_python(value)
        except ValidationError as error:
            raise SettingError(
                message("tasks.option_allowed", key=key, name=name), found=value, allowed=error.errors()[0]["msg"]
            ) from None
    return task_for(name, **given)
