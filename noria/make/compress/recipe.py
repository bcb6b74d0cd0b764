"""Compress a model and let its certificate decide, both measured through the engines that serve them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from noria.core.errors import SettingError
from noria.core.figure import Figure
from noria.core.folder import clear_partial
from noria.core.messages import Message, joined, message, term
from noria.core.progress import Report
from noria.infer.choose import open_engine
from noria.tasks.companion import open_task
from noria.tasks.task import Features, Row, Task

from .candidates import Screening, Timed
from .causal import compress_decoder
from .certify import BOUNDS, DIFFER, TIMED_ALONE, TIMED_TOKENS, Certificate, Judge, answers, certify
from .pairs import judged_as, left, with_pair
from .quantize import choose, seal, size_of
from .rows import spread
from .settings import CompressSettings

MOST = 3
"""Candidates that are certified, the fastest first: one more is tried only where the one before it did not pass."""
FEW = 40
"""Rows on which what is slower anyway is compared."""
Judging = Callable[[Task, Sequence[Row], str], Judge]
"""Task, held-out rows and their name -> what measures two models' answers to them."""


def compress_model(
    folder: Path,
    calibration: Sequence[str | Row],
    held_out: Sequence[Row],
    out: Path,
    settings: CompressSettings,
    report: Report,
    *,
    judge: Judging | None = None,
    source: str = "held-out texts",
    or_trained: bool = False,
) -> Certificate:
    """Write `out`: the model with a faster engine and its certificate.

    Both are measured as they serve: through the engines of `noria.infer`, on the same threads.

    Args:
        folder: a fine-tuned classifier or tagger, an encoder that embeds, or a decoder that completes texts or chats.
        calibration: texts or rows like those to come, not of the held-out set; a decoder needs none.
        held_out: rows to certify on; for an encoder that embeds, rows of {"text"}, or pairs {"anchor", "positive"}.
        out: the folder to write.
        settings: method and bounds.
        report: where progress goes.
        judge: makes what measures both against the truth in the held-out rows (`noria.make.evaluate.beside`); without it answers
            are compared with each other only.
        source: name of the held-out rows, for the figures.
        or_trained: where it was refused write the trained model as it is, without an engine, and the certificate that says so:
            for a name that makes no claim.

    Raises:
        Refused: it did not earn its certificate, and nothing is written.
        FolderError, InputError, SettingError: the model, texts or settings cannot be used.
    """
    clear_partial(out.parent)
    task = open_task(folder)
    if task.head == "causal":
        return compress_decoder(folder, held_out, out, settings, report, source=source, or_trained=or_trained)
    if settings.method == "int4":
        raise SettingError(message("make.four_bits"), found=task.name, allowed=("chat", "complete"))
    if task.name not in BOUNDS:
        raise SettingError(message("make.faster_engine_made"), found=task.name, allowed=(*BOUNDS, "chat", "complete"))
    trial = out.with_name(f".{out.name}.trial.part")
    trained = open_engine(folder, prefer="torch")
    try:

        def windows(given: str | Row) -> list[Features]:
            return task.windows(trained.tokenizer, given, trained.max_length)

        shown = [one for given in choose(sides(task, calibration), settings) for one in windows(given)]

        def read(rows: Sequence[Row]) -> tuple[list[Features], list[int]]:
            parts = [windows(row) for row in sides(task, rows)]
            return [one for row in parts for one in row], [number for number, row in enumerate(parts) for _ in row]

        features, owners = read(held_out)
        screening = Screening(folder, trained, shown, features, trial, settings, report)
        report.plan(_plan(folder, screening, features, settings))
        if not (found := screening.run()):
            raise SettingError(message("make.faster_engine_runs", name=folder.name), found="OpenVINO", allowed="torch")
        slower = not any(one.rank[0] for one in with_pair(found, folder, trial, settings))
        if slower:
            # The best of the slower is still compared, on rows enough for a glance: the record says how far it was.
            report.note(message("make.nothing_faster", name=folder.name))
            found, held_out = found[:1], spread(list(held_out), FEW)
            features, owners = read(held_out)
        measured = judge(task, held_out, source) if judge and _judged(task, held_out) else None
        expected = answers(task, features, trained.outputs, lambda texts: None, owners)

        def judged(one: Timed) -> Certificate:
            compressed = open_engine(one.folder, prefer=one.candidate.kind)
            try:
                return certify(
                    task,
                    features,
                    trained.outputs,
                    compressed.outputs,
                    sizes=size_of(one.folder),
                    settings=settings,
                    pair=judged_as(compressed),
                    owners=owners,
                    expected=expected,
                    judge=measured,
                    source=source,
                    report=report,
                )
            finally:
                compressed.close()

        one, certificate = (
            (found[0], judged(found[0]))
            if slower
            else _first_that_passes(
                found,
                screening.put_off,
                judged,
                lambda pool: with_pair(pool, folder, trial, settings),
                folder.name,
                report,
            )
        )
        if not or_trained:
            certificate.or_refuse()
        seal(one.folder if certificate.passed else folder, out, certificate.as_dict())
    finally:
        trained.close()
        shutil.rmtree(trial, ignore_errors=True)
    return certificate


