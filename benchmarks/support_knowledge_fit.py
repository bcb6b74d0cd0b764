"""What a knowledge base's search and certainty were fitted on: `python -m benchmarks.support_knowledge_fit [MODEL]` does it anew.

The 1,002 trial questions of CMRC 2018 (Cui et al. 2019) are asked of two bases: of their paragraphs, and of pieces of these, where others
of a paragraph speak of the same things as the one that answers. Each is asked twice, of all passages and of all but its own.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from noria.apps.support.knowledge.certainty import facts
from noria.text.script import sentence_spans

from .support_knowledge import COVERAGE, Asked, ask, documents

TRIAL = {"CMRC 2018 trial": "qa/cmrc2018/trial.parquet"}
PIECE = 200
"""Characters of a piece, at least, where paragraphs are cut up."""


def fit(model: Path | None) -> None:
    """Print weights for `retrieval` and coefficients for `certainty`, and the rates by which `LEAST` was chosen.

    By words alone the share of BM25 is the only fact; with a model the terms that are held and nearness stand beside it.
    """
    from sklearn.linear_model import LogisticRegression

    bases = {"whole": documents(TRIAL), "cut up": cut_up(*documents(TRIAL))}
    found = {}
    for name, (texts, asked) in bases.items():
        with tempfile.TemporaryDirectory(prefix="noria-fit-") as there:
            found[name] = ask(Path(there), texts, asked, model)
    used = 3 if model else 1
    pairs = [pair for one in found.values() for pair in zip(one.facts[::2], one.right[::2], strict=True)]
    weights = _weights([(values[:, :used], right) for values, right in pairs])
    print("weights", weights.round(2))
    known: dict[str, list[np.ndarray]] = {}
    truth: dict[str, list[bool]] = {}
    for name, one in found.items():
        known[name], truth[name] = [], []
        for values, right in zip(one.facts, one.right, strict=True):
            scores = values[:, :used] @ weights
            order = np.argsort(-scores, kind="stable")
            known[name].append(facts(scores[order]))
            truth[name].append(bool(right[order[0]]))
    fitted = LogisticRegression(C=1e3).fit(np.concatenate(list(known.values())), np.concatenate(list(truth.values())))
    print("coefficients", np.concatenate([fitted.intercept_, fitted.coef_[0]]).round(3))
    for name, (_, asked) in bases.items():
        (given,) = asked.values()
        probabilities = fitted.predict_proba(np.array(known[name]))[:, 1]
        there, removed = probabilities[::2], probabilities[1::2]
        print(f"{name}: {len(there)} questions, recall {np.mean(truth[name][::2]):.4f}")
        for least in (0.3, 0.4, 0.5, 0.6, 0.7):
            print(f"  {least}: not known {np.mean(removed < least):.3f}, wrongly refused {np.mean(there < least):.3f}")
        sure, quoted = there >= np.quantile(there, 1 - COVERAGE), np.array(given.quoted)
        print(f"  quoted holds the answer {quoted.mean():.3f}, of the surest {quoted[sure].mean():.3f}")


def _weights(candidates: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Return the weights of facts by which the right passage comes first: a conditional logit (McFadden 1974)."""
    from scipy.optimize import minimize

    chosen = [(values, int(right.argmax())) for values, right in candidates if right.any()]

    def loss(weights: np.ndarray) -> float:
        scores = [(values @ weights, right) for values, right in chosen]
        nats = np.mean([np.log(np.exp(own - own[right]).sum()) for own, right in scores])
        return float(nats + 1e-4 * weights @ weights)

    return np.asarray(minimize(loss, np.full(chosen[0][0].shape[1], 5.0)).x)


def cut_up(texts: dict[str, str], asked: dict[str, Asked]) -> tuple[dict[str, str], dict[str, Asked]]:
    """Return the same with each paragraph cut in pieces: others of a document then speak of the same as the one that answers."""
    pieces: dict[str, str] = {}
    of: dict[str, list[str]] = {}
    for name, text in texts.items():
        spans, first = sentence_spans(text), 0
        for _, high in spans:
            if (high - first >= PIECE and spans[-1][1] - high >= PIECE / 2) or high == spans[-1][1]:
                of.setdefault(name, []).append(f"{name}.{first}")
                pieces[of[name][-1]] = text[first:high]
                first = high
    cut = {}
    for name, one in asked.items():
        rows = []
        for question, gold, answers in zip(one.questions, one.gold, one.answers, strict=True):
            holding = [piece for piece in of[gold] if any(answer in pieces[piece] for answer in answers)]
            if len(holding) == 1:
                rows.append((question, holding[0], answers))
        cut[f"{name}, cut up"] = Asked([row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows])
    return pieces, cut


if __name__ == "__main__":
    fit(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
