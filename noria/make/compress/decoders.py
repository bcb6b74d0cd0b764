"""The certificate of a causal model's faster engine: what is served is what was trained, and faster.

Both read the same conversations, go on from the same held-out prompts, then write in turns. The rule, fixed beforehand:

    conversations become the same ids, agreement >= bound, divergence <= bound, and the lower end of the speed ratio is above 1,
    for one completion alone and for several together.

Prompts end before a token that was learned: of a chat one of the assistant's turns. Agreement and divergence of the token that
follows are those of `noria.make.compress.following`; the loss is what the true token costs, nats, beside what it costs the
trained model. Of an adapter that was merged it is measured what the merged weights say beside base and adapter apart, as they
were at the end of training (`noria.make.training.objectives.apart`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from noria.core.errors import InputError
from noria.core.figure import Figure
from noria.core.messages import Message, message, term
from noria.core.progress import Report
from noria.tasks.task import IGNORED, Features

from . import following
from .certify import Certificate, Clock, machine, ratio, ratio_of_sums
from .settings import CompressSettings

BOUND, DIVERGENCE = 0.97, 0.05
"""The least agreement and the most divergence, nats."""
PROMPTS = 300
"""Prompts that are gone on from, drawn from the held-out texts."""
LEAST = 4
"""Tokens of the shortest prompt."""
WRITTEN, TOGETHER = 32, 8
"""Tokens that are written in every timed round, and completions that share the model in one."""
LOOKS = 2
"""Rounds in which every candidate is timed before the fastest is compared."""


class Trained(Protocol):
    """A causal model as it was trained."""

    def probabilities(self, ids: Sequence[int]) -> np.ndarray:
        """Return the probabilities [vocabulary] of the token after a prompt."""


class Timed(Protocol):
    """A causal model as it is timed."""

    def write(self, prompts: Sequence[Sequence[int]], tokens: int) -> None:
        """Write so many tokens after each prompt, all of them together."""


class Decoder(Timed, Protocol):
    """A causal model as it is compared."""

    def following(self, ids: Sequence[int], expected: int) -> Mapping[int, float]:
        """Return log probabilities of the token after a prompt: of the likeliest, and of `expected` where it can be told."""


@dataclass(frozen=True)
class Place:
    """A place in a held-out text: what stands before it, and the token that stands there."""

    prompt: list[int]
    expected: int


def places_of(texts: Sequence[Features], settings: CompressSettings, most: int) -> list[Place]:
    """Return places drawn at random, the same for the same seed: before tokens that were learned, at most `most` tokens in.

    Raises:
        InputError: no text is long enough.
    """
    random = np.random.default_rng(settings.seed)
    found = []
    for one in texts:
        learned = one.meta.get("target_ids", one.ids)
        places = [n for n in range(LEAST, min(len(one.ids), most + 1)) if learned[n] != IGNORED]
        if places:
            found.append((one.ids, places))
    if not found:
        raise InputError(message("make.held_out"), allowed=message("make.more_tokens", least=LEAST))
    drawn = []
    for pick in random.integers(0, len(found), PROMPTS):
        ids, places = found[pick]
        place = places[int(random.integers(len(places)))]
        drawn.append(Place(list(ids[:place]), int(ids[place])))
    return drawn


class Reference:
    """What a trained model says at places, asked once for all candidates.

    Args:
        trained: the model.
        places: in held-out texts.
        source: name of the texts, for the figures.
        advance: is told of every place.
    """

    def __init__(
        self,
        trained: Trained,
        places: Sequence[Place],
        source: str,
        advance: Callable[[float], None] = lambda one: None,
    ) -> None:
        self.places, self.source = places, source
        self._said: list[np.ndarray] = []
        self._near: list[bool] = []
        begun = time.perf_counter()
        for place in places:
            found = trained.probabilities(place.prompt)
            self._near.append(following.is_near_tie(found))
            self._said.append(found.astype(np.float32))
            advance(1)
        self.seconds = time.perf_counter() - begun
        """That the trained model took."""

    def figures(self, candidate: Decoder, seed: int, advance: Callable[[float], None]) -> list[Figure]:
        """Return agreement, that without near ties, divergence, and the loss with what it is above the trained model's."""
        same, apart, losses = [], [], []
        for place, said in zip(self.places, self._said, strict=True):
            told = candidate.following(place.prompt, place.expected)
            tokens = [one for one in told if one < len(said)]
            same.append(max(told, key=lambda one: told[one]) == int(said.argmax()))
            apart.append(following.divergence(said[tokens], [told[one] for one in tokens]))
            if place.expected in told:
                losses.append((-told[place.expected], -float(np.log(max(float(said[place.expected]), 1e-30)))))
            advance(1)
        figures = following.compared(same, self._near, apart, name="agreement", source=self.source, seed=seed)
        return figures + (_losses(np.array(losses), self.source, seed) if losses else [])


