"""How sure to be that an entry is meant, or none: probabilities for lists of one entry as of hundreds.

A conditional logit (McFadden 1974): each entry's clues make its score, those of the questions outside make the score of "none of
them", and the softmax over all gives the probabilities. Ten weights are fitted (ridge towards a prior, Newton's method), on
questions that never depend on a list having paraphrases or outside questions of its own:

- the bundled questions about Noria, cut down at random to lists of the same shape (as many entries, as many phrasings an entry and
  language), asked with phrasings that were left out, with bundled questions outside, and with those of entries left out;
- the list's own phrasings, each left out in turn, wherever its entry has another, and its own entries left out whole.

What share of what people ask has an answer is not known before they ask; a short list has less of it (`inside_share`). And no
probability exceeds (n + 1) / (n + 2), n the phrasings that speak for it: Laplace's rule of succession (1774; see Zabell 1989), what
n observations without a counterexample allow.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from noria.core.figure import Figure, proportion
from noria.core.messages import message

from .faq import Faq
from .matching import Facts, Known, Matcher

REFERENCE_WEIGHT = 300.0
"""How many observations all simulated ones weigh together; own ones weigh 1.5 an inside one, their outside ones included."""
PRIOR = np.array([7.0, 3.0, 3.5, 6.5, 1.0, 1.5, 2.5, 0.5, 4.0, 1.0])
"""Weights of the clues of an entry (ridge; embedding of the closest phrasing, the mean one, the answer; words of the closest, the mean)
and of none (1; ridge; closest outside by embedding, by words): about what five lists of CLINC150 and one of Banking77 gave."""
SHRINK = 1.0
"""Half the weight of the squared distance from them."""
MISMATCH = 4.0
"""Nats that an entry loses to which another number or symbol belongs than the question names."""
BORROWED = 15
"""How many of a list's own phrasings those of lists cut from the bundled questions stand for, where a threshold is sought."""
INSIDE = 200
"""Left-out questions asked of simulated lists, about."""
ALTERNATIVES = 3
"""Entries offered when asking back."""
MOST_LISTS = 40
MOST_FORMS = 4
REFERENCE = ("zh", "en")
"""Languages of the bundled questions."""
OWN = 2_000
"""Most own rows that are left out in turn."""


@dataclass(frozen=True)
class Seen:
    """Questions whose entry is known: how sure the first one was, whether it was right, what the question weighs."""

    confidence: np.ndarray
    right: np.ndarray
    weight: np.ndarray
    kinds: np.ndarray
    """0 where an entry answers it, 1 where none does, 2 where its entry was left out."""
    own: np.ndarray
    """Whether it is the list's, not of one cut from the bundled questions."""


