"""A folder of answers: what was asked in each round, of whom, and every raw answer, so that it can be counted again and gone on with.

panel.json        waves: date -> questions, assistants, draws and settings; and the brands
answers.jsonl     one answer a line: wave, assistant, question, draw, time, model, text, finish reason, tokens, tries

A line stands for a call that was made. A call that failed has its line too, and is made again next time; of an answer that came
twice the first counts. Knows nothing of networks.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from noria.core.errors import FolderError, InputError, ResourceError, SettingError
from noria.core.folder import write_json
from noria.core.messages import message
from noria.core.progress import MetricsLog
from noria.grow.series.calendars import is_time
from noria.text.mentions import Brand

from .endpoint import Assistant
from .settings import AskSettings
from .tables import Question

PANEL, ANSWERS, LOCK = "panel.json", "answers.jsonl", ".lock"
FORMAT = 1
_FIXED = ("temperature", "max_tokens", "seed")
"""Settings that answers of one wave have in common."""
Key = tuple[str, str, int]
"""Assistant, question's id, draw."""


@dataclass(frozen=True)
class Wave:
    """One round of asking."""

    time: str
    questions: tuple[Question, ...]
    assistants: tuple[Assistant, ...]
    draws: int
    settings: Mapping[str, Any] = field(default_factory=dict)

    def calls(self) -> Iterator[Key]:
        """Yield every call, one draw of all questions before the next: cut short, it has still asked them all alike."""
        for draw in range(self.draws):
            for question in self.questions:
                for assistant in self.assistants:
                    yield assistant.name, question.id, draw

    def joined(self, other: Wave) -> Wave:
        """Return this wave with the questions, assistants and draws of another of the same date added.

        Raises:
            SettingError: the other asks something known otherwise than this one did.
        """
        for name in _FIXED:
            if self.settings.get(name) != other.settings.get(name):
                raise self._other(name, other.settings.get(name), self.settings.get(name))
        questions = {one.id: one for one in self.questions}
        for question in other.questions:
            if (known := questions.setdefault(question.id, question)).text != question.text:
                raise self._other(message("answers.question", id=question.id), question.text, known.text)
        assistants = {one.name: one for one in self.assistants}
        for assistant in other.assistants:
            known_one = assistants.setdefault(assistant.name, assistant)
            if (known_one.url, known_one.model) != (assistant.url, assistant.model):
                found, allowed = (f"{one.model} {one.url}" for one in (assistant, known_one))
                raise self._other(assistant.name, found, allowed)
            assistants[assistant.name] = assistant
        draws = max(self.draws, other.draws)
        return Wave(self.time, tuple(questions.values()), tuple(assistants.values()), draws, self.settings)

    def _other(self, what: str, found: object, allowed: object) -> SettingError:
        return SettingError(
            message("answers.changed", what=what, wave=self.time),
            found="–" if found is None else found,
            allowed="–" if allowed is None else str(allowed),
            hint=message("answers.begin_another"),
        )


class Panel:
    """A folder of answers; there may be none yet."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._log = MetricsLog(self.folder / ANSWERS) if self.folder.is_dir() else None
        self.waves: dict[str, Wave] = {}
        self.brands: tuple[Brand, ...] = ()
        if not (self.folder / PANEL).is_file():
            if self.folder.exists() and not self._is_free():
                raise FolderError(message("answers.other_folder"), found=str(folder))
            return
        try:
            raw = json.loads((self.folder / PANEL).read_text(encoding="utf-8"))
            self.brands = tuple(_brand(one) for one in raw["brands"])
            self.waves = {one["time"]: _wave(one) for one in raw["waves"]}
        except (ValueError, KeyError, TypeError) as error:
            raise FolderError(message("errors.unreadable", path=self.folder / PANEL), found=str(error)) from None

    def _is_free(self) -> bool:
        """Return whether the folder holds nothing, or only the hold of a process that never began."""
        return self.folder.is_dir() and all(one.name == LOCK for one in self.folder.iterdir())

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder against a second process that asks.

        Raises:
            ResourceError: another one does.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._log = MetricsLog(self.folder / ANSWERS)
        with (self.folder / LOCK).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ResourceError(message("answers.held"), found=str(self.folder)) from None
            yield

    def begin(
        self,
        questions: Sequence[Question],
        brands: Sequence[Brand],
        assistants: Sequence[Assistant],
        settings: AskSettings,
        today: date,
    ) -> Wave:
        """Return the wave to ask, new or gone on with, once it stands in the folder.

        Raises:
            SettingError: a wave of that date was asked otherwise, or its date has another form than those before.
        """
        facts = {name: getattr(settings, name) for name in _FIXED}
        time = settings.wave or self._open_wave() or self._today(today)
        if not is_time(time) or len(time) == len("YYYY"):
            raise SettingError(message("answers.wave_date"), found=time, allowed="YYYY-MM-DD, YYYY-MM")
        if self.waves and len(time) != len(next(iter(self.waves))):
            raise SettingError(message("answers.wave_form"), found=time, allowed=next(iter(self.waves)))
        wave = Wave(time, tuple(questions), tuple(assistants), settings.draws, facts)
        wave = self.waves[time].joined(wave) if time in self.waves else wave
        self.waves = dict(sorted({**self.waves, time: wave}.items()))
        self.brands = tuple(brands)
        write_json(
            self.folder / PANEL,
            {
                "format": FORMAT,
                "brands": [asdict(one) for one in self.brands],
                "waves": [asdict(one) for one in self.waves.values()],
            },
        )
        return wave

    def add(self, wave: str, key: Key, facts: Mapping[str, Any]) -> None:
        """Write one answer down."""
        assert self._log is not None
        assistant, question, draw = key
        self._log.write(wave=wave, assistant=assistant, question=question, draw=draw, **facts)

    def answers(self) -> dict[str, dict[Key, dict[str, Any]]]:
        """Return wave -> call -> its first answer, or the last failure of a call that has none."""
        found: dict[str, dict[Key, dict[str, Any]]] = {}
        for record in self._log.read() if self._log else ():
            try:
                key = (str(record["assistant"]), str(record["question"]), int(record["draw"]))
                known = found.setdefault(str(record["wave"]), {})
                if key not in known or known[key]["status"] == "failed":
                    known[key] = {**record, "status": str(record["status"])}
            except (KeyError, TypeError, ValueError):
                continue
        return found

    def missing(self, wave: Wave) -> list[Key]:
        """Return the calls of a wave that have no answer yet, in the order in which to make them."""
        known = self.answers().get(wave.time, {})
        return [key for key in wave.calls() if key not in known or known[key]["status"] == "failed"]

    def nothing_asked(self) -> InputError:
        """Return the error of a folder without an answer."""
        return InputError(message("answers.nothing_asked"), found=str(self.folder), hint=message("answers.ask_first"))

    def _open_wave(self) -> str:
        """Return the latest wave where calls are missing; nothing where it is whole."""
        last = next(reversed(self.waves.values()), None)
        return last.time if last is not None and self.missing(last) else ""

    def _today(self, today: date) -> str:
        form = len(next(iter(self.waves), "YYYY-MM-DD"))
        return today.isoformat()[:form]


def _brand(raw: Mapping[str, Any]) -> Brand:
    return Brand(raw["name"], tuple(raw["aliases"]), tuple(raw["ambiguous"]), tuple(raw["excluded"]))


def _wave(raw: Mapping[str, Any]) -> Wave:
    return Wave(
        raw["time"],
        tuple(Question(**one) for one in raw["questions"]),
        tuple(Assistant(**one) for one in raw["assistants"]),
        int(raw["draws"]),
        raw["settings"],
    )
