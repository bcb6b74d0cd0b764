"""Documents of a knowledge base: which passage is found, whether it is known that there is none, what is quoted, and how fast.

XQuAD in Chinese and in English and the development questions of CMRC 2018 are asked of one base that holds all their paragraphs. The
passage is right where it is of the paragraph that the question was written for. Asked again with that paragraph left out, the right
reply is that it is not known. All that was fitted or chosen was so on other questions (`support_knowledge_fit.py`). Peer: BM25 over
Chinese characters, pairs of them and lower-case words, one index for all, k1 = 1.2 and b = 0.75, on the same paragraphs and questions.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from noria.apps.support.knowledge import LEAST
from noria.apps.support.knowledge.base import Knowledge
from noria.apps.support.knowledge.building import build
from noria.apps.support.knowledge.encoding import BRIEF, passage_embedder
from noria.text.script import sentence_spans

from . import child
from .line import Line, machine, single
from .quality import read

TEST = {"XQuAD zh": "qa/xquad/zh.jsonl", "XQuAD en": "qa/xquad/en.jsonl", "CMRC 2018 dev": "qa/cmrc2018/dev.parquet"}
RECALL = {"XQuAD zh": 0.955, "XQuAD en": 0.95, "CMRC 2018 dev": 0.975}
PEER = "BM25 over characters, pairs of them and words, one index"
COVERAGE = 0.8
BEGINNINGS = f"words and embeddings of the first {BRIEF} tokens"
QUICK = 300
"""Questions of each set that are asked where it must go fast."""


@dataclass
class Asked:
    """Questions of one set, and what came of each."""

    questions: list[str]
    gold: list[str]
    """Name of the document that answers."""
    answers: list[list[str]]
    vectors: np.ndarray | None = None
    right: list[bool] = field(default_factory=list)
    probabilities: list[float] = field(default_factory=list)
    removed: list[float] = field(default_factory=list)
    """Probability of the first passage where the one that answers is left out."""
    quoted: list[bool] = field(default_factory=list)
    """Whether the quoted text holds an answer."""
    lengths: list[int] = field(default_factory=list)
    """Characters of the quoted text."""
    milliseconds: list[float] = field(default_factory=list)


@dataclass
class Evidence:
    """What was found for every question, asked of all passages and of all but its own, in turn."""

    facts: list[Any] = field(default_factory=list)
    """Of the likeliest passages, [hits, facts]."""
    right: list[Any] = field(default_factory=list)
    """Which of them is the right one, [hits]."""
    rate: float = 0.0
    """Passages read and embedded a second."""


def documents(sets: dict[str, str], most: int | None = None) -> tuple[dict[str, str], dict[str, Asked]]:
    """Return name -> paragraph, and the questions of each set; `most` of a set, spread over it."""
    data = Path(os.environ.get("NORIA_DATA", ""))
    texts: dict[str, str] = {}
    names: dict[str, str] = {}
    asked = {}
    for name, file in sets.items():
        rows = read(data / file)
        for row in rows:
            if row["context"] not in names:
                names[row["context"]] = f"d{len(names)}"
                texts[names[row["context"]]] = row["context"]
        chosen = rows[:: max(1, len(rows) // most)] if most else rows
        asked[name] = Asked(
            [row["question"] for row in chosen],
            [names[row["context"]] for row in chosen],
            [[one["text"] for one in row["answers"]] for row in chosen],
        )
    return texts, asked


def ask(
    folder: Path, texts: dict[str, str], asked: dict[str, Asked], model: Path | None, *, brief: bool = False
) -> Evidence:
    """Build a base, ask all questions of it, and return what came of them besides what each set keeps.

    Args:
        folder: for the base.
        texts: its paragraphs by name.
        asked: the questions; what came of them is put there.
        model: that embeds; None where words alone decide.
        brief: whether the beginnings of paragraphs are embedded, as a large base answers at first.
    """
    rows = folder / "paragraphs.jsonl"
    rows.write_text("".join(json.dumps({"id": name, "text": text}) + "\n" for name, text in texts.items()))
    evidence = Evidence()
    with passage_embedder(model) as whole:
        embedder = whole.brief if whole and brief else whole
        begun = time.perf_counter()
        built = build([rows], folder / "kb", embedder=embedder)
        evidence.rate = built.passages / (time.perf_counter() - begun)
        for one in asked.values():
            one.vectors = embedder.probe(one.questions) if embedder else None
    base = Knowledge.open(folder / "kb")
    of = np.array([passage.document for _, passage in base.passages(np.arange(len(base)))])
    for one in asked.values():
        for at, (question, gold, answers) in enumerate(zip(one.questions, one.gold, one.answers, strict=True)):
            vector = None if one.vectors is None else one.vectors[at]
            without = np.flatnonzero(of == gold)
            for left_out in (None, without):
                begun = time.perf_counter()
                found = base.find(question, vector, left_out)
                took = time.perf_counter() - begun
                hits = base.hits(question, vector, left_out)
                evidence.facts.append(hits.facts)
                evidence.right.append(of[hits.rows] == gold)
                if left_out is not None:
                    one.removed.append(found.probability if found else 0.0)
                    continue
                one.milliseconds.append(1e3 * took)
                one.right.append(bool(evidence.right[-1][0]))
                one.probabilities.append(found.probability if found else 0.0)
                one.quoted.append(found is not None and any(answer in found.text for answer in answers))
                one.lengths.append(len(found.text) if found else 0)
    base.close()
    return evidence


def peer(texts: dict[str, str], asked: dict[str, Asked]) -> dict[str, np.ndarray]:
    """Return whether plain BM25 finds the paragraph of each question."""
    from scipy.sparse import csr_matrix

    vocabulary: dict[str, int] = {}

    def counted(given: Sequence[str]) -> Any:
        indices: list[int] = []
        ends = [0]
        for text in given:
            for run in re.findall(r"[\u4e00-\u9fff]+|[^\W\u4e00-\u9fff]+", text.lower()):
                pieces = [*run, *map("".join, itertools.pairwise(run))] if run[0] >= "\u4e00" else [run]
                indices += [vocabulary.setdefault(piece, len(vocabulary)) for piece in pieces]
            ends.append(len(indices))
        matrix = csr_matrix((np.ones(len(indices)), indices, ends), shape=(len(given), 1 << 20))
        matrix.sum_duplicates()
        return matrix

    held = counted(list(texts.values()))
    holding = np.bincount(held.indices, minlength=1 << 20)
    idf = np.log1p((len(texts) - holding + 0.5) / (holding + 0.5))
    lengths = np.asarray(held.sum(axis=1)).ravel()
    own = np.repeat(lengths / lengths.mean(), np.diff(held.indptr))
    held.data = idf[held.indices] * held.data * 2.2 / (held.data + 1.2 * (0.25 + 0.75 * own))
    names = np.array(list(texts))
    return {
        name: names[np.asarray((counted(one.questions) @ held.T).todense()).argmax(axis=1)] == np.array(one.gold)
        for name, one in asked.items()
    }


@dataclass(frozen=True)
class Scale:
    """What a base of many passages takes."""

    minutes: float
    mebibytes: float
    """Most memory that the process held, what was mapped of files included."""
    p50: float
    p99: float
    """Milliseconds a question, its embedding included where there is a model."""


def scale(folder: Path, passages: int, model: Path | None, questions: Sequence[str]) -> Scale:
    """Index made-up passages, sentences of real ones in another order, in a process of its own, and ask one question after the other.

    With a model the vectors of the passages are drawn at random: what they are changes nothing of the time that a reply takes, and
    how long embedding takes is measured on real passages.
    """
    random = np.random.default_rng(0)
    texts, _ = documents(TEST)
    pieces = [text[low:high] for text in texts.values() for low, high in sentence_spans(text)]
    with (folder / "many.jsonl").open("w", encoding="utf-8") as out:
        for number in range(passages):
            picked = random.integers(0, len(pieces), 5)
            out.write(json.dumps({"id": str(number), "text": "".join(pieces[at] for at in picked)}) + "\n")
    (folder / "questions.json").write_text(json.dumps(list(questions)), encoding="utf-8")
    told = child.run("benchmarks.support_knowledge", str(folder), str(model or ""))
    return Scale(told["minutes"], told["megabytes"], told["p50"], told["p99"])


def main(folder: str, model: str = "") -> None:
    """Make the base of a folder's passages, ask it, and print what that took."""
    questions = json.loads((Path(folder) / "questions.json").read_text(encoding="utf-8"))
    random = np.random.default_rng(0)
    with passage_embedder(Path(model) if model else None) as embedder:
        width = embedder.probe(["1"]).shape[1] if embedder else 0

        def drawn(given: Sequence[str]) -> np.ndarray:
            vectors = random.normal(size=(len(given), width))
            return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))

        brief = replace(embedder.brief, embed=drawn) if embedder and embedder.brief else None
        begun = time.perf_counter()
        build(
            [Path(folder) / "many.jsonl"],
            Path(folder) / "many",
            embedder=replace(embedder, embed=drawn, brief=brief) if embedder else None,
        )
        minutes = (time.perf_counter() - begun) / 60
        base = Knowledge.open(Path(folder) / "many")
        milliseconds = []
        for question in questions:
            begun = time.perf_counter()
            base.find(question, embedder.probe([question])[0] if embedder else None)
            milliseconds.append(1e3 * (time.perf_counter() - begun))
    p50, p99 = np.quantile(milliseconds[20:], [0.5, 0.99])
    print(json.dumps({"minutes": minutes, "p50": p50, "p99": p99}))


