"""How sure to be that the first entry, or one of the first three, is meant: probabilities for lists of one entry as of hundreds.

Two logistic regressions (ridge, Newton's method) on the four facts of a match. What they are fitted on never depends on a list having
paraphrases or outside questions of its own:

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
from dataclasses import dataclass, replace

import numpy as np

from noria.core.figure import Figure, proportion
from noria.core.messages import message

from .faq import Faq
from .matching import Facts, Known, Matcher

REFERENCE_WEIGHT = 300.0
"""How many observations all simulated ones weigh together; own ones weigh 1.5 an inside one, their outside ones included."""
SHRINK = 0.1
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
class Certainty:
    """The fitted probability for questions in one language."""

    mean: np.ndarray
    scale: np.ndarray
    slopes: np.ndarray
    """[5, 2]: intercept and slopes, for the first entry and for the first `ALTERNATIVES`."""
    most: float
    """(n + 1) / (n + 2)."""
    seen: tuple[np.ndarray, np.ndarray, np.ndarray] = (np.zeros(0), np.zeros(0, dtype=bool), np.zeros(0))
    """Of the questions it was fitted on: the probability, whether the first entry was right, and the weight."""

    def __call__(self, facts: Facts) -> np.ndarray:
        """Return the probabilities that the first entry is meant, and that one of the first few is, [questions, 2]."""
        scaled = (facts.values - self.mean) / self.scale
        chance = _sigmoid(np.column_stack([np.ones(len(scaled)), scaled]) @ self.slopes)
        # A question that names another number or symbol than all entries do asks for something else.
        chance = self.most * np.where(facts.other[:, None], chance / 2, chance)
        return np.column_stack([chance[:, 0], chance.max(axis=1)])

    def least(self, wrong: float) -> tuple[float, Figure]:
        """Return the least confidence from which answers may be given so that at most a share `wrong` of all questions is answered
        wrongly, and what share that was of those observed.

        The share is taken as if half a question more had been answered wrongly (a prior of Jeffreys'), so a few observations without
        a fault allow nothing yet. No answer is given where no threshold keeps the budget: then it is above 1.
        """
        chance, right, weight = self.seen
        order = np.argsort(-chance, kind="stable")
        total = float(weight.sum())
        count = total**2 / float((weight**2).sum()) if total else 0.0
        missed = np.cumsum(np.where(right, 0.0, weight)[order]) / max(total, 1e-12)
        within = np.flatnonzero(missed + 0.5 / (count + 1) <= wrong)
        # Questions as sure as the last one within are answered with it, or not at all.
        kept = [at for at in within if at + 1 == len(order) or chance[order[at + 1]] < chance[order[at]]]
        least, share = (float(chance[order[kept[-1]]]), float(missed[kept[-1]])) if kept else (1.01, 0.0)
        note = message("apps.left_out_and_cut")
        return least, proportion("wrong answers", round(share * count), round(count), source="left out", note=note)


@dataclass
class _Observations:
    """Facts, whether the first entry and one of the first few was right, and the kind of question: 0 inside, 1 outside, 2 of an
    entry left out."""

    values: list[np.ndarray]
    right: list[np.ndarray]
    kinds: list[np.ndarray]

    def add(self, facts: Facts, truth: np.ndarray | int, kind: int) -> None:
        """Add questions with the entry that was meant, -1 where there is none."""
        count = len(facts.best)
        meant = facts.order[:, :ALTERNATIVES] == np.broadcast_to(truth, count)[:, None]
        self.values.append(facts.values)
        self.right.append(np.column_stack([meant[:, 0], meant.any(axis=1)]))
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
    weights = [simulated.weights(REFERENCE_WEIGHT, share)]
    used = [simulated]
    if inside:
        used.append(own)
        weights.append(own.weights(1.5 * inside, share))
    values = np.concatenate([part for one in used for part in one.values])
    right = np.concatenate([part for one in used for part in one.right]).astype(float)
    weight = np.concatenate(weights)
    mean = np.average(values, axis=0, weights=weight)
    scale = np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weight)) + 1e-9
    slopes = [fit_logistic((values - mean) / scale, one, SHRINK, weights=weight) for one in right.T]
    fitted = Certainty(mean, scale, np.column_stack(slopes), most)
    facts = Facts(*(np.zeros(len(values), dtype=int),) * 2, values, np.zeros(len(values), dtype=bool))
    return replace(fitted, seen=(fitted(facts)[:, 0], right[:, 0] > 0, weight))


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


def confused(matcher: Matcher) -> list[tuple[Known, int]]:
    """Return the known phrasings that, were they left out, would be taken for another entry, and that entry."""
    found: list[tuple[Known, int]] = []
    for language in sorted(set(matcher.languages)):
        forms = np.flatnonzero((matcher.groups == 0) & (matcher.languages == language))
        numbers = np.bincount(matcher.entries[forms], minlength=matcher.count + 1)
        chosen = forms[numbers[matcher.entries[forms]] > 1][:OWN]
        if len(chosen):
            facts = matcher.left_out(chosen)
            found += [
                (matcher.known[row], int(best))
                for row, best, clear in zip(chosen, facts.best, facts.values[:, 0], strict=True)
                if best != matcher.entries[row] and clear > 0.2
            ]
    return found


def fit_logistic(
    facts: np.ndarray, right: np.ndarray, ridge: float = 1.0, steps: int = 50, weights: np.ndarray | None = None
) -> np.ndarray:
    """Return intercept and slopes of a logistic regression by Newton's method; the intercept is not shrunk.

    Args:
        facts: [observations, facts], each scaled to mean 0 and deviation 1.
        right: 1 where the observation came true, else 0.
        ridge: weight of half the squared slopes.
        steps: most steps.
        weights: of the observations; 1 each where not given.
    """
    design = np.column_stack([np.ones(len(facts)), facts])
    shrink = np.diag([1e-6] + [ridge] * facts.shape[1])
    slopes = np.zeros(design.shape[1])
    weight = np.ones(len(facts)) if weights is None else weights
    for _ in range(steps):
        chance = _sigmoid(design @ slopes)
        gradient = design.T @ (weight * (chance - right)) + shrink @ slopes
        curvature = (design * (weight * chance * (1 - chance))[:, None]).T @ design + shrink
        step = np.linalg.solve(curvature, gradient)
        slopes -= step
        if float(np.abs(step).max()) < 1e-8:
            break
    return slopes


def _sigmoid(value: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-np.clip(value, -30, 30))))
