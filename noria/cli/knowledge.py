"""`noria ship support index`: documents, questions and answers, past dialogues and rules -> a knowledge base."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from noria.apps.settings import DeskSettings
from noria.apps.support.knowledge import LEAST
from noria.core.messages import Message, for_terminal, message

from .files import SettingsFile, needed
from .manners import print_made, printed, report

if TYPE_CHECKING:
    from noria.apps.support.knowledge.quotes import Quote


def index(
    *sources: Path,
    out: Path | None = None,
    model: Path | None = None,
    link: str = "",
    file: SettingsFile = None,
    watch: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Make a knowledge base of what a team has: documents, questions and answers, past dialogues, rules.

    What a file is, its columns say. Run it again after any change: only files with other content are read. A killed run goes
    on from where it was. The base holds what the sources hold now, and nothing else.

    Examples::

        noria ship support index handbook/ faq.xlsx --out kb
        noria ship support index handbook/ --out kb --model runs/demo/embed-served --link https://help.example.com
        noria ship support index handbook/ rules.csv dialogues.jsonl --out kb --watch
        noria ship support index --settings desk.toml

    Parameters
    ----------
    sources
        Files and folders: HTML, PDF, Word, Markdown, text; JSON Lines, CSV, Excel, Parquet.
    out
        Folder of the base.
    model
        Folder of a model for the task embed, the one that will be served; without it passages are found by their words alone.
    link
        Address under which the files are published: quotes link it with the file's name behind it.
    file
        A desk's file of settings, as `noria new desk --app support` makes one; flags stand above it.
    watch
        Stay, and make the base anew each time that a source changes.
    """
    from noria.apps.support.knowledge.building import Built, build
    from noria.apps.support.knowledge.building import watch as watched
    from noria.apps.support.knowledge.encoding import passage_embedder

    told = DeskSettings.given(file, sources=sources, kb=out, model=model, link=link)
    known, base = told.sources, needed("--out", told.kb)
    shown = report()
    with passage_embedder(told.model) as embedder:

        def make() -> Built:
            built = build(known, base, embedder=embedder, link=told.link, report=shown)
            shown.closing(for_terminal(_line(built, base)), passages=built.passages, **built.kinds)
            if not built.kinds:
                shown.note(for_terminal(message("knowledge.empty")))
            elif embedder is None:
                shown.note(for_terminal(message("knowledge.words_alone")))
            elif built.embedded:
                shown.note(for_terminal(message("knowledge.embedded", count=built.embedded)))
            print_made({"result": "knowledge", "path": base, "passages": built.passages, **built.kinds}, base)
            return built

        make()
        if watch:
            shown.note(for_terminal(message("knowledge.watching", sources=len(known))))
            for _ in watched(known, make):
                pass


def quote(
    *questions: str,
    kb: Path,
    model: Path | None = None,
    least: float = LEAST,
) -> None:
    """Quote what the documents of a knowledge base say to a question, with where it stands; or that it is not known.

    Examples::

        noria ship support quote "How long is the warranty?" --kb kb
        noria ship support quote "保修期多久？" --kb kb --model runs/demo/embed-served --json

    Parameters
    ----------
    questions
        What is asked.
    kb
        Folder of the base, as `noria ship support index` made it.
    model
        Folder of the model that embedded it; without it words alone decide.
    least
        Probability below which it is not known.
    """
    from dataclasses import asdict

    from noria.apps.support.knowledge.base import Knowledge
    from noria.apps.support.knowledge.encoding import passage_embedder

    base = Knowledge.open(kb)
    with passage_embedder(model) as embedder:
        for question in questions:
            vector = base.vector_by(embedder.probe, question) if embedder else None
            found = base.find(question, vector)
            known = found if found is not None and found.probability >= least else None
            facts = {"question": question, "quote": None if known is None else asdict(known)}
            printed(facts, partial(_print_quote, known))


def _print_quote(known: Quote | None) -> None:
    for one in () if known is None else (known, *known.conflicting):
        place = " > ".join(part for part in (one.source, one.section) if part)
        page = message("knowledge.page", page=one.page) if one.page else ""
        print(f"({one.probability:.2f}) {one.text}\n    {place} {page} {one.link}".rstrip())
    if known is None:
        print(for_terminal(message("knowledge.not_known")))


def _line(built: object, out: Path) -> Message:
    from noria.apps.support.knowledge.building import Built

    assert isinstance(built, Built)
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in sorted(built.kinds.items()))
    return message(
        "knowledge.built",
        out=str(out),
        passages=built.passages,
        sources=sum(built.kinds.values()),
        kinds=kinds or "0",
        read=len(built.read),
        same=built.same,
        removed=len(built.removed),
        left=len(built.left),
    )
