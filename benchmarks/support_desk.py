"""The desk on lists of real questions: what it answers within an error budget, two questions in one message, a list mined from dialogues.

Lists of one domain of CLINC150 (15 intents) or of MultiDoGO's finance desk (its business intents, texts of three words and more under
one label), six texts each from train; asked with texts of valid and test that are not among them, 21 an intent. The domains here had
no part in any choice: those made it with CLINC150's other domains and Banking77. Mined: the customers' turns of MultiDoGO's train
dialogues, every group answered by the label that most of its texts have, as the person who accepts it would; judged on all turns of
test, of which most ask for nothing that is known. The peer is the nearest known text by TF-IDF of characters. On lists it answers
from the similarity that keeps the budget when each known text is left out; on the mined list from the best one for the very turns.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .line import Line, machine

if TYPE_CHECKING:
    from noria.apps.support.desk import Desk
    from noria.apps.support.faq import Faq

NAME = "support"
BUDGET, MINED_BUDGET = 0.02, 0.03
DOMAINS = {
    "credit cards": "credit_score report_lost_card credit_limit rewards_balance new_card application_status card_declined international_fees apr "
    "redeem_rewards credit_limit_change damaged_card replacement_card_duration improve_credit_score expiration_date",
    "travel": "book_flight book_hotel car_rental travel_suggestion travel_alert travel_notification carry_on timezone vaccines translate "
    "flight_status international_visa lost_luggage plug_type exchange_rate",
    "utility": "time alarm share_location find_phone weather text spelling make_call timer date calculator measurement_conversion flip_coin "
    "roll_dice definition",
}
SMALL_TALK = frozenset(
    (
        "openinggreeting",
        "closinggreeting",
        "thankyou",
        "contentonly",
        "outofdomain",
        "confirmation",
        "response",
        "rejection",
    )
)
JOINTS = ("{0}? {1}?", "{0} and {1}", "{0}, and also {1}?", "{0}. {1}", "hi, {0}? also {1}", "{0}, {1}")
PEER = "TF-IDF nearest, characters of 2 to 4 (scikit-learn)"
WANTED = "wanted (the bar that was set)"


def measure(*, quick: bool) -> list[Line]:
    """Return the lines; quick takes half of the questions."""
    with Embedding() as embed:
        return asyncio.run(_measure(embed, quick=quick))


class Embedding:
    """Multilingual-e5-small, and what it gave."""

    def __enter__(self) -> Embedding:
        from noria.infer.choose import open_engine
        from noria.make.models.bundled import e5_small

        self.folder = tempfile.TemporaryDirectory()
        self.engine = open_engine(e5_small(Path(self.folder.name) / "e5"))
        self.seen: dict[str, np.ndarray] = {}
        return self

    def __exit__(self, *_: object) -> None:
        self.engine.close()
        self.folder.cleanup()

    async def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Return the embeddings of texts [texts, width]."""
        from noria.infer.engine import answer

        new = sorted({text for text in texts if text not in self.seen}, key=len)
        for start in range(0, len(new), 64):
            part = new[start : start + 64]
            found = (np.array(one["embedding"], dtype=np.float32) for one in answer(self.engine, part))
            self.seen.update(zip(part, found, strict=True))
        return np.array([self.seen[text] for text in texts])


async def _measure(embed: Embedding, *, quick: bool) -> list[Line]:
    from noria.apps.support.judging import replies_to
    from noria.apps.support.opening import open_desk

    lines: list[Line] = []
    pairs: list[tuple[Desk, list[tuple[str, str]]]] = []
    for name, (faq, asked, outside) in _lists(quick=quick).items():
        desk = await open_desk(faq, embed, wrong=BUDGET)
        replies = await replies_to(desk, [*asked, *(("", text) for text in outside)], embed)
        inside = [(entry, reply) for entry, reply in replies if entry]
        right = sum(reply.action == "answer" and reply.entry == entry for entry, reply in inside)
        wrong = sum(reply.action == "answer" and reply.entry != entry for entry, reply in inside)
        handed = sum(reply.action == "handover" for entry, reply in replies if not entry)
        peer_right, peer_wrong = _nearest(faq, asked, BUDGET)
        n = len(inside)
        here = f"{name}, {len(faq.entries)} entries of six texts"
        lines += [
            share(
                f"right, {here}, at most 2 % wrong (of the peer {peer_wrong / n:.3f})", right, n, PEER, peer_right / n
            ),
            share(f"right, {here}, at most 2 % wrong", right, n, WANTED, 0.60),
            share(f"wrong, {here}", wrong, n, f"{WANTED}, at most", BUDGET, higher_is_better=False),
            share(f"outside, handed over, {here}", handed, len(replies) - n, "the desk before, another list", 0.91),
        ]
        pairs.append((desk, asked))
    lines += await _joined(pairs, embed, 20 if quick else 60)
    return lines + await _mined(embed, quick=quick)