def _losses(losses: np.ndarray, source: str, seed: int) -> list[Figure]:
    """Return the loss of the served model beside the trained one's, and their paired difference, for losses [places, 2], nats."""
    n, figures = len(losses), []
    baseline = float(losses[:, 1].mean())
    for name, values, beside in (
        ("loss", losses[:, 0], baseline),
        (message("figures.above_trained", measure=term("loss")), losses[:, 0] - losses[:, 1], None),
    ):
        value, low, high = ratio_of_sums(values, np.ones(n), seed)
        note = "paired bootstrap over texts" if beside is None else "beside the trained model"
        figures.append(Figure(name, value, n, low, high, unit="nats/token", source=source, baseline=beside, note=note))
    return figures


def certify_decoder(
    reference: Reference,
    trained: Timed,
    candidate: Decoder,
    *,
    sizes: tuple[int, int],
    settings: CompressSettings,
    read: Sequence[Figure] = (),
    faults: Sequence[str] = (),
    threads: int | None = None,
    report: Report | None = None,
    clock: Clock = time.perf_counter,
) -> Certificate:
    """Compare a causal model's faster engine with the trained model.

    Args:
        reference: what the trained model says at places in held-out texts.
        trained: the trained model as it serves, to be timed.
        candidate: the faster one.
        sizes: bytes of the trained weights and of the engine's.
        settings: bounds, rounds of timing.
        read: what is known of conversations and of a merge.
        faults: what of these is reason to refuse.
        threads: that both run on, for the record.
        report: where progress goes.
        clock: seconds, from wherever.
    """
    prompts = [place.prompt for place in reference.places]
    with (report or Report()).bar("certify", total=len(prompts) + 2 * settings.rounds, unit="prompts") as bar:
        measured = reference.figures(candidate, settings.seed, bar.advance)
        speeds = [
            ratio(name, _ratios(prompts, trained, candidate, count, settings.rounds, settings.seed, clock, bar.advance))
            for name, count in (("speed in batches", TOGETHER), ("speed of one text", 1))
        ]
    size = Figure("size", sizes[1], 1, unit="bytes", baseline=sizes[0], source="files of the weights")
    bound = BOUND if settings.agreement is None else settings.agreement
    reasons: list[str] = list(faults)
    agreement, _, apart = measured[:3]
    if agreement.value < bound:
        reasons.append(message("certificate.disagrees", agreement=agreement.value, bound=bound))
    if apart.value > settings.divergence:
        reasons.append(message("certificate.diverges", divergence=apart.value, bound=settings.divergence))
    reasons += [
        message("certificate.no_faster", measure=term(one.name), value=one.value, low=one.low)
        for one in speeds
        if one.low is not None and one.low <= 1
    ]
    rule = message("certificate.rule_decoder", bound=bound, divergence=settings.divergence)
    figures = (*measured, *read, *speeds, size)
    return Certificate(not reasons, rule, tuple(reasons), figures, machine(threads))


def certificate_figures(certificate: Certificate) -> Message:
    """Return what a decoder's certificate measured of its answers, on one line."""
    found = {figure.name: figure for figure in certificate.figures}
    agreement, clear, apart = (
        found[name] for name in ("agreement", "agreement without near ties", "next-token divergence")
    )
    loss = found.get("loss")
    values = {
        "agreement": agreement.value,
        "low": agreement.low,
        "high": agreement.high,
        "n": agreement.n,
        "clear": clear.value,
        "divergence": apart.value,
    }
    if loss is None:
        return message("certificate.measured", **values)
    return message("certificate.measured_loss", **values, loss=loss.value, trained=loss.baseline)


def look(
    prompts: Sequence[Sequence[int]],
    trained: Timed,
    candidate: Timed,
    settings: CompressSettings,
    clock: Clock = time.perf_counter,
) -> tuple[float, float]:
    """Return about how many times faster a candidate writes than the trained model: several completions together, and one alone.

    A few rounds tell which of several is worth comparing; the certificate times anew what it speaks of.
    """
    first, second = (
        _ratios(prompts, trained, candidate, count, LOOKS, settings.seed, clock, lambda one: None)
        for count in (TOGETHER, 1)
    )
    return float(np.median(first)), float(np.median(second))


def _ratios(
    prompts: Sequence[Sequence[int]],
    trained: Timed,
    candidate: Timed,
    count: int,
    rounds: int,
    seed: int,
    clock: Clock,
    advance: Callable[[float], None],
) -> list[float]:
    """Return of every round how many times faster the candidate writes so many completions together, the two in turns."""
    random = np.random.default_rng(seed)
    pair = {"reference": trained, "candidate": candidate}

    def seconds(which: str, chosen: Sequence[Sequence[int]]) -> float:
        start = clock()
        pair[which].write(chosen, WRITTEN)
        return clock() - start

    ratios = []
    for turn in range(-1, rounds):
        chosen = [prompts[pick] for pick in random.integers(0, len(prompts), count)]
        order = list(pair) if turn % 2 == 0 else list(pair)[::-1]
        took = {which: seconds(which, chosen) for which in order}
        if turn >= 0:  # what is made on first use is not timed
            ratios.append(took["reference"] / took["candidate"])
            advance(1)
    return ratios
