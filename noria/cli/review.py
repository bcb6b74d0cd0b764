"""`noria ship support mine` and `report`: what a desk could not answer, as proposals, and how it does, week by week."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter, validators

from noria.apps.settings import DeskSettings
from noria.core.errors import InputError
from noria.core.messages import environment_language, message
from noria.core.progress import manner
from noria.server.http.settings import ServerSettings

from .files import SettingsFile, needed
from .manners import print_made, print_message, printed

if TYPE_CHECKING:
    import numpy as np

    from noria.apps.embedding import Embed

Weeks = Annotated[int | None, Parameter(validator=validators.Number(gte=1, lte=1_000))]


def mine(
    dialogues: Path | None = None,
    *,
    out: Path | None = None,
    lake: Path | None = None,
    weeks: Weeks = None,
    model: Path | None = None,
    faq: Path | None = None,
    kb: Path | None = None,
    least: Annotated[int, Parameter(validator=validators.Number(gte=1))] = 2,
    file: SettingsFile = None,
) -> None:
    """Propose a list of questions from past dialogues, or from what a desk could not answer: alike ones merged, the most asked first.

    Personal data is masked. Of a server's lake come the questions that were handed over, asked back or answered wrongly, with what people
    replied to them. A person fills in the column accepted and mends what needs it; only the accepted rows are known to a desk. A table that is
    there already keeps its rows as they are, and gets what is new below.

    Examples::

        noria ship support mine chats.csv --model runs/demo/embed-served --out proposals.csv
        noria ship support mine --lake runs/lake --weeks 1 --model runs/demo/embed-served --out proposals.csv
        noria ship support mine --settings desk.toml --weeks 1
        noria ship support runs/demo/embed-served --faq proposals.csv

    Parameters
    ----------
    dialogues
        A file of turns (columns dialogue, speaker, text), of conversations (turns: a list of speaker and text), or of one text a conversation whose lines begin with who speaks.
    out
        The CSV to write, or to add to; else that of --settings, else the one in the lake, which the console shows.
    lake
        A server's lake; that of --settings where neither it nor dialogues are named.
    weeks
        Of a lake: only this week and so many whole ones before it.
    model
        Folder of a model for the task embed, by which paraphrases are merged; without it only questions of nearly the same words are.
    faq
        A list of questions that are known already.
    kb
        Folder of a knowledge base whose questions are known already.
    least
        How often a question must have been asked.
    file
        A desk's file of settings, as `noria new desk --app support` makes one; flags stand above it.
    """
    import asyncio

    from noria.apps.support.dialogues import Dialogue, read_dialogues
    from noria.apps.support.mining import mine as mined
    from noria.apps.support.opening import what_is_known
    from noria.apps.support.review.asked import questions
    from noria.apps.support.review.figures import since_weeks
    from noria.apps.support.review.proposals import beside, unanswered
    from noria.apps.support.review.table import Table, changing, table_of
    from noria.core.folder import write_bytes
    from noria.lake.event import EPOCH

    desk = DeskSettings.given(file, model=model, faq=faq, kb=kb, proposals=out)
    lake = lake or (desk.server.lake if file and not dialogues else None)
    if not dialogues and not lake:
        raise InputError(message("apps.mined_nothing"), allowed=message("apps.mine_named"))
    table_file = needed("--out", desk.proposals or (table_of(lake) if lake else None))
    read: list[Dialogue] = []
    if dialogues:
        read = [tuple(replace(turn, source=dialogues.name) for turn in one) for one in read_dialogues(dialogues)]
    if lake:
        since = since_weeks(weeks, datetime.now(UTC), desk.server.day_zone) if weeks else EPOCH
        read += unanswered(questions(lake, since))
    base = desk.kb if desk.kb and (kb or desk.kb.exists()) else None  # that of the settings may not be made yet
    known = what_is_known(desk.faq, None, base)[0].entries if desk.faq or base else ()
    texts = [text for entry in known for _, text in entry.known()]

    async def proposed(embed: Embed | None) -> Table:
        found = await mined(read, embed, least=least)
        with changing(table_file):
            made = await beside(table_file, found, embed, texts)
            if made.new:
                write_bytes(table_file, made.csv())
        return made

    with _embedding_of(desk) as embed:
        table = asyncio.run(proposed(embed))
    if not table.new and not table.rows:
        source = dialogues or lake
        raise InputError(message("apps.nothing_asked", path=source), hint=message("apps.asked_less", least=least))
    asked = sum(one.asked for one in table.new)
    print_message(message("lines.proposals", count=len(table.new), asked=asked, dialogues=len(read), out=table_file))
    if table.rows:
        print_message(message("lines.proposals_kept", kept=len(table.rows)))


def report(
    *,
    lake: Path | None = None,
    weeks: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=1_000))] = 8,
    model: Path | None = None,
    wrong: Annotated[float | None, Parameter(validator=validators.Number(gt=0, lt=1))] = None,
    out: Path | None = None,
    file: SettingsFile = None,
) -> None:
    """Say how a desk does, week by week and source by source: resolved without a person, wrong, asked back, handed over, not answered.

    Every figure has what it is of and its interval. What the desk stated is set beside what was found right.

    Examples::

        noria ship support report --lake runs/lake
        noria ship support report --settings desk.toml --weeks 12 --out report.md
        noria ship support report --lake runs/lake --wrong 0.02 --json

    Parameters
    ----------
    lake
        The server's lake; that of --settings, else runs/lake.
    weeks
        Whole weeks before this one.
    model
        Folder of a model for the task embed, by which questions in other words are found to be one.
    wrong
        The error budget that the desk was given.
    out
        The file to write in the place of printing it: JSON with --json or where it ends so, else Markdown.
    file
        A desk's file of settings, as `noria new desk --app support` makes one; flags stand above it.
    """
    import asyncio

    from noria.apps.support.review.figures import Report, since_weeks
    from noria.apps.support.review.figures import report as reported
    from noria.apps.support.review.page import markdown
    from noria.core.folder import write_bytes

    server = ServerSettings(lake=lake) if lake else ServerSettings()
    desk = DeskSettings.given(file, model=model, wrong=wrong, server=server)
    now, zone = datetime.now(UTC), desk.server.day_zone
    since = since_weeks(weeks, now, zone)

    async def made(embed: Embed | None) -> Report:
        return await reported(desk.server.lake, since, now, zone=zone, budget=desk.wrong, embed=embed)

    with _embedding_of(desk) as embed:
        found = asyncio.run(made(embed))
    if out is None:
        printed(found.as_dict(), lambda: print(markdown(found, environment_language()).rstrip("\n")))
        return
    as_json = manner().json or out.suffix == ".json"
    text = dumps(found.as_dict(), ensure_ascii=False, indent=1) if as_json else markdown(found, environment_language())
    write_bytes(out, (text.rstrip("\n") + "\n").encode())
    print_made({"result": "report", "path": out}, out)


def _embedding_of(desk: DeskSettings) -> AbstractContextManager[Embed | None]:
    return embedding(desk.model) if desk.model else nullcontext()


@contextmanager
def embedding(model: Path) -> Iterator[Embed]:
    """Give the embedding of a model in this process."""
    from noria.apps.support.knowledge.encoding import passage_embedder

    with passage_embedder(model) as embedder:
        assert embedder is not None
        probe = embedder.probe

        async def embed(texts: Sequence[str]) -> np.ndarray:
            return probe(texts)

        yield embed
