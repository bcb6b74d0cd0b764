"""Past dialogues -> proposals for a list of questions: what customers ask, alike ones merged, with what the desk replied.

Nothing of it is known to a desk before a person has accepted it: `read_faq` takes only rows whose column `accepted` says so.
Personal data is masked first, so that none of it is compared, counted or written; names of people are not found by it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from noria.apps.embedding import Embed
from noria.text.personal_data import mask
from noria.text.script import has_han, simplified

from .courtesies import courtesy, question_in, wants_person
from .dialogues import Dialogue
from .faq import read_faq
from .matching import unit
from .parts import clauses
from .plain import plain, tokens

SHORTEST, LONGEST = 2, 40
"""Words, or Chinese characters, of what is taken for a question; shorter is an answer, longer a story."""
SIMILAR = 8
"""Most similar questions that a proposal lists: those most often asked, apart from its title."""
SOURCES = 3
"""Places that a proposal names at most of those where it was asked."""
NEAR = 0.62
"""Cosine of centred embeddings from which two questions are taken for one."""
BLOCK = 2_000
FEW = 100
"""Texts below which their own mean is no mean of texts."""
_MASKED = re.compile(r"<[A-Z_]+>")
_NUMBER = re.compile(r"\d{3,}")


@dataclass(frozen=True)
class Proposal:
    """A question that customers ask, with what it may be answered."""

    asked: int
    """How often, in so many words or others."""
    question: str
    similar: tuple[str, ...]
    answer: str
    """The desk's reply that is most like all its replies; empty where none is known."""
    sources: tuple[str, ...] = ()
    """Where it was asked: names of files, or ids of conversations."""


def exchanges(dialogues: Iterable[Dialogue]) -> list[tuple[str, str, str]]:
    """Return each question of a customer with what the desk said next, both masked, "" where it said nothing of use; and where."""
    found = []
    for turns in dialogues:
        for at, turn in enumerate(turns):
            if turn.speaker != "customer":
                continue
            parts = [mask(turn.text)[0]] if turn.whole else [clause.text for clause in clauses(mask(turn.text)[0])]
            asked = [one for part in parts if (one := _question(part))]
            if len(asked) > 1 and not all(clause.asks for clause in clauses(turn.text)):
                asked = [one] if (one := _question(mask(turn.text)[0])) else asked
            said = []
            for other in turns[at + 1 :]:
                if other.speaker == "customer":
                    break
                said.append(other.text)
            answer = " ".join(text for text in said if not courtesy(text))
            found += [(one, mask(answer)[0] if len(asked) == 1 else "", turn.source) for one in asked]
    return found


async def mine(
    dialogues: Iterable[Dialogue], embed: Embed | None = None, *, least: int = 2, near: float = NEAR
) -> list[Proposal]:
    """Return proposals, the most asked first.

    Args:
        dialogues: who said what.
        embed: texts -> embeddings, by which paraphrases are found; without it only texts of nearly the same words are merged.
        least: how often a question must have been asked.
        near: cosine from which two questions are taken for one.
    """
    pairs = exchanges(dialogues)
    counts: Counter[str] = Counter()
    shown: dict[str, Counter[str]] = {}
    replies: dict[str, list[str]] = {}
    places: dict[str, list[str]] = {}
    for question, answer, source in pairs:
        key = plain(question)
        counts[key] += 1
        places.setdefault(key, []).append(source)
        shown.setdefault(key, Counter())[question] += 1
        if answer:
            replies.setdefault(key, []).append(answer)
    keys = [key for key, _ in counts.most_common()]
    if not keys:
        return []
    vectors = await vectors_of(keys, embed)
    found = []
    for group in groups(vectors, np.array([counts[key] for key in keys]), near):
        members = [keys[at] for at in group]
        total = sum(counts[key] for key in members)
        if total < least:
            continue
        centre = unit(vectors[group].mean(axis=0)[None, :])[0]
        title = max(group, key=lambda at: (float(vectors[at] @ centre) + 0.1 * np.log(counts[keys[at]]), -at))
        others = [at for at in sorted(group, key=lambda at: (-counts[keys[at]], at)) if at != title]
        forms = [shown[keys[at]].most_common(1)[0][0] for at in (title, *others)]
        answer = await _best_answer([one for key in members for one in replies.get(key, ())], embed)
        last = dict.fromkeys(source for key in members for source in reversed(places[key]) if source)
        found.append(Proposal(total, forms[0], tuple(forms[1 : SIMILAR + 1]), answer, tuple(last)[:SOURCES]))
    return sorted(found, key=lambda one: -one.asked)


