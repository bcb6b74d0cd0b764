"""`noria grow answers`: how often assistants name a brand when asked what customers ask."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import noria
from noria.cli import dry
from noria.cli.manners import Commands, DryRun, printed, report
from noria.core.messages import for_terminal, joined, message
from noria.core.progress import manner
from noria.grow.answers.settings import AskSettings, CountSettings

from .shown import Flatten, percent, print_table

if TYPE_CHECKING:
    from noria.grow.answers.study import AnswerStudy, Difference

app = Commands(
    name="answers",
    help="""Share of answer: how often assistants name each brand when they are asked what customers ask.

    Examples::

        noria grow answers ask questions.csv --brands brands.csv --assistant mine=http://127.0.0.1:8000/v1 --out answers
        noria grow answers show answers
        noria grow answers show answers --out series.csv
        noria grow share series.csv --measure "answers naming it" --market mine
    """,
)


@app.command
def ask(
    questions: Path,
    /,
    *,
    brands: Path,
    out: Path,
    settings: Annotated[AskSettings, Flatten] = AskSettings(),
    dry_run: DryRun = False,
) -> int:
    """Put each question to each assistant so many times, and keep every raw answer; the same command goes on where it was cut off.

    An assistant is any OpenAI-compatible API. Its key comes from the environment and is never shown or written down; nothing but the
    addresses named is asked.

    Examples::

        noria grow answers ask questions.csv --brands brands.csv --assistant mine=http://127.0.0.1:8000/v1 --out answers
        noria grow answers ask questions.csv --brands brands.csv --out answers --draws 10 --limit 200 \\
            --assistant deepseek=https://api.deepseek.com/v1,model=deepseek-chat,key=DEEPSEEK_API_KEY \\
            --assistant glm=https://open.bigmodel.cn/api/paas/v4,model=glm-4.6

    Parameters
    ----------
    questions
        A file with a column question (问题), or a text file with one a line; Chinese, English or both.
    brands
        A file with a column brand (品牌) and, where needed, aliases, ambiguous and except.
    out
        The folder of the answers; asked again on a later day, it holds a second wave.
    """
    if dry_run:
        return _dry(questions, brands, out, settings)
    found = noria.answers.ask(questions, brands=brands, out=out, settings=settings, progress=report())
    return printed(found.facts, lambda: print(*map(for_terminal, found.summary), sep="\n"))


def _dry(questions: Path, brands: Path, out: Path, settings: AskSettings) -> int:
    """Print what would be asked of whom, all of a wave that nothing is known of yet."""
    from noria.grow.answers.tables import read_brands, read_questions

    asked = len(read_questions(questions)[0])
    names = joined("join.list", [one.partition("=")[0] for one in settings.assistant])
    calls = asked * settings.draws * len(settings.assistant)
    calls = min(calls, settings.limit) if settings.limit else calls
    sends = message("dry.asks", questions=asked, draws=settings.draws, assistants=names, calls=calls)
    counts = {questions: asked, brands: len(read_brands(brands))}
    return dry.show(dry.Plan({"questions": questions, "brands": brands}, out=out, sends=sends), counts.__getitem__)


@app.command
def show(
    answers: Path,
    /,
    *,
    brands: Path | None = None,
    sentiment: str | None = None,
    out: Path | None = None,
    settings: Annotated[CountSettings, Flatten] = CountSettings(),
) -> int:
    """How often each brand is named, named first and well spoken of, with intervals over questions; and what differs.

    Counts are made by names alone, from the raw answers. Refusals, empty answers and failed calls are counted apart.

    Examples::

        noria grow answers show answers
        noria grow answers show answers --brands more-brands.csv --json
        noria grow answers show answers --sentiment runs/demo/sentiment-served
        noria grow answers show answers --out series.csv

    Parameters
    ----------
    answers
        The folder that `noria grow answers ask` wrote.
    brands
        Other brands or names than those given then: all raw answers are counted anew.
    sentiment
        A model folder, or a server's address up to /v1 (key: NORIA_KEY), that classifies texts: who is well spoken of.
    out
        Write the rates there as a series, for `noria grow share` and `noria grow forecast`.
    """
    found = noria.answers.show(answers, brands=brands, sentiment=sentiment, series=out, settings=settings)
    printed(found.facts, lambda: _print(found.study, list(found.rows), sentiment, settings.level))
    if out is not None and not manner().json:
        print(for_terminal(message("answers.series_at", path=out)))
    return 0


def _print(study: AnswerStudy, rows: list[dict[str, Any]], sentiment: str | None, level: float) -> None:
    print(for_terminal(message("answers.head", source=study.source)))
    for cell in study.cells:
        counts = {name: cell.tally[name] for name in ("asked", "answered", "refused", "empty", "failed")}
        models = joined("join.list", cell.models or ("–",))
        print(
            "  "
            + for_terminal(message("answers.tally", assistant=cell.assistant, models=models, wave=cell.wave, **counts))
        )
    wave = study.waves[-1].time
    last = [row for row in rows if row["time"] == wave]
    print(for_terminal(message("answers.table", wave=wave, level=level)))
    print_table(
        [
            {"assistant": row["assistant"], "brand": row["brand"], "answers": row["answers"]}
            | {"named": ranged(row, "named"), "named first": ranged(row, "first"), "share": ranged(row, "share")}
            | {"questions": row["questions"]}
            for row in last
        ],
        ["assistant", "brand", "named", "named first", "share", "answers", "questions"],
    )
    if sentiment is None:
        print(f"  {for_terminal(message('answers.well_none'))}")
    else:
        print(for_terminal(message("answers.table_well", model=sentiment)))
        well = [
            {"assistant": row["assistant"], "brand": row["brand"], "well spoken of": ranged(row, "well")}
            for row in last
        ]
        print_table(well, ["assistant", "brand", "well spoken of"])
    if len(study.waves) > 1:
        print(for_terminal(message("answers.table_time")))
        _print_over_time(study, rows)
    if languages := study.by_language():
        print(for_terminal(message("answers.table_language", wave=wave)))
        keys = ["assistant", "language", "brand", "named", "questions"]
        print_table([{**row, "named": ranged(row, "named", "")} for row in languages], keys)
    if study.between_assistants:
        print(for_terminal(message("answers.table_assistants", wave=wave, level=level)))
        _print_differences(study.between_assistants)
    if study.between_waves:
        print(for_terminal(message("answers.table_waves", level=level)))
        _print_differences(study.between_waves)
    for note in study.notes:
        print(f"  {for_terminal(note)}")


def _print_over_time(study: AnswerStudy, rows: list[dict[str, Any]]) -> None:
    table: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        key = row["time"], row["assistant"]
        table.setdefault(key, {"time": key[0], "assistant": key[1]})[row["brand"]] = percent(row["named"])
    print_table(list(table.values()), ["time", "assistant", *(brand.name for brand in study.brands)])


def _print_differences(differences: Sequence[Difference]) -> None:
    rows = []
    for one in differences:
        figure = one.figure
        assert figure.low is not None
        assert figure.high is not None
        told = f"{100 * figure.value:+.1f} [{100 * figure.low:+.1f}, {100 * figure.high:+.1f}]"
        rows.append(
            {"of": one.of, "brand": one.brand, "from": one.before, "to": one.after, "points": told}
            | {"questions": str(figure.n), "clear": "*" if figure.low > 0 or figure.high < 0 else ""}
        )
    print_table(rows, ["of", "brand", "from", "to", "points", "clear", "questions"])


def ranged(row: dict[str, Any], name: str, prefix: str | None = None) -> str | None:
    """Return a rate and its interval in percent, None where there is no rate."""
    ends = ("low", "high") if prefix == "" else (f"{name}_low", f"{name}_high")
    if row[name] is None:
        return None
    return f"{percent(row[name])} [{100 * row[ends[0]]:.1f}, {100 * row[ends[1]]:.1f}]"
