"""The certificate of a causal model's faster engine: the same next tokens as the trained one within a bound, and faster.

Both go on from the same held-out prompts, then write in turns. The rule, fixed beforehand:

    agreement >= bound, and the lower end of the speed ratio is above 1, for one completion alone and for several together.

Agreement is the share of prompts after which both find the same token likeliest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from noria.core.errors import InputError
from noria.core.figure import Figure, proportion
from noria.core.messages import message, term
from noria.core.progress import Report

from .certify import Certificate, Clock, machine, ratio
from .settings import CompressSettings

BOUND = 0.97
PROMPTS = 300
"""Prompts that are gone on from, drawn from the held-out texts."""
LEAST = 4
"""Tokens of the shortest prompt."""
WRITTEN, TOGETHER = 32, 8
"""Tokens that are written in every timed round, and completions that share the model in one."""


class Decoder(Protocol):
    """A causal model as it is compared."""

    def likeliest(self, prompt: Sequence[int]) -> int:
        """Return the likeliest token after a prompt."""

    def write(self, prompts: Sequence[Sequence[int]], tokens: int) -> None:
        """Write so many tokens after each prompt, all of them together."""


def prompts_of(texts: Sequence[Sequence[int]], settings: CompressSettings, most: int) -> list[list[int]]:
    """Return the beginnings of texts, cut at places drawn at random, the same for the same seed; at most `most` tokens long.

    Raises:
        InputError: no text is long enough.
    """
    random = np.random.default_rng(settings.seed)
    long = [list(ids) for ids in texts if len(ids) > LEAST]
    if not long:
        raise InputError(message("make.held_out"), allowed=message("make.more_tokens", least=LEAST))
    picks = random.integers(0, len(long), PROMPTS)
    return [long[pick][: int(random.integers(LEAST, min(len(long[pick]), most)))] for pick in picks]


def certify_decoder(
    prompts: Sequence[Sequence[int]],
    reference: Decoder,
    candidate: Decoder,
    *,
    sizes: tuple[int, int],
    settings: CompressSettings,
    source: str = "held-out texts",
    threads: int | None = None,
    report: Report | None = None,
    clock: Clock = time.perf_counter,
) -> Certificate:
    """Compare a causal model's faster engine with the trained model.

    Args:
        prompts: token ids to go on from.
        reference: the trained model.
        candidate: the faster one.
        sizes: bytes of the trained weights and of the engine's.
        settings: bounds, rounds of timing.
        source: name of the texts, for the figures.
        threads: that both run on, for the record.
        report: where progress goes.
        clock: seconds, from wherever.
    """
    with (report or Report()).bar("certify", total=len(prompts) + 2 * settings.rounds, unit="prompts") as bar:
        same = 0
        for prompt in prompts:
            same += reference.likeliest(prompt) == candidate.likeliest(prompt)
            bar.advance()
        figure = proportion("agreement", same, len(prompts), source=source)
        speeds = [_speed(prompts, reference, candidate, count, settings, clock, bar.advance) for count in (TOGETHER, 1)]
    size = Figure("size", sizes[1], 1, unit="bytes", baseline=sizes[0], source="files of the weights")
    bound = BOUND if settings.agreement is None else settings.agreement
    reasons: list[str] = (
        [message("certificate.disagrees", agreement=figure.value, bound=bound)] if figure.value < bound else []
    )
    reasons += [
        message("certificate.no_faster", measure=term(one.name), value=one.value, low=one.low)
        for one in speeds
        if one.low is not None and one.low <= 1
    ]
    rule = message("certificate.rule_decoder", bound=bound)
    return Certificate(not reasons, rule, tuple(reasons), (figure, *speeds, size), machine(threads))


def _speed(
    prompts: Sequence[Sequence[int]],
    reference: Decoder,
    candidate: Decoder,
    count: int,
    settings: CompressSettings,
    clock: Clock,
    advance: Callable[[float], None],
) -> Figure:
    """Return how many times faster the candidate writes so many completions together, the two in turns."""
    random = np.random.default_rng(settings.seed)
    pair = {"reference": reference, "candidate": candidate}

    def seconds(which: str, chosen: Sequence[Sequence[int]]) -> float:
        start = clock()
        pair[which].write(chosen, WRITTEN)
        return clock() - start

    ratios = []
    for turn in range(-1, settings.rounds):
        chosen = [prompts[pick] for pick in random.integers(0, len(prompts), count)]
        order = list(pair) if turn % 2 == 0 else list(pair)[::-1]
        took = {which: seconds(which, chosen) for which in order}
        if turn >= 0:  # what is made on first use is not timed
            ratios.append(took["reference"] / took["candidate"])
            advance(1)
    return ratio("speed in batches" if count > 1 else "speed of one text", ratios)
