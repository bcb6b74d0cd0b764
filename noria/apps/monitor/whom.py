"""Whom and what a text is about: names of a list and of a tagger, given aspects, and what the text says of each, where models judge that.

A model for pairs that learned what texts say of words in them (`by_mention`) gives every entity a label of its own. Where none is served
an entity only has the label of the whole text, which is said: at the start, and by `label_of` wherever entities are told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from pydantic import BaseModel, Field

from noria.core.errors import SettingError
from noria.core.messages import Message, message
from noria.server.http.context import RequestContext
from noria.server.http.routing import Route

from .aspects import MOST_ASPECTS, Aspects, by_labels
from .names import KnownNames, Named
from .surge import NEGATIVE, Own

if TYPE_CHECKING:
    from noria.server.http.state import State

    from .stream import Stream


MOST_LABELS = 4 * MOST_ASPECTS
"""Labels of a classifier that aspects are known by, at most: each aspect with a few labels of its own."""


class Streams(Protocol):
    """Gives what is watched: the live stream, or the replay."""

    def __call__(self, *, replay: bool = False) -> Stream:
        """Return it."""


@dataclass(frozen=True)
class Subjects:
    """Whom and what one text is about."""

    named: Sequence[Named] = ()
    by_entity: Mapping[str, Own] = field(default_factory=dict)
    """What it says of each entity, where a model judges that."""
    by_aspect: Mapping[str, Own] = field(default_factory=dict)
    """The aspects that it speaks of, and what it says of each."""

    @property
    def entities(self) -> tuple[str, ...]:
        """Return the names alone."""
        return tuple(one.name for one in self.named)


class WhichNamed(BaseModel):
    """GET /entities and GET /aspects: of the live stream, or of the replay."""

    replay: bool = False
    windows: Annotated[int, Field(ge=1, le=100_000)] = 24
    """Closed windows that are counted, the last ones."""


class Whom:
    """Finds whom and what texts are about.

    Args:
        names: the names of a team.
        aspects: the aspects of a team.
        entity_sentiment: name of a served model that judges what a text says of a mention; None takes the first one, and does without
            where there is none.
    """

    def __init__(
        self, names: KnownNames | None = None, aspects: Aspects | None = None, entity_sentiment: str | None = None
    ) -> None:
        self.names, self.aspects = names or KnownNames(), aspects or Aspects()
        self.sentiment, self.tagger = entity_sentiment, ""
        self.by_labels: str | None = None
        """Name of a served classifier with several labels, by which aspects are known."""
        self.embedder: str | None = None
        """Name of a served model for the task embed, by which examples of aspects are known again and labelled texts teach."""
        self._kinds: dict[str, str] = {}
        self._learning: asyncio.Task[None] | None = None

    def choose(self, state: State, tagger: str | None) -> None:
        """Choose among the served models.

        Raises:
            SettingError: the model that was named for entities does not judge mentions, or has no label `negative`.
        """
        self.tagger = tagger or ""
        self.sentiment = self.sentiment or first_classifier(
            state, lambda facts: bool(facts.get("by_mention")) and NEGATIVE in (facts.get("labels") or ())
        )
        self.by_labels = first_classifier(
            state, lambda facts: bool(facts.get("many")) and len(facts.get("labels") or ()) <= MOST_LABELS
        )
        self.embedder = state.model_for("embed") if self.aspects.examples or self.aspects.rows else None
        if self.sentiment is None:
            return
        facts = state.served(self.sentiment).manifest.facts
        if not facts.get("by_mention") or NEGATIVE not in (facts.get("labels") or ()):
            raise SettingError(
                message("apps.judges_no_mentions", model=self.sentiment),
                found=", ".join(facts.get("labels") or ()),
                allowed=message("apps.mention_rows", negative=NEGATIVE),
            )

    @property
    def label_of(self) -> str:
        """Return whose label entities are counted by: `itself`, or `text` where no model judges it."""
        return "itself" if self.sentiment else "text"

    @property
    def notes(self) -> list[Message]:
        """Return what whoever starts it should know."""
        named = bool(self.tagger or self.names.listed)
        notes = [message("apps.label_of_text")] if named and not self.sentiment else []
        lacking = [name for name, one in self.aspects.given.items() if not one.words]
        if lacking and not self.embedder and not self.by_labels:
            notes.append(message("apps.examples_unread", names=", ".join(lacking)))
        if self.aspects.rows and not self.embedder:
            notes.append(message("apps.aspect_rows_unread", rows=len(self.aspects.rows)))
        return notes

    async def subjects(self, context: RequestContext, texts: Sequence[str]) -> list[Subjects]:
        """Return whom and what each text is about."""
        named, aspects = await asyncio.gather(self._named(context, texts), self._aspects(context, texts))
        judged = await self._judged(context, texts, named)
        for one in (one for some in named for one in some):
            self._kinds[one.name] = one.kind
        while len(self._kinds) > 10_000:
            del self._kinds[next(iter(self._kinds))]
        return [Subjects(*one) for one in zip(named, judged, aspects, strict=True)]

    async def _named(self, context: RequestContext, texts: Sequence[str]) -> list[list[Named]]:
        spans: list[Sequence[Mapping[str, Any]]] = [()] * len(texts)
        if self.tagger:
            spans = [answer["spans"] for answer in await context.ask(self.tagger, texts)]
        return await asyncio.to_thread(
            lambda: [self.names.named(text, some) for text, some in zip(texts, spans, strict=True)]
        )

    async def _judged(
        self, context: RequestContext, texts: Sequence[str], named: Sequence[Sequence[Named]]
    ) -> list[dict[str, Own]]:
        """Return what each text says of each that it names, by a model; nothing without one."""
        found: list[dict[str, Own]] = [{} for _ in texts]
        if self.sentiment is None:
            return found
        asked = [(place, one) for place, some in enumerate(named) for one in some]
        rows = [_row(texts[place], one) for place, one in asked]
        most = context.state.settings.max_rows
        for start in range(0, len(rows), most):
            answers = await context.ask(self.sentiment, rows[start : start + most])
            for (place, one), answer in zip(asked[start:], answers, strict=False):
                found[place][one.name] = {"label": answer["label"], "score": round(float(answer["score"]), 4)}
        return found

    async def _aspects(self, context: RequestContext, texts: Sequence[str]) -> list[dict[str, Own]]:
        aspects = self.aspects  # a file that is read anew on the way counts from the next texts on
        found = [aspects.found(text) for text in texts]
        if self.embedder:
            await self._learn(context, aspects)
            parts = [aspects.read(text) for text in texts]
            vectors = await self._embedded(context, [one for some in parts for one in some])
            ends = list(accumulate(map(len, parts), initial=0))
            found = [
                aspects.found(text, vectors[start:end]) for text, start, end in zip(texts, ends, ends[1:], strict=False)
            ]
        if self.by_labels:
            for own, answer in zip(found, await context.ask(self.by_labels, texts), strict=True):
                own |= by_labels(answer, own, aspects.unnamed(own))
        return found

    async def _learn(self, context: RequestContext, aspects: Aspects) -> None:
        """Learn from examples and labelled texts, once; it goes on though the request that began it is given up."""

        async def learn() -> None:
            vectors = await self._embedded(context, aspects.lessons)
            await asyncio.to_thread(aspects.learn, vectors)

        while not aspects.is_learned:
            if self._learning is None or self._learning.done():
                self._learning = asyncio.create_task(learn())
            await asyncio.shield(self._learning)

    async def _embedded(self, context: RequestContext, texts: Sequence[str]) -> list[Any]:
        assert self.embedder is not None
        most, vectors = context.state.settings.max_rows, list[Any]()
        for start in range(0, len(texts), most):
            vectors += [one["embedding"] for one in await context.ask(self.embedder, texts[start : start + most])]
        return vectors

    def routes(self, streams: Streams) -> Sequence[Route]:
        """Return GET /entities and GET /aspects."""

        async def entities(context: RequestContext, query: WhichNamed) -> dict[str, Any]:
            """Tell whom texts named in the last windows, those named most first: texts, negatives and reposts, and whose label they count by."""
            counted = _counted(streams(replay=query.replay), "entities", query.windows)
            found = [self._entity(name, counts) for name, counts in counted.items()]
            found += [
                self._entity(name, dict.fromkeys(_COUNTS, 0)) for name in self.names.listed if name not in counted
            ]
            return {"label_of": self.label_of, "entities": sorted(found, key=lambda one: -int(one["total"]))}

        async def aspects(context: RequestContext, query: WhichNamed) -> dict[str, Any]:
            """Tell what aspects texts spoke of in the last windows: texts, negatives and reposts."""
            counted = _counted(streams(replay=query.replay), "aspects", query.windows)
            names = dict.fromkeys([*self.aspects.given, *counted])
            titles = {name: dict(one.title) for name, one in self.aspects.given.items()}
            none = dict.fromkeys(_COUNTS, 0)
            found = [{"name": name, "title": titles.get(name, {}), **counted.get(name, none)} for name in names]
            labelled = self.aspects.labelled
            return {
                "aspects": sorted(found, key=lambda one: -int(one["total"])),
                "learned": {**labelled.found, "joined": labelled.joined} if labelled else None,
            }

        return (
            Route("GET", "/entities", entities, query=WhichNamed, reply=dict[str, Any]),
            Route("GET", "/aspects", aspects, query=WhichNamed, reply=dict[str, Any]),
        )

    def _entity(self, name: str, counts: Mapping[str, int]) -> dict[str, Any]:
        listed = self.names.listed.get(name)
        kind = listed.kind if listed else self._kinds.get(name, "")
        return {"name": name, "kind": kind, "listed": listed is not None, **counts}


_COUNTS = ("total", "negative", "reposts")


def _counted(stream: Stream, part: str, windows: int) -> dict[str, dict[str, int]]:
    """Return the sums of a part of the last windows, by name."""
    found: dict[str, dict[str, int]] = {}
    for window in stream.windows[-windows:]:
        for name, counts in window.get(part, {}).items():
            own = found.setdefault(name, dict.fromkeys(_COUNTS, 0))
            for field_name in _COUNTS:
                own[field_name] += int(counts.get(field_name, 0))
    return found


def _row(text: str, one: Named) -> dict[str, Any]:
    """Return the row that asks a model what a text says of one that it names."""
    start, end = one.places[0]
    return {"text": text, "pair": text[start:end], "places": [list(place) for place in one.places]}


def first_classifier(state: State, fits: Callable[[Mapping[str, Any]], bool]) -> str | None:
    """Return the name of the first served model for the task classify whose facts fit, or None."""
    return next(
        (name for name, one in state.models.items() if one.task == "classify" and fits(one.manifest.facts)), None
    )
