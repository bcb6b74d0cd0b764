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
import torch

from noria.core.figure import Figure, proportion
from noria.core.messages import Message, message
from noria.core.progress import Report
from noria.infer.completions import token_bytes
from noria.infer.kv_cache import open_cache
from noria.infer.torch import TorchEngine
from noria.tasks.chat import Chat

from .certify import ratio_of_sums
from .conversations import CONVERSATIONS, TOOLS, WORDS
from .endpoint import Endpoint, NextToken, Rendered

AGREEMENT, DIVERGENCE = 0.97, 0.05
"""The least agreement and the most divergence that pass: a Q8_0 file of a model diverges by some 0.001 nats, one in 4 bits by 0.02 to
0.1."""
DRAWS = 24
"""Tokens that are drawn at temperature 1."""
RARE = 1e-4
"""Chance of a count of draws below which the temperature was not heard."""
NEAR = 0.1
"""Nats within which two tokens are as likely: which of them is taken may hang on the last bits."""
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


class Trained:
    """The model as it was trained, in torch and float32."""

    def __init__(self, engine: TorchEngine) -> None:
        assert engine.tokenizer is not None
        self.engine, self.tokenizer = engine, engine.tokenizer
        self.chats = isinstance(engine.task, Chat)
        self._cache = open_cache(engine.model, engine.max_length)
        self._bytes = [token_bytes(self.tokenizer, number) for number in range(self.tokenizer.get_vocab_size())]
        self._ids: dict[bytes, list[int]] = {}
        for number, content in enumerate(self._bytes):
            self._ids.setdefault(content, []).append(number)
        self.special = {n for n, one in self.tokenizer.get_added_tokens_decoder().items() if one.special}

    def rendered(self, messages: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]] | None) -> Rendered:
        """Return what the model reads of a conversation."""
        row = {"messages": list(messages), **({"tools": list(tools)} if tools else {})}
        features = self.engine.task.features(self.tokenizer, row, self.engine.max_length)
        return Rendered(len(features.ids), tuple(features.ids), features.meta["text"])

    def knows_tools(self) -> bool:
        """Return whether the model's own template tells tools and calls: else every server tells them in its own way."""
        form = self.engine.task.call_form(self.tokenizer) if isinstance(self.engine.task, Chat) else None
        return form is not None and form.lists and form.calls and form.hears

    def probabilities(self, ids: Sequence[int]) -> np.ndarray:
        """Return the probabilities [vocabulary] of the token behind some, float64."""
        row = self._cache.open()
        try:
            logits = self._cache.read(row, list(ids))
        finally:
            self._cache.close(row)
        return torch.softmax(logits.double(), dim=-1).numpy()

    def agrees(self, probabilities: np.ndarray, other: NextToken) -> bool:
        """Return whether the likeliest token is the one that followed elsewhere."""
        likeliest = int(probabilities.argmax())
        if other.ended or likeliest in self.engine.ends:
            return likeliest in self.engine.ends and (other.ended or other.token in (b"", self._bytes[likeliest]))
        return other.token == self._bytes[likeliest] or (not other.token and not self.is_shown(likeliest))

    def is_shown(self, number: int) -> bool:
        """Return whether a token can be seen in a text: no special one, and no part of a character."""
        return (
            number not in self.special
            and b"\xef\xbf\xbd" not in self._bytes[number].decode("utf-8", "replace").encode()
        )

    def divergence(self, probabilities: np.ndarray, other: NextToken) -> float:
        """Return the divergence of the next token in nats; see the module."""
        ours, theirs, total = 0.0, 0.0, 0.0
        for content, logprob in other.logprobs.items():
            places = self._ids.get(content)
            if places is None:
                continue
            mine, its = float(probabilities[places].sum()), math.exp(min(logprob, 0.0))
            total += mine * math.log(max(mine, 1e-12) / max(its, 1e-12))
            ours, theirs = ours + mine, theirs + its
        rest, other_rest = max(1 - ours, 0.0), max(1 - theirs, 1e-6)
        return max(0.0, total + (rest * math.log(rest / other_rest) if rest > 0 else 0.0))

    def token(self, number: int) -> str:
        """Return a token as a person reads it."""
        return _shown(self._bytes[number]) if number < len(self._bytes) else str(number)


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
    if trained.chats:
        figure, differing = _conversations(trained, endpoint, seen)
        figures += [figure] if figure else []
        found += differing
    found += _bare(trained, endpoint, seen) if not found else []
    cuts = _cuts(trained, list(texts) or list(WORDS), prompts, seed)
    compared = _next_tokens(trained, endpoint, cuts, seen, report or Report())
    if compared is not None:
        places, told = compared
        measured, differing = _weights(trained, places, told, agreement, divergence, seed)
        found += _sampling(trained, endpoint, places, told, seen, trusted=not differing)
        figures += measured
        found += differing
    else:
        seen.append(message("verify.no_tokens_told"))
    kind, reason = min(found, key=lambda one: KINDS.index(one[0]), default=("", None))
    return Verified(kind, reason, tuple(figures), tuple(seen))