@dataclass(frozen=True)
class Certainty:
    """The fitted probabilities for questions in one language."""

    weights: np.ndarray
    """[10], in the order of `PRIOR`."""
    most: float
    """(n + 1) / (n + 2)."""
    seen: Seen | None = None
    """What it was fitted on."""

    def probabilities(self, facts: Facts) -> np.ndarray:
        """Return the probability of each candidate and, in the last column, of none of them, [questions, candidates + 1]."""
        features, offset = _features(facts)
        found = _softmax(features @ self.weights + offset)
        # What the cap takes from the first goes to none.
        over = np.maximum(found[:, :-1] - self.most, 0.0)
        found[:, :-1] -= over
        found[:, -1] += over.sum(axis=1)
        return found

    def __call__(self, facts: Facts) -> np.ndarray:
        """Return the probabilities that the first entry is meant, and that one of the first few is, [questions, 2]."""
        found = -np.sort(-self.probabilities(facts)[:, :-1], axis=1)
        return np.column_stack([found[:, 0], found[:, :ALTERNATIVES].sum(axis=1)])

    def order(self, facts: Facts) -> np.ndarray:
        """Return the entries, likeliest first, [questions, candidates]."""
        found = np.argsort(-self.probabilities(facts)[:, :-1], axis=1, kind="stable")
        return np.take_along_axis(facts.order, found, axis=1)

    def least(self, wrong: float) -> tuple[float, Figure]:
        """Return the least confidence from which answers may be given, and what share was answered wrongly from it on.

        At most a share `wrong` of the list's own phrasings, each left out, may be answered by another entry; beside them stand those of
        lists cut from the bundled questions, which weigh as `BORROWED` of them and decide for a list without paraphrases. Half a
        question more is taken to have been answered wrongly (Jeffreys' prior). And at most such a share of the questions outside may be
        answered at all. Where no threshold keeps the budget it is above 1.
        """
        assert self.seen is not None
        seen, inside = self.seen, self.seen.kinds == 0
        order = np.argsort(-seen.confidence, kind="stable")
        chance = seen.confidence[order]

        def missed(mine: np.ndarray) -> np.ndarray:
            lost = np.where(mine & ~seen.right, seen.weight, 0.0)[order]
            return np.asarray(np.cumsum(lost) / max(float(seen.weight[mine].sum()), 1e-12))

        count, borrowed = int((inside & seen.own).sum()), int((inside & ~seen.own).sum())
        share = (count * missed(inside & seen.own) + BORROWED * missed(inside & ~seen.own)) / (count + BORROWED)
        # Questions as sure as the last one within are answered with it, or not at all.
        last = np.append(chance[1:] < chance[:-1], True)
        within = share + 0.5 / (count + borrowed + 1) <= wrong
        kept = np.flatnonzero(within & (missed(seen.kinds == 1) <= wrong) & last)
        least, lost = (float(chance[kept[-1]]), float(share[kept[-1]])) if len(kept) else (1.01, 0.0)
        note, count = message("apps.left_out_and_cut"), count + BORROWED
        return least, proportion("wrong answers", round(lost * count), count, source="left out", note=note)


@dataclass
class _Observations:
    """Facts, the entry that was meant, and the kind of question: 0 inside, 1 outside, 2 of an entry left out."""

    facts: list[Facts]
    truth: list[np.ndarray]
    kinds: list[np.ndarray]

    def add(self, facts: Facts, truth: np.ndarray | int, kind: int) -> None:
        """Add questions with the entry that was meant, -1 where there is none."""
        count = len(facts.order)
        self.facts.append(facts)
        self.truth.append(np.broadcast_to(truth, count).astype(int))
        self.kinds.append(np.full(count, kind))

    def weights(self, total: float, share: float) -> np.ndarray:
        """Return weights that sum to `total`: `share` inside, the rest half outside and half of entries left out."""
        kinds = np.concatenate(self.kinds)
        shares = {0: share, 1: (1 - share) / 2, 2: (1 - share) / 2}
        there = {kind: shares[kind] for kind in shares if (kinds == kind).any()}
        scale = total / sum(there.values())
        return np.array([scale * there[kind] / (kinds == kind).sum() for kind in kinds])


def inside_share(entries: int) -> float:
    """Return what share of questions is taken to have an answer in a list of so many entries: 0.16 for one, 0.48 for six, 0.8 for
    very many.

    An assumption, told in the docs: it is not known before people ask, and whoever writes one answer foresees little of it.
    """
    return 0.8 * entries / (entries + 4)


def certainties(
    matcher: Matcher, reference: Faq, vectors: dict[str, np.ndarray], seed: int = 0
) -> dict[str, Certainty]:
    """Return how sure to be of a matcher's first entry, by language asked in.

    Args:
        matcher: the list's own.
        reference: the bundled questions.
        vectors: embedding of every text of `reference`.
        seed: of the simulated lists.
    """
    forms = matcher.groups == 0
    numbers = Counter(map(reference_language, matcher.languages[forms].tolist()))
    counts = {one: min(MOST_FORMS, round(numbers[one] / matcher.count + 0.25)) for one in REFERENCE}
    if not any(counts.values()):
        counts = {one: int(numbers[one] > 0) for one in REFERENCE}
    total = int(forms.sum())
    simulated = {one: _simulated(matcher.count, counts, one, reference, vectors, seed) for one in REFERENCE}
    return {
        language: _fit(
            simulated[reference_language(language)],
            _own(matcher, language),
            inside_share(matcher.count),
            (total + 1) / (total + 2),
        )
        for language in {*REFERENCE, *matcher.languages[forms].tolist()}
    }


