"""Share of answer: put customers' questions to assistants, and see how often each brand is named, first, and well spoken of.

noria.answers.ask("questions.csv", brands="brands.csv", out="answers", assistant=("deepseek=https://api.deepseek.com/v1,model=deepseek-chat",))
noria.answers.show("answers", series="series.csv")                    # rates with intervals; a series for `noria.share`
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from noria.core.errors import InputError, ResourceError, SettingError
from noria.core.messages import message
from noria.grow.answers.settings import AskSettings, CountSettings

from .options import Progress, from_settings, report_of
from .results import Analysis

if TYPE_CHECKING:
    from noria.grow.answers.counting import Sentiment

__all__ = ["ask", "show"]


@from_settings("answers")
def ask(questions: Path, *, brands: Path, out: Path, asking: AskSettings, progress: Progress = True) -> Analysis:
    """Put each question to each assistant so many times, and keep every raw answer.

    The same call goes on where it was cut off: what was answered is not asked again. Questions, assistants and draws may be added to a
    wave; a day on which all is answered begins the next.

        noria.answers.ask("questions.csv", brands="brands.csv", out="answers", assistant=("mine=http://127.0.0.1:8000/v1",))

    Args:
        questions: a file with a column question, or a text file with one a line.
        brands: a file with a column brand and, where needed, aliases, ambiguous and except.
        out: the folder of the answers.
        progress: a bar on a terminal, lines where output is piped; False is silent.

    Returns:
        rows: the calls of each assistant in this wave: asked, answered, refused, empty, failed.
        study: a `noria.grow.answers.asking.Asked`.

    Raises:
        InputError: a file cannot be used, or not one call was answered.
        SettingError: a setting is not allowed, a key is not set, or the wave was asked otherwise.
        ResourceError: another process is asking into the folder.
    """
    from noria.grow.answers.asking import ask_all
    from noria.grow.answers.endpoint import assistant_of
    from noria.grow.answers.panel import Panel
    from noria.grow.answers.tables import read_brands, read_questions

    listed, notes = read_questions(questions)
    named = read_brands(brands)
    assistants = [assistant_of(one) for one in asking.assistant]
    found = ask_all(Panel(out), listed, named, assistants, asking, report_of(progress))
    said = [*notes]
    for name, why in found.stopped.items():
        said.append(message("answers.assistant_stopped", assistant=name, why=why))
    for name, why in found.failures.items():
        if name not in found.stopped:
            said.append(message("answers.first_failure", assistant=name, why=why))
    said += [found.text()] + ([message("answers.go_on")] if found.left else [])
    facts = {
        "wave": found.wave.time,
        **{name: found.made[name] for name in ("answered", "refused", "empty", "failed")},
        "before": found.before,
        "left": found.left,
        "stopped": found.stopped,
        "failures": found.failures,
    }
    return Analysis(f"answers in {out}, wave {found.wave.time}", (), (), tuple(said), facts, found)


@from_settings("answers")
def show(
    answers: Path,
    *,
    brands: Path | None = None,
    sentiment: str | None = None,
    series: Path | None = None,
    counting: CountSettings,
) -> Analysis:
    """How often each brand is named, named first and well spoken of, with intervals over questions; and what differs.

        noria.answers.show("answers", sentiment="runs/demo/sentiment-served").rows
        noria.share("series.csv", measure="answers naming it", segment="deepseek")

    Args:
        answers: the folder that `ask` wrote.
        brands: other brands or names than those given when the questions were asked: all raw answers are counted anew.
        sentiment: a model folder, or the address of a server up to /v1, that classifies texts; without one nothing is said of who is
            well spoken of.
        series: write the rates there as a series with its provenance, for `noria.share` and `noria.forecast`.

    Returns:
        rows: a row a wave, assistant and brand: named, first, share and, with a model, well, each with low and high.
        study: a `noria.grow.answers.study.AnswerStudy`.

    Raises:
        InputError: nothing was asked, or a file cannot be used.
        SettingError: the model is no classifier, or has no label that means well.
    """
    from noria.grow.answers.panel import Panel
    from noria.grow.answers.study import study_answers
    from noria.grow.answers.tables import read_brands

    with sentiment_of(sentiment, counting) as judge:
        study = study_answers(Panel(answers), counting, brands=read_brands(brands) if brands else (), sentiment=judge)
    if series is not None:
        study.write_series(series)
    return Analysis(
        message("answers.head", source=study.source),
        tuple(study.figures()),
        tuple(study.rows()),
        study.notes,
        study.as_dict(),
        study,
    )


@contextmanager
def sentiment_of(where: str | None, counting: CountSettings) -> Iterator[Sentiment | None]:
    """Give what labels texts: a model folder opened for the time, or a server asked; None where neither is named.

    Raises:
        SettingError: the model is no classifier, or has none of the labels that mean well.
    """
    if not where:
        yield None
        return
    if where.startswith(("http://", "https://")):
        yield _served(where.rstrip("/"), counting)
        return
    from .predictor import load

    with load(where) as model:
        if model.task != "classify":
            raise SettingError(message("answers.sentiment_task"), found=model.task, allowed="classify")
        _check_labels(model.labels, counting)
        yield lambda texts: [str(one["label"]) for one in model.classify(list(texts))]


def _check_labels(labels: Sequence[str], counting: CountSettings) -> None:
    if not {label.casefold() for label in labels} & {label.casefold() for label in counting.good}:
        raise SettingError(
            message("answers.sentiment_labels"),
            found=", ".join(labels),
            allowed=counting.good,
            hint=message("answers.name_good"),
        )


def _served(url: str, counting: CountSettings, batch: int = 32) -> Callable[[Sequence[str]], list[str]]:
    """Return what asks a server's /classify; its key comes from the environment variable NORIA_KEY, where it wants one."""
    import os

    import httpx

    key = os.environ.get("NORIA_KEY", "")

    def judge(texts: Sequence[str]) -> list[str]:
        found: list[str] = []
        with httpx.Client(headers={"authorization": f"Bearer {key}"} if key else {}, timeout=120) as client:
            for start in range(0, len(texts), batch):
                try:
                    reply = client.post(f"{url}/classify", json={"input": list(texts[start : start + batch])})
                    reply.raise_for_status()
                    data = reply.json()["data"]
                    if not start:
                        _check_labels([str(label) for label in data[0]["scores"]], counting)
                    found += [str(one["label"]) for one in data]
                except httpx.HTTPError as error:
                    raise ResourceError(message("answers.sentiment_failed", url=url), found=str(error)) from None
                except (ValueError, KeyError, IndexError, TypeError) as error:
                    raise InputError(message("answers.sentiment_failed", url=url), found=repr(error)) from None
        return found

    return judge
