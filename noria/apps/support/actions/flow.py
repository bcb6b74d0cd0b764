"""An action as its TOML file has it: what begins it, its fields, what is confirmed, the webhook that is called, and the answers.

    [order]
    title = {zh = "查询订单", en = "Order status"}
    words = ["查订单", "where is my order"]
    examples = ["我的包裹到哪了", "has my parcel left yet?"]
    answer = {zh = "订单 {order}：{reply.status}", en = "Order {order}: {reply.status}"}

    [[order.fields]]
    name = "order"
    kind = "pattern"
    pattern = '[A-Z]{2}\\d{8}'
    ask = {zh = "请提供订单号。", en = "What is the order number?"}

    [order.webhook]
    url = "https://shop.example/hooks/order"
    secret_env = "ORDER_SECRET"

Of a template only `{field}` and `{reply.path}` mean something: nothing in it, and nothing that comes back, is evaluated.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from noria.apps.support.columns import Row
from noria.apps.support.faq import Entry, entries_of
from noria.apps.support.knowledge.rules import Rule, rule_of
from noria.core.errors import SettingError
from noria.core.messages import message
from noria.core.settings import Settings, read_toml
from noria.server.webhook import WebhookSettings

from .fields import FieldSettings, Line, Texts

MOST_VALUE = 1_000
"""Characters that a template takes of one value of a reply."""
ACTION = "action:"
"""Begins the id of an entry that stands for an action."""
_PLACE = re.compile(r"\{([A-Za-z_]\w*(?:\.\w+)*)\}")
_REPLY = "reply"


class ActionSettings(Settings):
    """What may be done for a customer."""

    title: Texts
    """What customers and colleagues call it."""
    words: tuple[Line, ...] = ()
    """What begins it: any of these; words of one with blanks between must all stand in the message. A rule may begin it, too."""
    pattern: Annotated[str, Field(max_length=500)] = ""
    """What begins it, as a regular expression."""
    examples: tuple[Line, ...] = ()
    """How customers ask for it, in any languages: a message that means the same begins it, too, or is asked back."""
    fields: tuple[FieldSettings, ...] = ()
    """What is asked for, in this order."""
    confirm: Texts | None = None
    """Asked before the webhook is called, with values in the place of {field}; left out, nothing is."""
    cancel: tuple[Line, ...] = ()
    """Words that end it, besides those of every action (取消, 算了, cancel, never mind and the like)."""
    retries: Annotated[int, Field(ge=0, le=10)] = 2
    """How often a question is put again before a person has the conversation."""
    webhook: WebhookSettings
    """What is called."""
    answer: Texts
    """What the customer is told where it took the call, with values in the place of {field} and {reply.path}."""
    statuses: Mapping[Annotated[str, Field(pattern="^4[0-9]{2}$")], Texts] = {}
    """Status from 400 to 499 -> what the customer is told then, as where there is no such order; of any other a person tells them."""

    @model_validator(mode="after")
    def _templates(self) -> ActionSettings:
        names = [one.name for one in self.fields]
        if len(set(names)) < len(names) or _REPLY in names:
            raise SettingError(message("actions.field_names"), found=", ".join(names))
        for texts in (self.confirm or {}, self.answer, *self.statuses.values()):
            for template in texts.values():
                for place in _PLACE.findall(template):
                    first = place.partition(".")[0]
                    if place not in names and (first != _REPLY or texts is self.confirm):
                        raise SettingError(
                            message("actions.unknown_place"), found=f"{{{place}}}", allowed=[*names, "reply.path"]
                        )
        return self

    def rule(self, name: str, file: str) -> Rule | None:
        """Return the rule of what begins it; None where only its examples or rules of a knowledge base do.

        Raises:
            RowError: the pattern is none.
        """
        if not self.words and not self.pattern:
            return None
        found = rule_of({"words": list(self.words), "pattern": self.pattern, "action": name}, file, 0)
        return Rule(**found | {"words": tuple(map(tuple, found["words"]))})


def read_actions(path: str | Path) -> dict[str, ActionSettings]:
    """Return the actions of a TOML file by their names.

    Raises:
        InputError: the file is missing or is not TOML.
        SettingError: a key is unknown or a value is not allowed; says of which action.
    """
    found: dict[str, ActionSettings] = {}
    for name, values in read_toml(path).items():
        if not isinstance(values, dict):
            raise SettingError(message("errors.section_of_keys", section=name), found=values, allowed=f"[{name}]")
        try:
            found[name] = ActionSettings.make(**values)
        except SettingError as error:
            what = message("actions.of_section", path=path, section=name, what=error.what)
            raise SettingError(what, found=error.found, allowed=error.allowed, hint=error.hint) from None
    return found


def entries_of_examples(actions: Mapping[str, ActionSettings], answers: Mapping[str, str]) -> list[Entry]:
    """Return the actions that have examples as entries of a list, so that the desk finds them as it finds questions.

    Args:
        actions: by their names.
        answers: language -> what an entry answers where its action cannot begin at once, as among several questions: {example} is
            what begins it.

    Raises:
        InputError: one example stands under two actions.
    """
    rows = []
    for name, action in actions.items():
        if action.examples:
            row = Row(0, id=f"{ACTION}{name}", questions=list(action.title.items()))
            row.paraphrases = [("", text) for text in action.examples]
            row.answers = [(language, text.format(example=action.examples[0])) for language, text in answers.items()]
            rows.append(row)
    return entries_of(rows, "actions", [])


def filled(template: str, values: Mapping[str, str], reply: Any = None) -> str | None:
    """Return a template with its values; None where one is missing, or is no text, number or truth.

    >>> filled("订单 {order}：{reply.lines.0.state}", {"order": "A1"}, {"lines": [{"state": "on {its} way"}]})
    '订单 A1：on {its} way'
    >>> filled("{reply.eta}", {}, {})
    """
    missing = False

    def value(place: re.Match[str]) -> str:
        nonlocal missing
        found: Any = values.get(place[1], reply)
        if place[1] not in values:
            for part in place[1].split(".")[1:]:
                if isinstance(found, list) and part.isdigit() and int(part) < len(found):
                    found = found[int(part)]
                else:
                    found = found.get(part) if isinstance(found, dict) else None
        missing = missing or not isinstance(found, str | int | float)
        return _plain(found)

    text = _PLACE.sub(value, template)
    return None if missing else text


def _plain(value: Any) -> str:
    """Return a value as plain text, on the lines it has."""
    text = "".join(one for one in str(value) if one == "\n" or unicodedata.category(one) not in ("Cc", "Cf", "Cs"))
    return text.strip()[:MOST_VALUE]
