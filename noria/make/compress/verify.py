"""Is what an endpoint serves what was trained? The same conversations and prompts through both, and what differs first.

What is compared, in this order; the first that differs is named, for it explains what comes behind it:

    template          the text that a conversation becomes; where ids are not shown, how many tokens it has
    special tokens    the same text, with tokens round it that the other has not, such as a second begin token
    tokenizer         the same text in other ids
    sampling          temperature 0 draws the likeliest token, temperature 1 draws as the chances say
    weights           agreement >= bound, and divergence <= bound, after the same ids

Agreement is the share of prompts after which both find the same token likeliest. Divergence is the mean Kullback-Leibler
divergence in nats of the next token, over the tokens whose chances the endpoint tells and all others as one: it is never above
that over all of them (data processing inequality; Cover and Thomas 2006, 2.8).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from noria.core.figure import Figure
from noria.core.messages import Message, message
from noria.core.progress import Report
from noria.make.tokens.conversations import WORDS

from .endpoint import Endpoint, NextToken
from .following import NEAR, compared, is_near_tie
from .readings import read_alike
from .trained import Trained, shown

AGREEMENT, DIVERGENCE = 0.97, 0.05
"""The least agreement and the most divergence that pass: a Q8_0 file of a model diverges by some 0.001 nats, one in 4 bits by 0.02 to
0.1."""
DRAWS = 24
"""Tokens that are drawn at temperature 1."""
RARE = 1e-4
"""Chance of a count of draws below which the temperature was not heard."""
LONGEST = 96
"""Most tokens of a prompt that is gone on from."""
KINDS = ("template", "special tokens", "tokenizer", "sampling", "weights")


@dataclass(frozen=True)
class Verified:
    """What was found."""

    differs: str
    """What differs first, one of `KINDS`; empty where nothing does."""
    reason: Message | None
    """How it shows, with the first differing token."""
    figures: tuple[Figure, ...]
    seen: tuple[Message, ...]
    """How each thing was looked at, and what the endpoint did not let be seen."""


def verify(
    trained: Trained,
    endpoint: Endpoint,
    *,
    prompts: int,
    texts: Sequence[str] = (),
    agreement: float = AGREEMENT,
    divergence: float = DIVERGENCE,
    seed: int = 0,
    report: Report | None = None,
) -> Verified:
    """Compare what an endpoint serves with the trained model.

    Args:
        trained: the model.
        endpoint: where it is said to be served.
        prompts: that are gone on from.
        texts: to cut prompts from; bundled ones where none are given.
        agreement: the least that passes.
        divergence: the most that passes, nats.
        seed: of the cuts.
        report: where progress goes.
    """
    figures: list[Figure] = []
    seen: list[Message] = []
    found: list[tuple[str, Message]] = []
    figure, differing = read_alike(trained, endpoint, seen)
    figures += [figure] if figure else []
    found += differing
    cuts = _cuts(trained, list(texts) or list(WORDS), prompts, seed)
    asked = _next_tokens(trained, endpoint, cuts, seen, report or Report())
    if asked is not None:
        places, told = asked
        measured, differing = _weights(trained, places, told, agreement, divergence, seed)
        found += _sampling(trained, endpoint, places, told, seen, trusted=not differing)
        figures += measured
        found += differing
    else:
        seen.append(message("verify.no_tokens_told"))
    kind, reason = min(found, key=lambda one: KINDS.index(one[0]), default=("", None))
    return Verified(kind, reason, tuple(figures), tuple(seen))


@dataclass(frozen=True)
class _Place:
    """A prompt as it is asked for, as the model reads it, and its chances there."""

    asked: dict[str, Any]
    ids: tuple[int, ...]
    probabilities: np.ndarray


def _cuts(trained: Trained, texts: Sequence[str], count: int, seed: int) -> list[list[int]]:
    """Return beginnings of texts as ids, cut at places drawn at random."""
    random = np.random.default_rng(seed)
    most = min(LONGEST, trained.engine.max_length - 2)
    read = [ids for text in texts if len(ids := trained.tokenizer.encode(text, add_special_tokens=False).ids) > 2]
    picks = random.integers(0, len(read), count)
    return [read[pick][: int(random.integers(2, max(3, min(len(read[pick]), most))))] for pick in picks]


def _next_tokens(
    trained: Trained, endpoint: Endpoint, cuts: Sequence[list[int]], seen: list[Message], report: Report
) -> tuple[list[_Place], list[NextToken]] | None:
    """Return places and what followed there: after ids where they are taken, else after turns of a user, or texts."""
    by_ids = endpoint.takes_ids(cuts[0])
    otherwise = message("verify.asked_by_turns") if trained.chats else message("verify.asked_by_texts")
    seen.append(message("verify.asked_by_ids") if by_ids else otherwise)
    places, told = [], []
    with report.bar("verify", total=len(cuts), unit="prompts") as bar:
        for cut in cuts:
            asked: dict[str, Any]
            ids: Sequence[int] = cut
            if by_ids:
                asked = {"prompt": cut}
            else:
                text = trained.tokenizer.decode(cut)
                if trained.chats:
                    asked = {"messages": [{"role": "user", "content": text}]}
                    ids = trained.rendered(asked["messages"], None).ids or ()
                else:
                    asked, ids = {"prompt": text}, trained.tokenizer.encode(text).ids
            if not 0 < len(ids) < trained.engine.max_length:
                continue
            followed = endpoint.next_token(asked)
            if followed is None:
                return None
            places.append(_Place(asked, tuple(ids), trained.probabilities(ids)))
            told.append(followed)
            bar.advance()
    if not any(one.logprobs for one in told):
        seen.append(message("verify.no_chances"))
    return (places, told) if places else None


def _sampling(
    trained: Trained,
    endpoint: Endpoint,
    places: Sequence[_Place],
    followed: Sequence[NextToken],
    seen: list[Message],
    *,
    trusted: bool,
) -> list[tuple[str, Message]]:
    """Draw again and again where the likeliest token is far from sure, without and with temperature.

    How often it is to be drawn the endpoint says itself, or else the trained model, where it is `trusted` to be the same.
    """
    passed_over = [token for one in followed if (token := _passed_over(one)) is not None]
    if len(passed_over) > 0.02 * len(followed):
        return [("sampling", message("verify.cold_not_likeliest", token=trained.named(passed_over[0])))]
    # Where a part of a character follows nothing is shown of it, and all such tokens look alike.
    pairs = zip(places, followed, strict=True)
    clear = [one for one, told in pairs if _shows(trained, told) and trained.is_shown(int(one.probabilities.argmax()))]
    if not clear:
        return []
    place = min(clear, key=lambda one: abs(float(one.probabilities.max()) - 0.3))
    cold = [endpoint.next_token(place.asked, seed=seed, logprobs=False) for seed in range(6)]
    if len({one.token for one in cold if one}) > 1:
        tokens = ", ".join(sorted({shown(one.token) for one in cold if one}))
        return [("sampling", message("verify.cold_varies", tokens=tokens))]
    first = followed[next(n for n, one in enumerate(places) if one is place)]
    if first.key in first.logprobs:
        share = math.exp(max(first.logprobs.values()))
    elif trusted:
        share = float(place.probabilities.max())
    else:
        return []
    warm = [endpoint.next_token(place.asked, temperature=1.0, seed=seed + 1, logprobs=False) for seed in range(DRAWS)]
    same = sum(one is not None and cold[0] is not None and one.token == cold[0].token for one in warm)
    # Many servers cut unlikely tokens unless told not to (llama.cpp: 40 likeliest, 0.05 of the likeliest): that is allowed for.
    ordered = np.sort(place.probabilities)[::-1][:40]
    cut = min(1.0, share / float(ordered[ordered >= 0.05 * ordered[0]].sum()))
    if _tail(same, DRAWS, cut, above=True) < RARE or _tail(same, DRAWS, share, above=False) < RARE:
        return [("sampling", message("verify.warm_draws", same=same, draws=DRAWS, expected=share * DRAWS))]
    seen.append(message("verify.drawn", draws=DRAWS))
    return []


def _shows(trained: Trained, one: NextToken) -> bool:
    """Return whether a token is whole in the text of an answer."""
    if one.number is not None:
        return trained.is_shown(one.number)
    return bool(one.token) and "\ufffd" not in one.token.decode("utf-8", "replace")


def _passed_over(one: NextToken) -> int | bytes | None:
    """Return the token that the endpoint itself finds likelier than the one that it took without temperature."""
    if one.ended or one.key not in one.logprobs:
        return None
    likeliest = max(one.logprobs, key=lambda token: one.logprobs[token])
    return likeliest if one.logprobs[likeliest] > one.logprobs[one.key] + NEAR else None


def _tail(count: int, n: int, share: float, *, above: bool) -> float:
    """Return the chance that a binomial count is as large, or as small, as this."""
    numbers = range(count, n + 1) if above else range(count + 1)
    return sum(math.comb(n, one) * share**one * (1 - share) ** (n - one) for one in numbers)


def _weights(
    trained: Trained,
    places: Sequence[_Place],
    followed: Sequence[NextToken],
    least: float,
    most: float,
    seed: int,
) -> tuple[list[Figure], list[tuple[str, Message]]]:
    """Compare the next tokens; return agreement and divergence, and what is beyond its bound."""
    same = [trained.agrees(place.probabilities, one) for place, one in zip(places, followed, strict=True)]
    apart = {
        n: trained.divergence(places[n].probabilities, one.logprobs) for n, one in enumerate(followed) if one.logprobs
    }
    near = [is_near_tie(place.probabilities) for place in places]
    figures = compared(
        same,
        near,
        list(apart.values()),
        name="next-token agreement",
        source="prompts cut at places drawn at random",
        seed=seed,
    )
    if figures[0].value >= least and (not apart or figures[-1].value <= most):
        return figures, []
    worst = next((n for n, one in enumerate(same) if not one), 0)
    if apart and all(same):
        worst = max(apart, key=lambda n: apart[n])
    place, one = places[worst], followed[worst]
    before = trained.tokenizer.decode(list(place.ids[-12:]), skip_special_tokens=False)
    told_of = {
        "before": repr(before),
        "found": trained.named(one.key),
        "expected": trained.named(int(place.probabilities.argmax())),
    }
    agreement = figures[0].value
    reason = message("verify.weights_differ_plain", agreement=agreement, **told_of)
    if apart:
        reason = message("verify.weights_differ", agreement=agreement, divergence=figures[-1].value, **told_of)
    return figures, [("weights", reason)]