def measure(*, quick: bool) -> list[Line]:
    """Return the lines, with the bundled multilingual-e5-small and by words alone; quick knows XQuAD alone, and asks fewer questions."""
    from noria.make.models.bundled import e5_small

    sets = {name: file for name, file in TEST.items() if not quick or name.startswith("XQuAD")}
    texts, _ = documents(sets)
    lines: list[Line] = []
    with tempfile.TemporaryDirectory(prefix="noria-bench-") as there:
        model = e5_small(Path(there) / "e5")
        rates = []
        for kind, folder, brief in (
            ("words and embeddings", model, False),
            (BEGINNINGS, model, True),
            ("words alone", None, False),
        ):
            _, asked = documents(sets, QUICK if quick else None)
            where = Path(there) / kind.replace(" ", "-")
            where.mkdir()
            evidence = ask(where, texts, asked, folder, brief=brief)
            lines += _lines(kind + ", a base of XQuAD alone" * quick, asked, peer(texts, asked))
            if folder is not None:
                rates.append(evidence.rate)
                what = f"passages indexed a second, {'beginnings embedded' if brief else 'embedded'}"
                lines.append(_figure(what, evidence.rate, 100_000 / 600, "passages/s"))
        questions = [
            question for one in asked.values() for question in one.questions[:: max(1, len(one.questions) // 150)]
        ]
        lines += _scales(Path(there), model, questions, rates[1], quick=quick)
    return lines


def _scales(folder: Path, model: Path, questions: Sequence[str], rate: float, *, quick: bool) -> list[Line]:
    """Return how soon 10,000 passages reply, and what 100,000 take until they are found by their words, and until by embeddings of their
    beginnings; a tenth of them by words where it must go fast.

    Args:
        folder: for the bases.
        model: that embeds.
        questions: that are asked.
        rate: beginnings of real passages read and embedded a second.
        quick: whether it must go fast.
    """
    count = 10_000 if quick else 100_000
    words = scale(folder, count, None, questions)
    shutil.rmtree(folder / "many")
    both = scale(folder, 10_000, model, questions)
    found = [
        _figure("reply p50, 10,000 passages, embedding included", both.p50, 40.0, "ms", less=True),
        _figure("reply p99, 10,000 passages, embedding included", both.p99, 120.0, "ms", less=True),
    ]
    measured = [(f"{count:,} passages, words alone", words, words.minutes)]
    if not quick:
        shutil.rmtree(folder / "many")
        # Its vectors are drawn: to all that is written of them comes the time that the beginnings of so many take.
        soon = scale(folder, count, model, questions)
        measured.append((f"{count:,} passages, {BEGINNINGS}", soon, soon.minutes + count / rate / 60))
    for at, one, minutes in measured:
        found += [
            _figure(f"minutes to index, {at}", minutes, 10.0 * count / 100_000, "min", less=True),
            _figure(f"memory to index, {at}", one.mebibytes, 1024.0, "MiB", less=True),
            _figure(f"reply p50, {at}", one.p50, 40.0, "ms", less=True),
            _figure(f"reply p99, {at}", one.p99, 120.0, "ms", less=True),
        ]
    return found


def _figure(measured: str, value: float, bar: float, unit: str, *, less: bool = False) -> Line:
    """Return the line of one measurement beside what is wanted; a ratio of 1 and more reaches it."""
    return single("support", measured, value, bar, f"wanted: {bar:,.4g} {unit}", unit, higher_is_better=not less)


def _lines(kind: str, asked: dict[str, Asked], found: dict[str, np.ndarray]) -> list[Line]:
    lines = []
    for name, one in asked.items():
        right = np.array(one.right, dtype=float)
        lines.append(_line(f"passage recall@1, {name}, {kind}", right, found[name].astype(float), PEER))
        lines.append(_line(f"passage recall@1, {name}, {kind}", right, RECALL[name], f"wanted: {RECALL[name]:.3f}"))
    removed = np.concatenate([one.removed for one in asked.values()])
    there = np.concatenate([one.probabilities for one in asked.values()])
    quoted = np.concatenate([one.quoted for one in asked.values()])
    surest = there >= np.quantile(there, 1 - COVERAGE)
    for measured, values, bar in (
        ("says that it is not known, passage left out", removed < LEAST, 0.9),
        ("does not refuse, passage there", there >= LEAST, 0.9),
        ("quoted text holds the answer, of the surest four in five", quoted[surest], 0.9),
    ):
        lines.append(_line(f"{measured}, {kind}", values.astype(float), bar, f"wanted: {bar:.2f}"))
    return lines


def _line(measured: str, noria: np.ndarray, peers: np.ndarray | float, name: str) -> Line:
    """Return the line of a share of questions; the interval of the ratio is from 999 resamples of the questions."""
    random = np.random.default_rng(0)
    draws = random.integers(0, len(noria), (999, len(noria)))
    theirs = peers[draws].mean(axis=1) if isinstance(peers, np.ndarray) else peers
    low, high = np.quantile(noria[draws].mean(axis=1) / theirs, [0.025, 0.975])
    value, other = float(noria.mean()), float(np.mean(peers))
    return Line(
        "support", measured, value, other, name, "share", value / other, len(noria), float(low), float(high), machine()
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