def reference_language(language: str) -> str:
    """Return which of the languages of the bundled questions stands for one: Chinese for itself, English for all others."""
    return language if language in REFERENCE else "en"


def reference_texts(reference: Faq) -> list[str]:
    """Return every text of the bundled questions that is embedded to be sure of others."""
    texts = [text for entry in reference.entries for _, text in entry.known()]
    texts += [text for entry in reference.entries for texts in entry.test.values() for text in texts]
    texts += [text for entry in reference.entries for text in entry.answers.values()]
    return texts + [row.text for row in reference.outside if row.split == "calibrate"]


def _fit(simulated: _Observations, own: _Observations, share: float, most: float) -> Certainty:
    inside = sum(int((kinds == 0).sum()) for kinds in own.kinds)
    used = [(simulated, simulated.weights(REFERENCE_WEIGHT, share))]
    if inside:
        used.append((own, own.weights(1.5 * inside, share)))
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []
    for seen, weights in used:
        start = 0
        for facts, truth in zip(seen.facts, seen.truth, strict=True):
            features, offset = _features(facts)
            meant = np.where(truth[:, None] >= 0, facts.order == truth[:, None], False)
            target = np.column_stack([meant, truth < 0])
            parts.append((features, offset, target, weights[start : start + len(truth)]))
            start += len(truth)
    weights = fit_logit(parts)
    fitted = Certainty(weights, most)
    chance, right = [], []
    for seen, _ in used:
        for facts, truth in zip(seen.facts, seen.truth, strict=True):
            chance.append(fitted(facts)[:, 0])
            right.append(fitted.order(facts)[:, 0] == truth)
    kinds = np.concatenate([one for seen, _ in used for one in seen.kinds])
    mine = np.concatenate([np.full(len(one), seen is own) for seen, _ in used for one in seen.kinds])
    weight = np.concatenate([weights for _, weights in used])
    return Certainty(weights, most, Seen(np.concatenate(chance), np.concatenate(right), weight, kinds, mine))


def fit_logit(
    parts: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]],
    prior: np.ndarray = PRIOR,
    shrink: float = SHRINK,
    steps: int = 50,
) -> np.ndarray:
    """Return the weights of a conditional logit by Newton's method.

    Args:
        parts: features [questions, alternatives, weights], what is added to each alternative's score, whether each is the one that was
            chosen [questions, alternatives] (a question without any says nothing), and the weight of each question.
        prior: the weights it is drawn to.
        shrink: half the weight of the squared distance from them.
        steps: most steps.
    """
    weights = np.array(prior, dtype=np.float64)
    for _ in range(steps):
        slope = 2 * shrink * (weights - prior)
        curvature = 2 * shrink * np.eye(len(prior))
        for features, offset, target, weight in parts:
            chance = _softmax(features @ weights + offset)
            there = weight * target.any(axis=1)
            slope += np.einsum("q,qk,qkf->f", there, chance - target, features, optimize=True)
            middle = np.einsum("qk,qkf->qf", chance, features, optimize=True)
            curvature += np.einsum("q,qk,qkf,qkg->fg", there, chance, features, features, optimize=True)
            curvature -= np.einsum("q,qf,qg->fg", there, middle, middle, optimize=True)
        step = np.linalg.solve(curvature, slope)
        weights = weights - step * min(1.0, 5.0 / float(np.abs(step).max() + 1e-12))
        if float(np.abs(step).max()) < 1e-6:
            break
    return weights


def _features(facts: Facts) -> tuple[np.ndarray, np.ndarray]:
    """Return the features of every candidate and of none, [questions, candidates + 1, 10], and what is added to their scores."""
    questions, candidates, clues = facts.clues.shape
    features = np.zeros((questions, candidates + 1, clues + facts.none.shape[1]))
    gone = np.isnan(facts.clues).any(axis=2)
    features[:, :-1, :clues] = np.where(gone[:, :, None], 0.0, facts.clues)
    features[:, -1, clues:] = facts.none
    offset = np.zeros((questions, candidates + 1))
    offset[:, :-1] = np.where(gone, -1e9, -MISMATCH * facts.other)
    return features, offset


