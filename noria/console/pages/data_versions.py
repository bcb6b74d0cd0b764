"""Columns, checks and versions of a data set."""

from __future__ import annotations

from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from nicegui import ui

from noria.console.data_files import FILES
from noria.console.metered import metered
from noria.console.shell import block, card, facts, foreign, link, paragraph
from noria.core.errors import NoriaError
from noria.core.figure import number
from noria.server.data.kept import Change
from noria.server.data.rows import TASKS
from noria.server.http.data import check
from noria.tasks.task import task_for

from .data_rows import REASONS

if TYPE_CHECKING:
    from .data_page import DataPage

DROP = "-"
"""Stands for a column's name where it is dropped."""


async def show_columns(page: DataPage) -> None:
    """Draw what each column is, to be changed."""
    words, one = page.words, page.set
    first = await page.attempt(lambda: page.data.index(page.name).rows(0, 3), working=False) or []
    names: dict[str, ui.input] = {}
    with card(words("data.tab_columns")):
        paragraph(words("data.columns_lead"), "small soft")
        tasks = {task: words(f"data.task_{task}") for task in TASKS}
        task = ui.select(tasks, value=one.task, label=words("data.task")).props("outlined dense options-dense")
        task.classes("field data-narrow")
        for name, count in one.current.columns.items():
            example = next((str(row[name]) for row in first if row.get(name) is not None), "")
            with ui.element("div").classes("data-column").props("data-column"):
                block(
                    f"<b>{foreign(name)}</b> <span class='small soft'>{escape(words('data.filled', count=number(count)))}</span>"
                    f'<div class="small soft clamp" translate="no">{escape(example[:120])}</div>'
                )
                uses = {name: words("data.as_it_is"), DROP: words("data.drop_column")}
                fields = [field for field in task_for(one.task).columns if field != name]
                uses |= {field: words("data.becomes", field=field) for field in fields}
                use = ui.select(uses, value=name, label=words("data.use")).props("outlined dense options-dense")
                named = ui.input(words("data.column_name"), value=name).props("outlined dense maxlength=100")
                use.classes("field").on_value_change(partial(_used, named, use))
                named.classes("field")
                names[name] = named

        async def change() -> None:
            asked: dict[str, str | None] = {}
            for name, box in names.items():
                wanted = (box.value or "").strip()
                if wanted != name:
                    asked[name] = None if wanted in ("", DROP) else wanted
            if not asked and task.value == one.task:
                page.inform(words("data.nothing_new"))
                return
            version = one.current.version
            done = await page.attempt(
                lambda: page.data.columns(page.name, asked, by=page.actor, version=version, task=str(task.value))
            )
            if done is not None:
                await page.open("read")

        button = ui.button(words("data.make_version"), on_click=change, color=None).classes("primary")
        button.props("no-caps data-columns")


def _used(named: ui.input, use: ui.select) -> None:
    named.set_value(use.value)
    named.set_enabled(use.value != DROP)


async def show_check(page: DataPage) -> None:
    """Draw what speaks against rows, once it was looked for."""
    words, one = page.words, page.set
    found = page.data.reviewed(page.name, one.current.version)
    with card(words("data.tab_check")):
        paragraph(words("data.check_lead"), "small soft")

        served = [name for name, model in page.view.state.models.items() if model.task == "classify"]
        models = {"": words("data.light"), **{name: words("data.served", name=name) for name in served}}
        model = ui.select(models, value="", label=words("data.judge")).props("outlined dense options-dense")
        model.classes("field data-narrow").set_visibility(bool(served) and one.task == "classify")

        async def look() -> None:
            if not model.value:
                done = await page.attempt(lambda: page.data.review(page.name, by=page.actor, anew=True)) is not None
            else:
                done = await _judged(page, model.value)
            if done:
                await page.open("check")

        if found is None or served or page.data.journal(page.name).latest():
            button = ui.button(words("data.look"), on_click=look, color=None).classes("primary")
            button.props("no-caps data-look")
        if found is None:
            return
        reasons = [again["reason"] for again in found["repeats"]]
        pairs = [(words("data.doubtful"), f"<b data-doubtful>{number(found['doubtful_rows'])}</b>")]
        by = foreign(found["model"]) if found["model"] else escape(words("data.light"))
        pairs.append((words("data.judged"), f"n = {number(found['judged'])} · {by}"))
        for reason, key in REASONS.items():
            pairs.append((words(f"data.{key}"), f'<b data-reason="{key}">{number(reasons.count(reason))}</b>'))
        facts(pairs)
        if not found["judged"]:
            paragraph(words("data.not_judged"), "small soft")
        if not found["near"]:
            paragraph(words("data.not_near"), "small soft")
        with ui.element("div").classes("data-form"):
            if found["doubtful"]:
                _button(page, "see_doubtful", partial(_see, page, "label", "doubtful"))
            if reasons:
                _button(page, "see_repeats", partial(_see, page, "rows", "repeats"))
            if set(reasons) - {"conflicting labels"}:
                _button(page, "remove_repeats", partial(_remove, page))


