"""`noria ship support`: customer service on an embedding model, or one question answered here and no server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter, validators

from noria.apps.settings import DeskSettings, PeopleSettings, WidgetSettings
from noria.core.errors import InputError
from noria.core.messages import environment_language, message
from noria.server.http.settings import PlaceSettings

from .applications import Place, serve_application
from .files import SettingsFile, needed
from .knowledge import index, quote
from .manners import Commands, print_note, printed
from .review import embedding, mine, report

if TYPE_CHECKING:
    from noria.apps.embedding import Embed
    from noria.apps.support.desk import Desk
    from noria.apps.support.faq import Faq
    from noria.apps.support.knowledge.base import Knowledge

app = Commands(name="support")
for _command in (index, quote, mine, report):
    app.command(_command)


Budget = Annotated[float | None, Parameter(validator=validators.Number(gt=0, lt=1))]


@app.default
def support(
    model: Path | None = None,
    *,
    faq: Path | None = None,
    outside: Path | None = None,
    wrong: Budget = None,
    kb: Path | None = None,
    chat: Path | None = None,
    actions: Path | None = None,
    channels: Path | None = None,
    proposals: Path | None = None,
    console: Path | None = None,
    people: Annotated[PeopleSettings, Parameter(name="people")] = PeopleSettings(),
    widget: Annotated[WidgetSettings, Parameter(name="widget")] = WidgetSettings(),
    ask: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    file: SettingsFile = None,
    settings: Place = PlaceSettings(),
) -> int:
    """Customer service: answer from a list of questions, ask back, or hand over to a person, by calibrated confidence.

    Serves POST /v1/apps/support/messages, /ask and the inbox until Ctrl-C; with --ask it answers here and starts no server. Without --faq it answers
    questions on Noria itself, in Chinese and English.

    Examples::

        noria ship support runs/demo/embed-served
        noria ship support runs/demo/embed-served --ask "怎么安装？" --ask "Do I need a GPU?"
        noria ship support runs/demo/embed-served --faq shop.xlsx --wrong 0.02
        noria ship support runs/demo/embed-served --people.zone Asia/Shanghai --people.hours "mon-fri 09:00-18:00"
        noria ship support runs/demo/embed-served --widget.origins https://shop.example
        noria ship support runs/demo/embed-served --kb kb --actions actions.toml --channels channels.toml
        noria ship support runs/demo/embed-served --faq shop.xlsx --console runs/demo
        noria ship support --settings desk.toml

    Parameters
    ----------
    model
        Folder of a model for the task embed.
    faq
        A file of questions and answers in any format of rows and any languages: columns question and answer, similar questions in further columns or rows; or {"id", "questions", "paraphrases", "test", "answer"} by language. Of proposals only the accepted rows.
    outside
        A file of {"text"}: questions that a person must answer, besides the bundled ones.
    wrong
        An error budget, such as 0.02: the share of questions that may be answered wrongly. It decides when to answer; without it costs do.
    kb
        Folder of a knowledge base, as `noria ship support index` makes it: its rules come first, then its questions (or those of --faq), then the sentences of its documents, with where they stand.
    chat
        Folder of a chat model that words what is quoted; each sentence is checked against the quotation, which stands where none is carried.
    actions
        A TOML file of what may be done for customers: the fields that are asked for and the signed webhook that is then called. Not with --ask.
    channels
        A TOML file of where customers write besides the API and the widget: signed webhooks, Slack, Feishu, DingTalk, WeCom.
    proposals
        The table that `noria ship support mine` writes: its accepted rows are known, and the console's page Proposals accepts and edits them; in the server's lake where it is left out.
    console
        Folder of a run, or any other: serve the console, too, with its inbox, proposals and figures, and what was measured in that folder.
    ask
        A question to answer here and now; several are one conversation.
    file
        A desk's file of settings, as `noria new desk --app support` makes one; flags stand above it.
    """
    import asyncio

    from noria.apps.serving import Models, open_support
    from noria.apps.support.opening import what_is_known

    flags = {"model": model, "faq": faq, "outside": outside, "wrong": wrong, "kb": kb, "chat": chat}
    flags |= {"actions": actions, "channels": channels, "proposals": proposals, "console": console}
    told = DeskSettings.given(file, **flags, people=people, widget=widget, server=settings)
    model_folder = needed("MODEL", told.model)
    if not ask:
        models = Models()
        return serve_application(open_support(told, models), models, told.server, told.console)
    entries, knowledge = what_is_known(told.faq, told.outside, told.kb, told.proposals)

    async def answer(desk: Desk, embed: Embed) -> None:
        from noria.apps.support.conversation import START

        kept = START
        for question in ask:
            reply, kept = await desk.turn(question, embed, kept)
            facts = {"question": question, "action": reply.action, "confidence": reply.confidence, "text": reply.text}
            printed(facts, partial(print, f"{reply.action} ({reply.confidence:.2f}): {reply.text}"))

    asyncio.run(_at_desk(model_folder, entries, told.wrong, answer, knowledge))
    return 0


@app.command
def judge(
    rows: Path | None = None,
    *,
    model: Path | None = None,
    faq: Path | None = None,
    outside: Path | None = None,
    wrong: Budget = None,
    kb: Path | None = None,
    file: SettingsFile = None,
) -> None:
    """Say what becomes of held-out questions: right, wrong, asked back, handed over, each with how many and its interval.

    What the desk stated of its answers is set beside what was found right.

    Examples::

        noria ship support judge held-out.csv --model runs/demo/embed-served --faq shop.xlsx --wrong 0.02
        noria ship support judge --model runs/demo/embed-served
        noria ship support judge --settings desk.toml

    Parameters
    ----------
    rows
        A file of {"question", "entry", "quote"}: an entry is told by its id, one of its questions or its answer, a document's answer by words that its quotation must hold; a row with neither is a question that a person must answer. Without a file, the questions that the list keeps for judging.
    model
        Folder of a model for the task embed.
    faq
        The list of questions and answers; the bundled one where it is left out.
    outside
        A file of {"text"}: questions that a person must answer, besides the bundled ones.
    wrong
        An error budget: the share of questions that may be answered wrongly.
    kb
        Folder of a knowledge base: its rules, its questions (or those of --faq) and its documents are judged together.
    file
        A desk's file of settings, as `noria new desk --app support` makes one; flags stand above it.
    """
    import asyncio

    from noria.apps.support.faq import BUNDLED
    from noria.apps.support.judging import kept_for_judging, outcomes, read_asked, replies_to, stated
    from noria.apps.support.opening import what_is_known
    from noria.apps.support.review.figures import calibration

    flags = {"model": model, "faq": faq, "outside": outside, "wrong": wrong, "kb": kb, "held_out": rows}
    told = DeskSettings.given(file, **flags)
    known, knowledge = what_is_known(told.faq, told.outside, told.kb, told.proposals)
    asked = read_asked(told.held_out, known) if told.held_out else kept_for_judging(known)
    if not asked:
        raise InputError(message("apps.nothing_to_judge"), hint=message("apps.asked_rows"))
    source = str(told.held_out or told.faq or told.kb or BUNDLED.name)

    async def count(desk: Desk, embed: Embed) -> None:
        replies = await replies_to(desk, asked, embed)
        for figure in (*outcomes(replies, source=source), *calibration(stated(replies), source)):
            printed(figure.as_dict(), partial(print, figure.text(environment_language())))

    asyncio.run(_at_desk(needed("--model", told.model), known, told.wrong, count, knowledge))


async def _at_desk(
    model: Path,
    faq: Faq,
    wrong: float | None,
    work: Callable[[Desk, Embed], Awaitable[None]],
    knowledge: Knowledge | None = None,
) -> None:
    """Open a desk here, say its notes, and let it work."""
    from noria.apps.support.opening import open_desk

    with embedding(model) as embed:
        desk = await open_desk(faq, embed, wrong=wrong, knowledge=knowledge)
        for note in desk.notes:
            print_note(note)
        await work(desk, embed)