def _softmax(scores: np.ndarray) -> np.ndarray:
    found = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(found / found.sum(axis=1, keepdims=True))


def _simulated(
    entries: int, counts: dict[str, int], language: str, reference: Faq, vectors: dict[str, np.ndarray], seed: int
) -> _Observations:
    random = np.random.default_rng(seed)
    size = min(entries, 2 * len(reference.entries) // 3)
    found = _Observations([], [], [])
    outside = [Known(row.text, "outside", -1, row.language) for row in reference.outside if row.split == "calibrate"]
    probes = [row.text for row in outside if row.language == language]
    for _ in range(min(MOST_LISTS, math.ceil(INSIDE / (3 * size)))):
        chosen = random.permutation(len(reference.entries))
        known, asked = list(outside), list[str]()
        truth: list[int] = []
        for place, at in enumerate(chosen[:size]):
            entry = reference.entries[at]
            for own in REFERENCE:
                texts = [text for of, text in entry.known() if of == own]
                known += [Known(text, "question", place, own) for text in texts[: counts[own]]]
                if own == language:
                    asked += [*texts[counts[own] :], *entry.test.get(own, ())]
                    truth += [place] * (len(asked) - len(truth))
                known.append(Known(entry.answer(own), "answer", place if counts[own] else -1, own))
        # Answers of other entries lie in the centre as the user's own do beside them.
        known += [
            Known(text, "answer", -1, of) for at in chosen[size:] for of, text in reference.entries[at].answers.items()
        ]
        matcher = Matcher(known, np.array([vectors[text.text] for text in known]))
        facts = matcher.facts(asked, np.array([vectors[text] for text in asked]))
        found.add(facts, np.array(truth), 0)
        mine = [at for at, text in enumerate(matcher.known) if text.kind == "outside" and text.language == language]
        found.add(matcher.left_out(np.array(mine)), -1, 1)
        others = [
            text for at in chosen[size : size + 20] for of, text in reference.entries[at].known() if of == language
        ]
        found.add(matcher.facts(others, np.array([vectors[text] for text in others])), -1, 2)
    assert probes
    return found


def _own(matcher: Matcher, language: str) -> _Observations:
    found = _Observations([], [], [])
    here = matcher.languages == language
    forms = np.flatnonzero((matcher.groups == 0) & here)
    numbers = np.bincount(matcher.entries[forms], minlength=matcher.count + 1)
    inside = forms[numbers[matcher.entries[forms]] > 1]
    if len(inside) > OWN:
        inside = inside[:: math.ceil(len(inside) / OWN)]
    if not len(inside):
        return found
    facts = matcher.left_out(inside)
    found.add(facts, matcher.entries[inside], 0)
    outside = np.flatnonzero((matcher.groups == 2) & here)
    if len(outside):
        found.add(matcher.left_out(outside), -1, 1)
    if matcher.count > 1:
        step = math.ceil(matcher.count / 200)
        for entry in range(0, matcher.count, step):
            mine = forms[matcher.entries[forms] == entry]
            if len(mine):
                found.add(matcher.without(entry, mine), -1, 2)
    return found


def confused(matcher: Matcher, sure: Mapping[str, Certainty]) -> list[tuple[Known, int]]:
    """Return the known phrasings that, were they left out, would be taken for another entry, and that entry."""
    found: list[tuple[Known, int]] = []
    for language in sorted(set(matcher.languages)):
        forms = np.flatnonzero((matcher.groups == 0) & (matcher.languages == language))
        numbers = np.bincount(matcher.entries[forms], minlength=matcher.count + 1)
        chosen = forms[numbers[matcher.entries[forms]] > 1][:OWN]
        if len(chosen):
            facts = matcher.left_out(chosen)
            chance, order = sure[language](facts)[:, 0], sure[language].order(facts)[:, 0]
            found += [
                (matcher.known[row], int(best))
                for row, best, clear in zip(chosen, order, chance, strict=True)
                if best != matcher.entries[row] and clear > 0.5
            ]
    return found
