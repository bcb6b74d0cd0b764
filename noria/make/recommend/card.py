"""A recommender's card for people, in both languages: figures with intervals, baselines beside them, what was learned from (Mitchell et al. 2019)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from noria.core.caveats import caveats
from noria.core.figure import Figure
from noria.core.folder import Source
from noria.core.messages import LANGUAGES, Language, Message, message, term

VERDICTS = {
    "beats the baseline": "beats",
    "baseline wins": "loses",
    "no clear winner": "open",
    "not judged": "unjudged",
}


def card(facts: Mapping[str, Any], sources: Sequence[Source]) -> str:
    """Return the card in Markdown, from what the manifest says."""
    return "\n".join(line for language in LANGUAGES for line in _in(language, facts, sources))


def _in(language: Language, facts: Mapping[str, Any], sources: Sequence[Source]) -> list[str]:
    known = caveats(facts)
    shown = [Figure(**raw) for raw in facts.get("metrics", [])]
    beside = [Figure(**raw) for raw in facts.get("baseline", [])]
    lines = [
        f"# {message('recommend.card.title')[language]}",
        "",
        message("recommend.card.verdict", verdict=message(f"recommend.verdict.{VERDICTS[facts['verdict']]}"))[language],
        *(f"- {words[language] if isinstance(words, Message) else words}" for words in known),
        "",
        message("recommend.card.head")[language],
        "|---|---|---|---|---|---|",
        *(_row(one, language) for one in [*shown, *beside]),
        "",
        message("recommend.card.how")[language],
        "",
        message(
            "recommend.card.learned",
            items=facts["items"],
            users=facts["users"],
            likings=facts["likings"],
            deeds=facts["deeds"],
        )[language],
    ]
    if facts.get("least") is not None:
        lines.append(message("recommend.card.least", least=facts["least"])[language])
    lines += [
        f"- {message(f'recommend.rule.{rule}', count=count)[language]}" for rule, count in facts["set_aside"].items()
    ]
    twins = facts.get("twins") or {"items": 0}
    if twins["items"]:
        lines.append(message("recommend.card.twins", **twins)[language])
    lines += ["", *(f"- {source.name}: SHA-256 {source.sha256[:16]}" for source in sources), ""]
    return lines


def _row(figure: Figure, language: Language) -> str:
    ends = "" if figure.low is None or figure.high is None else f"{figure.low:.3f} - {figure.high:.3f}"
    beside = "" if figure.baseline is None else f"{figure.baseline:.3f}"
    name = (
        f"{term(figure.note)[language]}: {term(figure.name)[language]}" if figure.note else term(figure.name)[language]
    )
    return f"| {name} | {figure.value:.3f} | {ends} | {figure.n:,} | {beside} | {term(figure.source)[language]} |"
