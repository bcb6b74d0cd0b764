"""The form of a new run: fine-tuning, aligning, pretraining or a ranker, each with the fields that its command has."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import Any

from nicegui import ui
from pydantic import ValidationError

from noria.console.shell import paragraph, problem
from noria.console.words import Words
from noria.core.errors import NoriaError, SettingError
from noria.core.messages import message
from noria.server.http.jobs import LAKE, NewJob, offered_corpora, offered_models, offered_rows
from noria.server.http.state import State

TASKS = ("classify", "tag", "answer", "translate", "summarise", "chat", "embed", "numeric")
RECIPES = ("auto", "full", "head", "top", "lora")
OBJECTIVES = ("causal", "masked", "words", "spans")
FIELDS: Mapping[str, Sequence[str]] = {
    "finetune": ("task", "rows", "test", "model", "recipe", "minutes", "name"),
    "align": ("rows", "model", "minutes", "name"),
    "pretrain": ("rows", "model", "objective", "minutes", "name"),
    "recommend": ("rows", "behaviour", "model", "minutes", "name"),
}
"""What a run does -> the fields that say it."""
FURTHER: Mapping[str, Sequence[str]] = {
    "finetune": ("text_column", "label_column", "seed", "steps", "many"),
    "align": ("seed", "steps"),
    "pretrain": ("seed", "steps"),
    "recommend": ("seed",),
}
"""Fields that are mostly left as they are."""


@dataclass(frozen=True)
class Offered:
    """What there is to choose from."""

    rows: list[str]
    corpora: list[str]
    models: list[str]

    @classmethod
    def of(cls, state: State) -> Offered:
        """Return what a server offers."""
        return cls(offered_rows(state), offered_corpora(state), offered_models(state))

    @property
    def base(self) -> str | None:
        """Return the model that most likely is a base."""
        return next((one for one in self.models if "base" in one), None)


def asked(given: Mapping[str, Any]) -> NewJob:
    """Return what a form says as a job; fields that are left empty are left out.

    Raises:
        SettingError: a field is not filled in, or holds what is not allowed.
    """
    try:
        return NewJob(**{name: value for name, value in given.items() if value not in ("", None)})
    except ValidationError as error:
        fault = error.errors()[0]
        if not fault["loc"]:  # one that is needed is not there
            what = message("jobs.needs", field=message(f"jobs.field_{fault['msg'].rpartition(' ')[2]}"))
            raise SettingError(what) from None
        name = str(fault["loc"][0])
        if given.get(name) in ("", None):
            raise SettingError(message("jobs.needs", field=message(f"jobs.field_{name}"))) from None
        allowed = message("jobs.name_allowed") if name in ("name", "model", "beside") else None
        what = message("jobs.cannot_use", field=message(f"jobs.field_{name}"))
        raise SettingError(what, found=given.get(name), allowed=allowed) from None


class Form:
    """What a run is to be.

    Args:
        words: of the page.
        offered: what there is to choose from.
        start: called with what the form says.
    """

    def __init__(self, words: Words, offered: Offered, start: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        self.words, self.offered, self._start = words, offered, start
        self.fields: dict[str, Any] = {}
        kinds = {kind: words(f"train.do_{kind}") for kind in FIELDS}
        self.kind = ui.select(kinds, value="finetune", label=words("train.do"), on_change=self._show)
        self.kind.props("outlined dense options-dense data-field=kind").classes("field train-kind")
        with ui.element("div").classes("train-fields"):
            self._select("task", {task: words.phrase(task) for task in TASKS}, "classify")
            self._select("rows", offered.rows, offered.rows[0] if offered.rows else None, data=True)
            self._select("behaviour", self._rows(lake=True), None, data=True)
            self._select("test", offered.rows, None, data=True)
            self._select("model", offered.models, offered.base, data=True)
            self._select("recipe", {recipe: words(f"train.recipe_{recipe}") for recipe in RECIPES}, "auto")
            self._select("objective", {one: words(f"train.objective_{one}") for one in OBJECTIVES}, "causal")
            self.fields["minutes"] = ui.number(words("train.minutes"), value=5, min=0.1, max=6000, step=1)
            self.fields["name"] = ui.input(words("train.name"), value=_free_name(offered.models))
        with ui.element("details").classes("train-further"):
            ui.html(escape(words("train.further")), sanitize=False, tag="summary")
            further = ui.element("div").classes("train-fields")
        with further:
            self.fields["text_column"] = ui.input(words("train.text_column"), value="")
            self.fields["label_column"] = ui.input(words("train.label_column"), value="")
            self.fields["seed"] = ui.number(words("train.seed"), value=0, min=0, max=2**31 - 1, step=1, precision=0)
            self.fields["steps"] = ui.number(words("train.steps"), value=None, min=1, step=1, precision=0)
            self.fields["many"] = ui.checkbox(words("train.many"), value=False)
        for name, field in self.fields.items():
            field.props(f'data-field="{name}"')
            if name != "many":
                field.props("outlined dense").classes("field")
        self.hint = paragraph("", "small soft").props("data-hint")
        self.notice = ui.element("div").props('aria-live="assertive"')
        with ui.element("div").classes("train-deeds"):
            plan = ui.button(words("train.look"), on_click=partial(self._press, "plan"), color=None)
            plan.classes("quiet").props("flat data-go=plan")
            go = ui.button(words("train.start"), on_click=partial(self._press, "start"), color=None)
            go.classes("primary").props("data-go=start")
        self._show()

    def refuse(self, error: NoriaError) -> None:
        """Say what is wrong with what the form says."""
        with self.notice:
            problem(error.text(self.words.language))

    def _select(self, name: str, options: Any, value: str | None, *, data: bool = False) -> None:
        label = (
            "" if name in ("rows", "model") else self.words(f"train.{name}")
        )  # these are called by what the run does
        field = ui.select(options, value=value, label=label, with_input=data, clearable=data)
        self.fields[name] = field.props('options-dense translate="no"' if data else "options-dense")

    def _rows(self, *, lake: bool) -> dict[str, str]:
        """Return the rows to choose from, before them those of the server's own users where they can be learned from."""
        return {**({LAKE: self.words("train.lake")} if lake else {}), **{one: one for one in self.offered.rows}}

    def _show(self) -> None:
        """Show the fields of what the run does, each with what it may hold."""
        kind, words = str(self.kind.value), self.words
        for name, field in self.fields.items():
            field.set_visibility(name in FIELDS[kind] or name in FURTHER[kind])
        corpora = {one: one for one in self.offered.corpora}
        rows = corpora if kind == "pretrain" else self._rows(lake=kind == "align")
        known = next((one for one in rows if one != LAKE), None) if kind != "recommend" else None
        self.fields["rows"].set_options(rows, value=known)
        self.fields["rows"].props["label"] = words(f"train.rows_{kind}")
        self.fields["model"].set_value(self.offered.base if kind == "finetune" else None)
        self.fields["model"].props["label"] = words(f"train.model_{kind}")
        for name in ("rows", "model"):
            self.fields[name].update()
        none = "" if rows else words("train.no_corpus" if kind == "pretrain" else "train.no_rows")
        self.hint.set_content(escape(none))

    async def _press(self, pressed: str) -> None:
        kind = str(self.kind.value)
        given = {name: self.fields[name].value for name in (*FIELDS[kind], *FURTHER[kind])}
        for name in ("seed", "steps"):
            given[name] = None if given.get(name) is None else int(given[name])
        if pressed == "plan" and kind == "finetune":
            given |= {"name": None, "test": None}
        done = {"kind": "plan", "of": kind} if pressed == "plan" else {"kind": kind}
        await self._start({**done, **given, "minutes": given["minutes"] and float(given["minutes"])})


def _free_name(models: list[str]) -> str:
    """Return a name that no model has."""
    return next(name for number in range(1, len(models) + 2) if (name := f"model-{number}") not in models)