async def _joined(pairs: Sequence[tuple[Desk, list[tuple[str, str]]]], embed: Embedding, most: int) -> list[Line]:
    """Return lines on two questions in one message: both answered or offered; and on one question that is cut all the same."""
    good = count = cut = single = 0
    for desk, asked in pairs:
        chooser = random.Random(most)
        for number in range(most):
            (one, first), (two, second) = chooser.sample(asked, 2)
            if one == two:
                continue
            text = JOINTS[number % len(JOINTS)].format(first.rstrip("?.! "), second.rstrip("?.! "))
            reply = await desk.ask(text, embed)
            named = {choice.entry for part in (reply.parts or (reply,)) for choice in part.choices}
            good, count = good + ({one, two} <= named), count + 1
        for _, text in asked[: 2 * most]:
            cut, single = cut + bool((await desk.ask(text, embed)).parts), single + 1
    return [
        share("two questions joined, both answered or offered", good, count, "the desk before, another list", 14 / 60),
        share("two questions joined, both answered or offered", good, count, WANTED, 0.80),
        share("one question, not cut", single - cut, single, f"{WANTED}, none cut", 1.0),
    ]


async def _mined(embed: Embedding, *, quick: bool) -> list[Line]:
    """Return lines on a list mined from MultiDoGO's train dialogues, judged on the turns of test."""
    from noria.apps.support.dialogues import Turn
    from noria.apps.support.judging import replies_to
    from noria.apps.support.mining import mine
    from noria.apps.support.opening import open_desk
    from noria.apps.support.plain import plain

    rows = rows_of("multidogo-finance/train")
    if quick:
        kept = set(list(dict.fromkeys(row["dialogue"] for row in rows))[:500])
        rows = [row for row in rows if row["dialogue"] in kept]
    talks: dict[str, list[Turn]] = {}
    for row in rows:
        talks.setdefault(row["dialogue"], []).append(Turn("customer", row["text"]))
    labels: dict[str, Counter[str]] = {}
    for row in rows:
        labels.setdefault(plain(row["text"]), Counter())[row["label"]] += 1
    found = await mine([tuple(turns) for turns in talks.values()], embed)
    forms: dict[str, dict[str, None]] = {}
    for one in found:
        votes: Counter[str] = Counter()
        for text in (one.question, *one.similar):
            votes += labels.get(plain(text), Counter())
        label = votes.most_common(1)[0][0] if votes else ""
        if label and label not in SMALL_TALK and "<div>" not in label:  # the person who accepts drops small talk
            forms.setdefault(label, {}).update(dict.fromkeys((one.question, *one.similar)))
    faq = list_of({label: list(texts) for label, texts in forms.items()})
    turns = [row for row in rows_of("multidogo-finance/test") if "<div>" not in row["label"]]
    asked = [(row["label"] if row["label"] in forms else "", row["text"]) for row in turns[: 1_000 if quick else None]]
    replies = await replies_to(await open_desk(faq, embed, wrong=MINED_BUDGET), asked, embed)
    inside = [(entry, reply) for entry, reply in replies if entry]
    n = len(inside)
    right = sum(reply.action == "answer" and reply.entry == entry for entry, reply in inside)
    wrong = sum(reply.action == "answer" and reply.entry != entry for entry, reply in replies)
    back = sum(reply.action == "confirm" for _, reply in inside)
    peer_right = _nearest_at(faq, asked, MINED_BUDGET)
    here = f"list mined from {len(talks):,} dialogues, {len(faq.entries)} entries"
    return [
        share(f"right of business turns, {here}", right, n, f"{PEER}, at 3 % wrong of the same turns", peer_right / n),
        share(
            f"right of business turns, {here}", right, n, f"{WANTED}, twice the nearest", min(1.0, 2 * peer_right / n)
        ),
        share(f"asked back, {here}", back, n, PEER, 0.0),
        share(f"wrong of all turns, {here}", wrong, len(replies), WANTED, MINED_BUDGET, higher_is_better=False),
    ]


def _nearest_at(faq: Faq, asked: Sequence[tuple[str, str]], budget: float) -> int:
    """Return how many questions the nearest known text answers rightly where its threshold is the best for these very questions that
    keeps the budget."""
    names, found = _similarities(faq, [text for _, text in asked])
    right = names[found.argmax(axis=1)] == np.array([name for name, _ in asked])
    order = np.argsort(-found.max(axis=1), kind="stable")
    within = np.flatnonzero(np.cumsum(~right[order]) / len(asked) <= budget)
    return int(right[order][: within[-1] + 1].sum()) if len(within) else 0


