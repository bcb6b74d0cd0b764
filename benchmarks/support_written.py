"""Answers that a decoder writes from what was quoted: sentences that nothing quoted supports, as they leave the desk and as they were written.

English questions of XQuAD are asked of a base of its paragraphs; SmolLM2-135M, served, writes from each quotation. Whether a sentence is
supported is judged here by rules of its own, not by those that the desk checks with: every number of it, every name and most of its words
must stand in what was quoted, and no negation that does not. Peer: the same model, what it wrote unchecked.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np

from noria.text.script import sentence_spans

from .line import Line
from .support_desk import WANTED, share
from .support_knowledge import documents

if TYPE_CHECKING:
    from noria.tasks.complete import Sampling

NAME = "smollm2"
QUESTIONS, QUICK = 300, 20
AT_ONCE = 8
SUPPORTED = 0.7
"""Part of a sentence's words, those of three letters and fewer aside, that must stand in what was quoted, or in the question."""
PEER = "SmolLM2-135M, unchecked"
_WORD = re.compile(r"[^\W\d_]+(?:'[a-z]+)?|\d+(?:[.,]\d+)*")
_NOT = frozenset(["no", "not", "never", "none", "neither", "nor", "without", "cannot", "n't"])


@dataclass
class Written:
    """One question, what was quoted, what the model wrote, and what left the desk."""

    question: str
    quoted: str
    raw: str
    told: str
    """Empty where the quotation stood."""
    answers: list[str] = field(default_factory=list)
    reply: str = ""


def measure(*, quick: bool) -> list[Line]:
    """Return the lines."""
    from noria.make.models.bundled import smollm2

    from .served import served

    wanted = QUICK if quick else QUESTIONS
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="noria-bench-") as there:
        folder = Path(there)
        with served(folder / "lake", smollm2(folder / NAME)) as server:
            found = asyncio.run(_asked(folder, server.url, server.key, wanted))
    n = len(found)
    print(f"support_written: {n} questions in {(time.perf_counter() - begun) / 60:.1f} min", file=sys.stderr)
    raw = sum(any(unsupported(one, w) for one in sentences_of(w.raw)) for w in found)
    told = sum(any(unsupported(one, w) for one in sentences_of(w.told)) for w in found)
    kept = sum(bool(w.told) for w in found)
    good = sum(any(answer.casefold() in w.reply.casefold() for answer in w.answers) for w in found)
    quoted = sum(any(answer.casefold() in w.quoted.casefold() for answer in w.answers) for w in found)
    what = "replies without a sentence that nothing quoted supports"
    return [
        share(what, n - told, n, PEER, (n - raw) / n),
        share(what, n - told, n, f"{WANTED}, all", 1.0),
        share("replies in the model's words, the others are quotations", kept, n, PEER, 1.0),
        share("replies that hold the answer", good, n, "the quotation alone", quoted / n),
    ]


async def _asked(folder: Path, url: str, key: str, wanted: int) -> list[Written]:
    """Return what came of so many questions that a quotation answers."""
    import json

    from noria.apps.support.faq import Faq
    from noria.apps.support.knowledge.base import Knowledge
    from noria.apps.support.knowledge.building import build
    from noria.apps.support.opening import open_desk

    texts, sets = documents({"XQuAD en": "qa/xquad/en.jsonl"})
    rows = folder / "paragraphs.jsonl"
    rows.write_text("".join(json.dumps({"id": name, "text": text}) + "\n" for name, text in texts.items()))
    build([rows], folder / "kb")
    knowledge = Knowledge.open(folder / "kb")

    async def no_model(given: Any) -> np.ndarray:
        return np.ones((len(given), 1))

    desk = await open_desk(Faq((), ()), no_model, knowledge=knowledge)
    (asked,) = sets.values()
    order = np.random.default_rng(0).permutation(len(asked.questions))
    found: list[Written] = []
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(at: int) -> None:
        reply = await desk.ask(asked.questions[at], no_model)
        if len(found) >= wanted or reply.action != "answer" or not reply.sources:
            return
        async with turns:
            if len(found) < wanted:
                found.append(await _from(client, desk, asked.questions[at], reply, asked.answers[at]))

    async with httpx.AsyncClient(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=120) as client:
        for start in range(0, len(order), 2 * AT_ONCE):
            await asyncio.gather(*(one(int(at)) for at in order[start : start + 2 * AT_ONCE]))
            if len(found) >= wanted:
                break
    knowledge.close()
    return found[:wanted]


async def _from(client: httpx.AsyncClient, desk: Any, question: str, reply: Any, answers: list[str]) -> Written:
    from noria.apps.support.writing import written

    decoder = _Served(client)
    made = await written(decoder, NAME, desk, question, reply)  # type: ignore[arg-type]
    quoted = "\n".join(quote.text for quote in reply.sources)
    told = made.text.rpartition("\n(From: ")[0] if made.written else ""
    return Written(question, quoted, decoder.text, told, answers, made.text)


class _Served:
    """Stands for a request's context: completions come from the served model, and what they were is kept."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client, self.text = client, ""

    async def complete(self, model: str, prompt: dict[str, Any], sampling: Sampling) -> AsyncGenerator[Any, None]:
        from noria.infer.replies import Piece

        body = {"model": model, **prompt, "temperature": sampling.temperature, "max_tokens": sampling.max_tokens}
        answer = await self._client.post("/v1/chat/completions", json=body)
        answer.raise_for_status()
        self.text = answer.json()["choices"][0]["message"]["content"]
        yield Piece(self.text, 1, 1)


def sentences_of(text: str) -> list[str]:
    """Return the sentences of a text.

    >>> sentences_of("It costs 2.5 euros. Is it free?")
    ['It costs 2.5 euros.', 'Is it free?']
    """
    return [one for low, high in sentence_spans(text) if re.search(r"\w", one := text[low:high].strip())]


def unsupported(sentence: str, written: Written) -> bool:
    """Return whether a sentence says what was not quoted.

    >>> made = Written("What does it cost?", "The lamp costs 40 euros.", "", "")
    >>> [unsupported(one, made) for one in ("It costs 40 euros.", "It costs 41 euros.", "It does not cost 40 euros.", "Berlin sells it.")]
    [False, True, True, True]
    """
    words, quoted = _WORD.findall(sentence), _WORD.findall(written.quoted)
    held = {word.casefold() for word in quoted}
    asked = {word.casefold() for word in _WORD.findall(written.question)}
    if any(word[0].isdigit() and word not in held for word in words):
        return True
    if any(word[0].isupper() and word.casefold() not in held | asked for word in words[1:]):
        return True
    said = {word.casefold() for word in words}
    if _negates(said) and not _negates(held):
        return True
    stems = {word[:5] for word in held | asked}
    content = [word for word in said if len(word) > 3]
    return bool(content) and sum(word[:5] in stems for word in content) < SUPPORTED * len(content)


def _negates(words: set[str]) -> bool:
    return bool(words & _NOT) or any(word.endswith("n't") for word in words)