def groups(vectors: np.ndarray, counts: np.ndarray, near: float) -> list[np.ndarray]:
    """Return the rows that mean one thing, as groups.

    Each row, the most asked first, joins the group whose mean is nearest, where it is near enough, or begins one; then every row
    goes to the mean that is nearest to it (one step of k-means), and groups whose means are near are one.

    Args:
        vectors: of length 1, [rows, width], the most asked first.
        counts: how often each was asked.
        near: the cosine that is near enough.
    """
    sums, means, count = np.zeros_like(vectors), np.zeros_like(vectors), 0
    for row, vector in enumerate(vectors):
        alike = means[:count] @ vector
        best = int(alike.argmax()) if count else -1
        if best < 0 or float(alike[best]) < near:
            best, count = count, count + 1
        sums[best] += counts[row] ** 0.5 * vector
        means[best] = sums[best] / np.linalg.norm(sums[best])
    means = means[:count]
    order = _merged(means, near)
    owner = np.empty(len(vectors), dtype=int)
    for start in range(0, len(vectors), BLOCK):
        part = vectors[start : start + BLOCK] @ means.T
        owner[start : start + BLOCK] = part.argmax(axis=1)
    owner = order[owner]
    return [np.flatnonzero(owner == one) for one in dict.fromkeys(owner.tolist())]


def _merged(means: np.ndarray, near: float) -> np.ndarray:
    """Return for each mean the first one that it is near to, over any number of steps."""
    owner = np.arange(len(means))
    for at in range(1, len(means)):
        alike = means[:at] @ means[at]
        best = int(alike.argmax())
        if alike[best] >= near + 0.1:
            owner[at] = owner[best]
    return owner


def _question(text: str) -> str:
    """Return what of a customer's turn may be asked again by others, or ""."""
    said = " ".join(question_in(text).split())
    if courtesy(said) or wants_person(said) or _MASKED.search(said) or _NUMBER.search(said):
        return ""
    size = len([one for one in tokens(said) if len(one) == 1 or not has_han(one[0])])
    return said if SHORTEST < size <= LONGEST and re.search(r"[^\W\d_]", said) else ""


def forms_of(proposal: Proposal) -> tuple[str, ...]:
    """Return every wording of a proposal, its title first."""
    return (proposal.question, *proposal.similar)


async def vectors_of(keys: Sequence[str], embed: Embed | None) -> np.ndarray:
    """Return vectors of length 1, by embeddings less their mean, or without a model by words [keys, width].

    The mean of a few says what they are about: the bundled questions stand beside them, so that what is common to all texts goes, and no
    more.
    """
    if embed is None:
        return _by_words(keys)
    beside = [entry.title(one) for entry in read_faq().entries for one in ("zh", "en")] if len(keys) < FEW else []
    vectors = np.asarray(await embed([simplified(text) for text in (*keys, *beside)]), dtype=np.float64)
    return unit(vectors - vectors.mean(axis=0))[: len(keys)]


def _by_words(texts: Sequence[str]) -> np.ndarray:
    """Return vectors of the words and character triples of texts, rare ones weighing more."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    found = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True).fit_transform(texts)
    width = min(256, len(texts) - 1, found.shape[1] - 1)
    if width < 2:
        return unit(found.toarray())
    return unit(TruncatedSVD(width, random_state=0).fit_transform(found))


async def _best_answer(answers: Sequence[str], embed: Embed | None) -> str:
    """Return the reply most like all others that asks nothing back and names nobody's data; any reply where all do."""
    good = [one for one in answers if not _MASKED.search(one) and not one.rstrip().endswith(("?", "？"))] or list(
        answers
    )
    if len(good) < 3:
        return max(good, key=len, default="")
    kept = [text for text, _ in Counter(good).most_common(50)]
    weights = np.array([Counter(good)[text] for text in kept], dtype=float)
    vectors = await vectors_of(kept, embed) if len(kept) > 2 else np.eye(len(kept))
    return kept[int((vectors @ (weights @ vectors)).argmax())]