def _lists(*, quick: bool) -> dict[str, tuple[Faq, list[tuple[str, str]], list[str]]]:
    """Return, by name, a list, questions with their entry, and questions outside."""
    train, asked = by_label("clinc150/train"), by_label("clinc150/val", "clinc150/test")
    outside = [row["text"] for row in rows_of("clinc150/oos_test")][: 100 if quick else 300]
    found = {}
    for name, labels in DOMAINS.items():
        chosen = labels.split()
        found[f"CLINC150 {name}"] = (*_drawn({one: train[one] for one in chosen}, asked, quick=quick), outside)
    train, asked = (by_label(f"multidogo-finance/{part}", words=3) for part in ("train", "test"))
    business = [one for one in sorted(train) if one not in SMALL_TALK and one in asked and len(set(train[one])) >= 12]
    found["MultiDoGO finance"] = (*_drawn({one: train[one] for one in business}, asked, quick=quick), outside)
    return found


def _drawn(
    train: dict[str, list[str]], asked: dict[str, list[str]], *, quick: bool
) -> tuple[Faq, list[tuple[str, str]]]:
    chooser = random.Random(0)
    forms = {name: chooser.sample(sorted(set(texts)), 6) for name, texts in sorted(train.items())}
    known = {text for texts in forms.values() for text in texts}
    rows = []
    for name in forms:
        texts = [text for text in dict.fromkeys(asked[name]) if text not in known]
        chooser.shuffle(texts)
        rows += [(name, text) for text in texts[: 10 if quick else 21]]
    return list_of(forms), rows


def list_of(forms: dict[str, list[str]]) -> Faq:
    """Return a list of questions, an entry for each name with its ways to ask."""
    from noria.apps.support.faq import read_faq

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "faq.jsonl"
        rows = [
            {"id": name, "question": texts, "answer": f"Answer {number}.", "language": "en"}
            for number, (name, texts) in enumerate(forms.items())
        ]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return read_faq(file)


def _nearest(faq: Faq, asked: Sequence[tuple[str, str]], budget: float) -> tuple[int, int]:
    """Return how many questions the nearest known text answers rightly and wrongly, from the similarity that keeps the budget on
    known texts left out."""
    names, alike = _similarities(faq, [text for entry in faq.entries for _, text in entry.known()])
    np.fill_diagonal(alike, -1.0)
    order = np.argsort(-alike.max(axis=1), kind="stable")
    missed = np.cumsum((names[alike.argmax(axis=1)] != names)[order]) / len(names)
    within = np.flatnonzero(missed <= budget)
    least = alike.max(axis=1)[order][within[-1]] if len(within) else np.inf
    _, found = _similarities(faq, [text for _, text in asked])
    right = names[found.argmax(axis=1)] == np.array([name for name, _ in asked])
    answered = found.max(axis=1) >= least
    return int((answered & right).sum()), int((answered & ~right).sum())


def _similarities(faq: Faq, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the entry of each known text, and the similarity of texts to each, [texts, known]."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    known = [(entry.id, text) for entry in faq.entries for _, text in entry.known()]
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True)
    rows = vectorizer.fit_transform([text for _, text in known])
    return np.array([name for name, _ in known]), np.asarray((vectorizer.transform(texts) @ rows.T).todense())


def share(measure: str, count: int, n: int, peer_name: str, peer: float, *, higher_is_better: bool = True) -> Line:
    """Return the line of a share with its interval (Wilson, 95 %), divided by the peer's."""
    from noria.core.figure import proportion

    figure = proportion(measure, count, n)
    ends = [max(1e-4, float(one)) for one in (figure.value, figure.low or 0.0, figure.high or 0.0)]
    ratios = [one / max(peer, 1e-4) if higher_is_better else peer / one for one in ends]
    low, high = sorted(ratios[1:])
    return Line(NAME, measure, figure.value, peer, peer_name, "share", ratios[0], n, low, high, machine())


def rows_of(name: str) -> list[dict[str, str]]:
    """Return the rows of a set of intents, as `clinc150/train`."""
    file = Path(os.environ["NORIA_DATA"]) / "intent" / f"{name}.jsonl"
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]


def by_label(*names: str, words: int = 1) -> dict[str, list[str]]:
    """Return the texts of each label that have so many words and no other label."""
    labels: dict[str, set[str]] = {}
    rows = [row for name in names for row in rows_of(name)]
    for row in rows:
        labels.setdefault(row["text"].strip().casefold(), set()).add(row["label"])
    found: dict[str, list[str]] = {}
    for row in rows:
        text = row["text"].strip()
        if len(text.split()) >= words and len(labels[text.casefold()]) == 1:
            found.setdefault(row["label"], []).append(text)
    return found