def _first_that_passes(
    found: Sequence[Timed],
    put_off: Callable[[], list[Timed]],
    judged: Callable[[Timed], Certificate],
    paired: Callable[[Sequence[Timed]], list[Timed]],
    name: str,
    report: Report,
) -> tuple[Timed, Certificate]:
    """Return the fastest that passes its certificate, or what was tried last; what was refused may still be half of a pair."""
    pool, tried = list(found), list[tuple[Timed, Certificate]]()
    while len(tried) < MOST and (best := next((one for one in paired(pool) if one.rank[0]), None)):
        if tried:
            last, certificate = tried[-1]
            told = message(
                "work.instead",
                last=last.candidate.title,
                certificate=certificate_text(certificate),
                best=best.candidate.title,
            )
            report.note(message("work.named", name=name, text=told))
        tried.append((best, judged(best)))
        if tried[-1][1].passed:
            break
        pool = [*left(pool, best.candidate, tried[-1][1]), *put_off()]
    return tried[-1]


def _judged(task: Task, held_out: Sequence[Row]) -> bool:
    return task.name != "embed" or "anchor" in held_out[0]


def _plan(folder: Path, screening: Screening, features: Sequence[Features], settings: CompressSettings) -> str:
    """Return what is to come, with the seconds that the trained model's measured speed makes of it."""
    tokens = sum(len(one.ids) for one in features)
    # Both answer every text; then each is timed, in every round and once before.
    timed = 2 * (settings.rounds + 1) * (TIMED_TOKENS + TIMED_ALONE * tokens / len(features))
    judged = screening.seconds_a_token * (2 * tokens + timed)
    judged += screening.seconds_a_token_alone * tokens  # of a pair the engine for one text is asked text by text
    judged *= 2  # one is often refused, and the next compared
    return message("make.compress_plan", name=folder.name, rows=len(features), seconds=judged + screening.expected())


def sides(task: Task, given: Sequence[str | Row]) -> list[str | Row]:
    """Return what is read one by one: texts and rows as they are, but of pairs to embed all anchors, then all positives."""
    if task.name != "embed":
        return list(given)
    pairs = [one for one in given if not isinstance(one, str) and "anchor" in one]
    if pairs:
        return [one[name] for name in ("anchor", "positive") for one in pairs]
    return [one if isinstance(one, str) else one["text"] for one in given]


def certificate_text(certificate: Certificate) -> Message:
    """Return a certificate on one line."""
    same, size = certificate.figure("agreement"), certificate.figure("size")
    batched, alone = certificate.figure("speed in batches"), certificate.figure("speed of one text")
    measured = [figure for figure in certificate.figures if figure.note == "beside the trained model"][:1]
    alike = [figure for figure in certificate.figures if figure.name == DIFFER]
    apart = [figure for figure in certificate.figures if figure.name == "next-token divergence"]
    refused = message("certificate.refused_for", reasons=joined("join.clauses", certificate.reasons))
    parts = [
        message("certificate.certified") if certificate.passed else refused,
        message("certificate.agreement", value=same.value, n=same.n, **_ends(same)),
        *(message("certificate.divergence", value=figure.value) for figure in apart),
        *(
            message("certificate.beside", name=term(figure.name), value=figure.value, baseline=figure.baseline or 0.0)
            for figure in measured
        ),
        *(
            message("certificate.differ", name=term(figure.name), value=figure.value, **_ends(figure))
            for figure in alike
        ),
        message("certificate.batched", value=batched.value, **_ends(batched)),
        message("certificate.one_text", value=alone.value, **_ends(alone)),
        message("certificate.size", before=(size.baseline or 0) / 1e6, after=size.value / 1e6),
    ]
    return joined("join.comma", parts)


def _ends(figure: Figure) -> dict[str, float]:
    return {"low": figure.low or 0.0, "high": figure.high or 0.0}
