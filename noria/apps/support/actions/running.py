"""Actions at work: what begins one, the next question, the confirmation, the call, and a person where it cannot be done.

What was asked and answered so far lies in what the desk remembers of a conversation, which is durable with each reply: a killed server goes
on where it was. The call's idempotency key is the id of the message that led to it, so a message that is sent again is one call.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from typing import Any

from noria.apps.support.conversation import Conversation
from noria.apps.support.courtesies import chosen, wants_person
from noria.apps.support.desk import Desk
from noria.apps.support.faq import Entry
from noria.apps.support.knowledge.rules import first_match
from noria.apps.support.plain import plain
from noria.apps.support.replies import Action, Reply
from noria.core.errors import NoriaError
from noria.core.messages import Message, message
from noria.server.webhook import Answer, Client, WebhookSettings, client_of, secret_of

from .fields import as_sent, question, shown, text_of, value_in
from .flow import ACTION, ActionSettings, entries_of_examples, filled

_PHRASES = {
    "zh": {
        "begin": "请回复“{example}”，我来办理。",
        "again": "抱歉，没有看懂。",
        "confirm": "请回复“确认”，或回复“取消”。",
        "cancelled": "好的，已取消。还有什么可以帮您？",
        "unclear": "抱歉，还是没有看懂，已经为您转给人工，您提供的信息也一并转交了，请稍候。",
        "away": "抱歉，现在无法办理，已经为您转给人工，您提供的信息也一并转交了，请稍候。",
    },
    "en": {
        "begin": "Say “{example}”, and I will see to it.",
        "again": "I am sorry, I did not understand that.",
        "confirm": "Please reply “confirm” or “cancel”.",
        "cancelled": "All right, I have cancelled it. Is there anything else?",
        "unclear": "I am sorry, I still did not understand, so I have handed this over to a person with what you told me. One moment, please.",
        "away": "I am sorry, this cannot be done right now, so I have handed it over to a person with what you told me. One moment, please.",
    },
}
_CANCEL = re.compile(
    r"(?:请|帮我|我想|我要|那就?|还是|先)*(?:取消|算了|不[用要办查弄问]了|停止|退出|结束)(?:吧|了|操作|办理|申请|这个|谢谢|\s)*"
    r"|(?:please |i want to |i'd like to |let's |ok |no )*(?:cancel|stop|quit|exit|abort|never ?mind|forget (?:about )?it)"
    r"(?: (?:it|that|this|please|now|thanks|thank you))*"
)
_CONFIRM = re.compile(
    r"(?:我|请)?(?:确认|确定|同意|提交|没问题)(?:了|的|无误|提交|办理|吧|谢谢|\s)*"
    r"|(?:yes |ok |please |i )*(?:confirm(?:ed)?|go ahead|do it|proceed|agree|submit)(?: (?:it|please|with it|thanks|thank you))*"
)


@dataclass(frozen=True)
class Utterance:
    """A message as an action reads it."""

    text: str
    id: str
    """Of the message: the same where it is sent again."""
    conversation: str
    """What its client calls the conversation."""
    language: str
    """Of its text."""


@dataclass(frozen=True)
class Progress:
    """How far an action is."""

    action: str
    """Its name."""
    language: str
    """That it began in, and goes on in: an order number has none."""
    values: Mapping[str, str] = field(default_factory=dict)
    asked: str = ""
    """Name of the field that was asked for; empty where all waits to be confirmed."""
    tries: int = 0
    """How often the last question was put again."""

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> Progress | None:
        """Return what a conversation remembers; None where no action is on its way."""
        known = {name: kept[name] for name in cls.__dataclass_fields__ if name in kept}
        return cls(**known) if known.get("action") else None


Turn = tuple[Reply, Conversation]
"""A reply, and what is remembered after it."""


class Actions:
    """The actions of a desk.

    Args:
        actions: by their names.
        today: gives the day where the desk is.
        environ: where their secrets are.
        client: gives what calls a webhook.

    Raises:
        SettingError: a secret is missing.
        RowError: a pattern that begins one is none.
    """

    def __init__(
        self,
        actions: Mapping[str, ActionSettings],
        today: Callable[[], date],
        *,
        environ: Mapping[str, str] = os.environ,
        client: Callable[[WebhookSettings], Client] = client_of,
    ) -> None:
        self._actions, self._today = dict(actions), today
        self._rules = [rule for name, one in actions.items() if (rule := one.rule(name, name))]
        self._secrets = {name: secret_of(one.webhook.secret_env, environ) for name, one in actions.items()}
        self._clients = {name: client(one.webhook) for name, one in actions.items()}

    async def reply(self, given: Utterance, before: Conversation, desk: Desk) -> Turn | None:
        """Return the reply to a message that an action is about, and what is then remembered; None where none is."""
        flow = Progress.of(before.flow)
        if flow and flow.action in self._actions:
            return await self._go_on(flow, given, before, desk)
        rule = (desk.knowledge.rule(given.text) if desk.knowledge else None) or first_match(self._rules, given.text)
        if rule is None or rule.action not in self._actions:
            return None
        return await self._begun(rule.action, given.text, given, before)

    async def matched(self, reply: Reply, given: Utterance, before: Conversation) -> Turn | None:
        """Return what follows where the desk's reply is that an action is meant, and what is then remembered; None of any other.

        Args:
            reply: the desk's.
            given: the message.
            before: what was remembered before it.
        """
        name = reply.entry.removeprefix(ACTION)
        if reply.action != "answer" or reply.parts or name == reply.entry or name not in self._actions:
            return None
        # Who chose among what was offered said before what it is about.
        said = before.question if reply.entry in before.offered else given.text
        return await self._begun(name, said, given, before)

    def entries(self) -> list[Entry]:
        """Return the actions that have examples as entries of a list; see `entries_of_examples`."""
        return entries_of_examples(self._actions, {language: texts["begin"] for language, texts in _PHRASES.items()})

    async def _begun(self, name: str, text: str, given: Utterance, before: Conversation) -> Turn:
        begun = Progress(name, given.language)
        for one in self._actions[name].fields:
            if one.kind in ("pattern", "date", "choice"):  # a number or a text may be anything that was said
                found = value_in(one, text, self._today(), given.language)
                begun = replace(begun, values={**begun.values, one.name: found}) if found is not None else begun
        return await self._next(begun, given, before)

    async def _go_on(self, flow: Progress, given: Utterance, before: Conversation, desk: Desk) -> Turn:
        """Return what follows the answer to a question of an action."""
        action, text = self._actions[flow.action], given.text
        if _CANCEL.fullmatch(plain(text)) or plain(text) in map(plain, action.cancel):
            return _finished(before, _reply("courtesy", flow, _phrase(flow, "cancelled")))
        if wants_person(text):
            return self._handed(flow, before, desk.phrase(flow.language, "person"), message("actions.wished"))
        asked = next((one for one in action.fields if one.name == flow.asked), None)
        if asked is None:
            return await self._confirmed(flow, given, before)
        aside = desk.at_once(text)
        value = None
        if aside is None or asked.kind != "text":  # any text would be one, a question beside it too
            value = value_in(asked, text, self._today(), flow.language)
        if value is not None:
            return await self._next(replace(flow, values={**flow.values, asked.name: value}), given, before)
        if aside is not None:
            told = f"{aside.text}\n{question(asked, flow.language)}"
            return _waiting(replace(aside, action="confirm", text=told, choices=(), others=()), flow, before)
        again = text_of(asked.again, flow.language) if asked.again else _phrase(flow, "again")
        return self._again(flow, before, f"{again}\n{question(asked, flow.language)}", _title(asked.name, action, flow))

    async def _confirmed(self, flow: Progress, given: Utterance, before: Conversation) -> Turn:
        """Return what follows a yes, a no, another value for a field, or none of these."""
        action = self._actions[flow.action]
        meant = 0 if _CONFIRM.fullmatch(plain(given.text)) else chosen(given.text, [""])
        if meant == 0:
            return await self._called(flow, given, before)
        text = meant if isinstance(meant, str) and meant not in ("none", "unclear") else given.text
        found = {
            one.name: value
            for one in action.fields
            if one.kind != "text" and (value := value_in(one, text, self._today(), flow.language)) is not None
        }
        if len(found) == 1 and found.items() - flow.values.items():
            return await self._next(replace(flow, values={**flow.values, **found}), given, before)
        if meant == "none":
            return _finished(before, _reply("courtesy", flow, _phrase(flow, "cancelled")))
        told = _phrase(flow, "again") + _phrase(flow, "confirm")
        return self._again(flow, before, told, message("actions.confirmation"))

    async def _next(self, flow: Progress, given: Utterance, before: Conversation) -> Turn:
        """Return the next question, the confirmation, or what came of the call."""
        action = self._actions[flow.action]
        missing = next((one for one in action.fields if one.name not in flow.values), None)
        if missing is not None:
            text = question(missing, flow.language)
            return _waiting(_reply("confirm", flow, text), replace(flow, asked=missing.name, tries=0), before)
        if action.confirm is None:
            return await self._called(flow, given, before)
        values = {one.name: shown(one, flow.values[one.name], flow.language) for one in action.fields}
        text = f"{filled(text_of(action.confirm, flow.language), values)}\n{_phrase(flow, 'confirm')}"
        return _waiting(_reply("confirm", flow, text), replace(flow, asked="", tries=0), before)

    async def _called(self, flow: Progress, given: Utterance, before: Conversation) -> Turn:
        """Call the webhook and return what the customer is told of it."""
        action, language = self._actions[flow.action], flow.language
        body = {
            "action": flow.action,
            "fields": {one.name: as_sent(one, flow.values[one.name]) for one in action.fields},
            "conversation": given.conversation,
            "message": given.id,
            "language": language,
        }
        content = json.dumps(body, ensure_ascii=False).encode()
        try:
            answer = await self._clients[flow.action].post_signed(
                action.webhook.url, content, id=given.id, secret=self._secrets[flow.action]
            )
        except NoriaError as error:
            return self._handed(flow, before, _phrase(flow, "away"), error.text("zh" if language == "zh" else "en"))
        text = self._answered(action, flow, answer)
        if text:
            return _finished(before, _reply("answer", flow, text))
        why = message("actions.done_without_words" if answer.ok else "actions.refused", status=answer.status)
        return self._handed(flow, before, _phrase(flow, "away"), why)

    def _answered(self, action: ActionSettings, flow: Progress, answer: Answer) -> str | None:
        """Return what a webhook's answer is told as; None where the file has no words for it."""
        texts = action.answer if answer.ok else action.statuses.get(str(answer.status))
        if texts is None:
            return None
        values = {one.name: shown(one, flow.values[one.name], flow.language) for one in action.fields}
        return filled(text_of(texts, flow.language), values, answer.json())

    def _again(self, flow: Progress, before: Conversation, text: str, what: Message | str) -> Turn:
        """Put a question again, so often; then a person has the conversation."""
        if flow.tries >= self._actions[flow.action].retries:
            return self._handed(flow, before, _phrase(flow, "unclear"), message("actions.unclear", what=what))
        return _waiting(_reply("confirm", flow, text), replace(flow, tries=flow.tries + 1), before)

    def _handed(self, flow: Progress, before: Conversation, text: str, why: str) -> Turn:
        """Hand over to a person, with what is known and why."""
        action, language = self._actions[flow.action], "zh" if flow.language == "zh" else "en"
        names = [one for one in action.fields if one.name in flow.values]
        known = "; ".join(f"{one.name} = {shown(one, flow.values[one.name], flow.language)}" for one in names)
        note = message("actions.note", title=text_of(action.title, language), known=known or "-", why=why)
        reply, after = _finished(before, _reply("handover", flow, text))
        return reply, replace(after, note=note[language])


def _finished(before: Conversation, reply: Reply) -> Turn:
    """Return a reply that ends an action, and what is remembered: what was asked before it, and nothing that waits for an answer."""
    return reply, replace(before, language=reply.language, offered=(), alternatives=(), flow={}, note="")


def _waiting(reply: Reply, flow: Progress, before: Conversation) -> Turn:
    """Return a reply that an action goes on from, and what is remembered."""
    reply, after = _finished(before, replace(reply, flow=flow.action))
    return reply, replace(after, flow=asdict(flow))


def _reply(action: Action, flow: Progress, text: str) -> Reply:
    return Reply(action, flow.language, text, 1.0 if action != "handover" else 0.0, flow=flow.action)


def _phrase(flow: Progress, name: str) -> str:
    return _PHRASES["zh" if flow.language == "zh" else "en"][name]


def _title(name: str, action: ActionSettings, flow: Progress) -> str:
    return f"{text_of(action.title, flow.language)}: {name}"
