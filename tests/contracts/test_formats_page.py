"""The page of formats cannot lie: each of its examples is taken by the reader of the command that it stands beside."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from noria.api.sections import read_section
from noria.apps.monitor.aspects import read_aspects
from noria.apps.monitor.names import read_names
from noria.apps.monitor.notify.settings import read_notify
from noria.apps.monitor.sources.listing import read_listing
from noria.apps.monitor.topics import read_topics
from noria.apps.support.actions.flow import read_actions
from noria.apps.support.channels.settings import read_channels
from noria.apps.support.dialogues import read_dialogues
from noria.apps.support.faq import read_faq
from noria.apps.support.judging import read_asked
from noria.apps.support.knowledge.rules import rule_of
from noria.cli.recommend import _users
from noria.core.settings import read_toml
from noria.grow.answers.tables import read_brands, read_questions
from noria.grow.log.lake import connect
from noria.grow.log.read import read_log
from noria.grow.market.drivers.eventstudy import read_happenings
from noria.grow.market.potential import read_ranges
from noria.grow.promote.offpolicy import read_logged
from noria.grow.promote.spend import read_spend
from noria.grow.promote.units import read_units
from noria.grow.series.series import read_series
from noria.make.corpus.documents import read_documents
from noria.make.training.settings import FinetuneSettings
from noria.server.guard.guard import _read_words
from noria.tasks.deeds import read_deeds
from noria.tasks.items import read_items
from noria.tasks.preferences import Pairs, Thumbs
from noria.tasks.task import read_rows, task_for
from noria.text.passages import read_document
from noria.text.records import read_records

DOCS = Path(__file__).resolve().parents[2] / "docs"
EXAMPLE = re.compile(r"^\*\*`([\w.-]+)`\*\*[:：][^\n]*\n\n```\w+\n(.*?)```", re.MULTILINE | re.DOTALL)
engine = cache(connect)


def examples(page: str) -> dict[str, str]:
    return dict(EXAMPLE.findall((DOCS / page).read_text(encoding="utf-8")))


def rows(task: str, **facts: Any) -> Callable[[Path], object]:
    return lambda file: read_rows(file, task_for(task, **facts))


def records(file: Path) -> list[dict[str, Any]]:
    found = [record for _, record in read_records(file)]
    assert all(isinstance(record, dict) for record in found)
    return found


def asked(file: Path) -> object:
    questions = file.with_name("questions.csv")
    page = next(one for one in (EN, ZH) if one["held-out.csv"] == file.read_text(encoding="utf-8"))
    questions.write_text(page["questions.csv"], encoding="utf-8")
    return read_asked(file, read_faq(questions))


READERS: dict[str, Callable[[Path], object]] = {
    "rows.csv": rows("classify"),
    "several.csv": rows("classify", many=True),
    "numbers.csv": rows("numeric"),
    "spans.jsonl": rows("tag"),
    "quoted.jsonl": rows("answer"),
    "pairs.csv": rows("embed"),
    "translated.csv": lambda file: [*rows("translate")(file), *rows("summarise")(file)],
    "chats.jsonl": rows("chat"),
    "preferred.jsonl": lambda file: [Pairs().check(one) for one in records(file)],
    "thumbs.jsonl": lambda file: [Thumbs().check(one) for one in records(file)],
    "documents.jsonl": lambda file: list(read_documents(file)),
    "questions.csv": lambda file: read_faq(file).entries,
    "outside.csv": lambda file: read_faq(outside=file).outside,
    "rules.csv": lambda file: [rule_of(one, file.name, 1) for one in records(file)],
    "chats.csv": lambda file: list(read_dialogues(file)),
    "held-out.csv": asked,
    "handbook.md": lambda file: read_document(file).passages,
    "actions.toml": read_actions,
    "channels.toml": read_channels,
    "items.csv": read_items,
    "clicks.csv": read_deeds,
    "users.csv": _users,
    "sources.toml": lambda file: [
        read_listing(file),
        read_notify(file, {"NORIA_NOTIFY_HOOK": "whsec_c2VjcmV0c2VjcmV0c2VjcmV0"}),
    ],
    "topics.json": read_topics,
    "names.csv": lambda file: read_names(file).listed,
    "aspects.toml": read_aspects,
    "log.csv": lambda file: read_log(file, zone="UTC", connection=engine()),
    "market.csv": lambda file: read_series(file).points,
    "happenings.csv": read_happenings,
    "sizes.csv": read_ranges,
    "asked.csv": lambda file: read_questions(file)[0],
    "brands.csv": read_brands,
    "campaign.csv": lambda file: read_units(file, features=["visits"], connection=engine()),
    "weekly.csv": lambda file: read_spend(file, channels=["search", "video"], connection=engine()),
    "decisions.csv": read_logged,
    "noria.toml": lambda file: [read_section(name, values) for name, values in read_toml(file).items()],
    "settings.toml": lambda file: FinetuneSettings.read(file, section="finetune"),
    "blocked.txt": _read_words,
}
EN, ZH = examples("formats.md"), examples("formats.zh-CN.md")


def test_both_pages_have_an_example_of_every_kind():
    assert list(EN) == list(ZH)
    assert set(EN) == set(READERS)


@pytest.mark.parametrize("page", [EN, ZH], ids=["en", "zh"])
@pytest.mark.parametrize("name", READERS)
def test_the_reader_takes_the_example(name: str, page: dict[str, str], tmp_path: Path):
    file = tmp_path / name
    file.write_text(page[name], encoding="utf-8")
    found = READERS[name](file)
    assert found
    lines = page[name].strip().count("\n")
    if (
        name.endswith(".csv")
        and isinstance(found, list | tuple)
        and name not in ("chats.csv", "translated.csv", "outside.csv")
    ):
        wanted = lines - page[name].count("\n#") - page[name].startswith("#")
        assert len(found) == wanted, "a row for each line below the names of the columns"