async def _judged(page: DataPage, model: str) -> bool:
    """Let a served model judge the labels, and return whether it did."""
    page.inform(page.words("app.working"))
    try:
        async with metered(page.view) as context:
            await check(context, page.name, model)
    except NoriaError as error:
        page.wrong(error.text(page.words.language))
        return False
    page.notice.clear()
    return True


async def _see(page: DataPage, tab: str, which: str) -> None:
    page.asked = which
    await page.open(tab)


async def _remove(page: DataPage) -> None:
    version = page.set.current.version
    done = await page.attempt(lambda: page.data.remove(page.name, by=page.actor, version=version, repeats=True))
    if done is not None:
        await page.open("versions")
        page.inform(page.words("data.removed", count=number(done.count)))


def _button(page: DataPage, name: str, pressed: Any) -> None:
    button = ui.button(page.words(f"data.{name}"), on_click=pressed, color=None).classes("quiet")
    button.props(f'flat dense no-caps data-deed="{name}"')


async def show_versions(page: DataPage) -> None:
    """Draw how a set came to be what it is, and what may be taken away."""
    words, one = page.words, page.set
    with card(words("data.use_it")):
        part = page.data.facts(page.name, one.current.version, "split")
        waiting = len(page.data.journal(page.name).latest())
        links = [_download(page, words("data.all_rows"), ""), _download(page, words("data.ready_rows"), "labelled")]
        if part is not None:
            links += [
                _download(page, f"{words(f'data.{name}')} ({number(rows)})", name)
                for name, rows in part["rows"].items()
            ]
        block(f'<div class="chips" data-downloads>{"".join(links)}</div>')
        if waiting:
            paragraph(words("data.waiting", count=number(waiting)), "small soft")
        block(
            f'<p class="small soft">{escape(words("data.command"))} <code translate="no">noria build finetune '
            f"{escape(one.task)} --train {escape(one.name)}.jsonl --out {escape(one.name)}-model</code></p>"
        )
        with ui.element("div").classes("data-form"):
            shares = [
                ui.number(words(f"data.{name}"), value=10, min=0, max=40, suffix="%").props("outlined dense")
                for name in ("valid", "test")
            ]
            for box in shares:
                box.classes("field")

            async def divide() -> None:
                valid, test = ((box.value or 0) / 100 for box in shares)
                work = partial(page.data.split, page.name, by=page.actor, valid=valid, test=test)
                if await page.attempt(work) is not None:
                    await page.open("versions")

            button = ui.button(words("data.split"), on_click=divide, color=None).classes("quiet")
            button.props("flat no-caps data-split")
        paragraph(words("data.split_lead"), "small soft")
    with card(words("data.tab_versions")):
        for place, change in reversed(list(enumerate(one.changes))):
            before = one.changes[place - 1] if place else None
            with ui.element("div").classes("data-version").props("data-version"):
                block(_version(page, change, before, here=place == len(one.changes) - 1))
                if change.version != one.current.version:
                    _button(page, "back", partial(_back, page, change.version))

        async def delete() -> None:
            def work() -> bool:
                page.data.delete(page.name, by=page.actor)
                return True

            if await page.attempt(work):
                ui.navigate.to("/data")

        with ui.element("details").classes("data-delete"):
            ui.html(escape(words("data.delete")), sanitize=False, tag="summary")
            ui.button(words("data.delete_sure", name=one.name), on_click=delete, color=None).classes("quiet").props(
                "flat dense no-caps"
            )


async def _back(page: DataPage, version: str) -> None:
    if await page.attempt(lambda: page.data.back(page.name, version, by=page.actor)) is not None:
        await page.open("versions")


def _download(page: DataPage, text: str, part: str) -> str:
    asked = urlencode({"part": part}) if part else ""
    address = f"{link(FILES)}/{quote(page.name)}?{asked}"
    return f'<a class="chip" href="{escape(address, quote=True)}" download data-download="{part}">{escape(text)} ↓</a>'


def _version(page: DataPage, change: Change, before: Change | None, *, here: bool) -> str:
    """Return one change: its version, who made it, and the rows of each label with what changed."""
    words = page.words
    what = words(f"data.action_{change.action}", count=number(change.count))
    file = f" {foreign(change.file)}" if change.file and change.action in ("upload", "add") else ""
    now = f' <span class="chip grow">{escape(words("data.now"))}</span>' if here else ""
    rows = words("data.version_rows", rows=number(change.rows), labelled=number(change.labelled))
    labels = []
    for label, count in list(change.labels.items())[:12]:
        was = before.labels.get(label, 0) if before else count
        step = f" ({count - was:+,})" if count != was else ""
        labels.append(f'<span class="chip" translate="no">{escape(label)} {count:,}{step}</span>')
    return (
        f'<div class="data-version-head"><code translate="no">{change.version}</code>{now} '
        f'<b>{escape(what)}</b>{file} <span class="small soft">{foreign(change.made[:16].replace("T", " "))} UTC · '
        f'{foreign(change.by)}</span></div><div class="small">{escape(rows)}</div><div class="chips">{"".join(labels)}</div>'
    )