def _conversations(
    trained: Trained, endpoint: Endpoint, seen: list[Message]
) -> tuple[Figure | None, list[tuple[str, Message]]]:
    """Compare what both read of conversations; return the share that is alike, and what differs."""
    same, looked, differences, longer = 0, 0, [], []
    for name, messages in CONVERSATIONS.items():
        tools = TOOLS if name == "tools" else None
        if tools and not trained.knows_tools():
            continue
        mine, other = trained.rendered(messages, tools), endpoint.rendered(messages, tools)
        if other.ids is None and other.count is None:
            continue
        looked += 1
        assert mine.ids is not None
        assert mine.count is not None
        alike = mine.ids == other.ids if other.ids is not None else mine.count == other.count
        same += alike
        if not alike:
            differences.append((name, mine, other))
            longer.append((other.count or len(other.ids or ())) - mine.count)
        if looked == 1:
            seen.append(message("verify.ids_shown") if other.ids is not None else message("verify.counts_shown"))
    if not looked:
        seen.append(message("verify.nothing_shown"))
        return None, []
    figure = proportion("conversations read alike", same, looked, source="bundled conversations")
    if not differences:
        return figure, []
    name, mine, other = differences[0]
    if other.ids is None:
        alike_shift = len(set(longer)) == 1 and abs(longer[0]) == 1 and len(differences) == looked
        kind = "special tokens" if alike_shift else "template"
        return figure, [(kind, message("verify.counts_differ", name=name, found=other.count, expected=mine.count))]
    return figure, [_differing(trained, name, mine, other)]


def _differing(trained: Trained, name: str, mine: Rendered, other: Rendered) -> tuple[str, Message]:
    """Return what differs in two readings of a conversation, and the first differing token."""
    ours, theirs = mine.ids or (), other.ids or ()
    place = next((n for n, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    plain = [[one for one in ids if one not in trained.special] for ids in (ours, theirs)]
    kind = "template"
    if plain[0] == plain[1]:
        kind = "special tokens"
    elif other.text is not None and other.text == mine.text:
        kind = "tokenizer"
    expected, found = (
        trained.token(ids[place]) if place < len(ids) else str(message("verify.no_token")) for ids in (ours, theirs)
    )
    before = trained.tokenizer.decode(list(ours[max(0, place - 8) : place]), skip_special_tokens=False)
    return kind, message(
        "verify.token_differs", name=name, place=place, found=found, expected=expected, before=repr(before)
    )


def _bare(trained: Trained, endpoint: Endpoint, seen: list[Message]) -> list[tuple[str, Message]]:
    """Compare how many tokens bare prompts have, where no template is at work."""
    if trained.chats:
        return []
    for text in WORDS[:4]:
        found, expected = endpoint.count(text), len(trained.tokenizer.encode(text).ids)
        if found is not None and found != expected:
            kind = "special tokens" if abs(found - expected) == 1 else "tokenizer"
            return [(kind, message("verify.counts_differ", name=repr(text[:20]), found=found, expected=expected))]
    seen.append(message("verify.counts_shown"))
    return []


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
            if not ids:
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
    shown = [one for one in places if trained.is_shown(int(one.probabilities.argmax()))] or places
    place = min(shown, key=lambda one: abs(float(one.probabilities.max()) - 0.3))
    cold = [endpoint.next_token(place.asked, seed=seed, logprobs=False) for seed in range(6)]
    if len({one.token for one in cold if one}) > 1:
        tokens = ", ".join(sorted({_shown(one.token) for one in cold if one}))
        return [("sampling", message("verify.cold_varies", tokens=tokens))]
    passed_over = [token for one in followed if (token := _passed_over(one))]
    if len(passed_over) > 0.02 * len(followed):
        return [("sampling", message("verify.cold_not_likeliest", token=_shown(passed_over[0])))]
    first = followed[next(n for n, one in enumerate(places) if one is place)]
    if first.token in first.logprobs:
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


def _passed_over(one: NextToken) -> bytes | None:
    """Return the token that the endpoint itself finds likelier than the one that it took without temperature."""
    if one.ended or one.token not in one.logprobs:
        return None
    likeliest = max(one.logprobs, key=lambda token: one.logprobs[token])
    return likeliest if one.logprobs[likeliest] > one.logprobs[one.token] + NEAR else None


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
    source = "prompts cut at places drawn at random"
    figures = [proportion("next-token agreement", sum(same), len(same), source=source)]
    apart = [
        trained.divergence(place.probabilities, one)
        for place, one in zip(places, followed, strict=True)
        if one.logprobs
    ]
    if apart:
        value, low, high = ratio_of_sums(np.array(apart), np.ones(len(apart)), seed)
        figures.append(Figure("next-token divergence", value, len(apart), low, high, unit="nats", source=source))
    bad = figures[0].value < least or (bool(apart) and figures[1].value > most)
    if not bad:
        return figures, []
    worst = next((n for n, one in enumerate(same) if not one), 0)
    if apart and all(same):
        worst = int(np.argmax([trained.divergence(a.probabilities, b) for a, b in zip(places, followed, strict=True)]))
    place, one = places[worst], followed[worst]
    before = trained.tokenizer.decode(list(place.ids[-12:]), skip_special_tokens=False)
    told_of = {
        "before": repr(before),
        "found": _shown(one.token),
        "expected": trained.token(int(place.probabilities.argmax())),
    }
    agreement = figures[0].value
    reason = message("verify.weights_differ_plain", agreement=agreement, **told_of)
    if apart:
        reason = message("verify.weights_differ", agreement=agreement, divergence=figures[1].value, **told_of)
    return figures, [("weights", reason)]


def _shown(token: bytes) -> str:
    return repr(token.decode("utf-8", "replace"))
