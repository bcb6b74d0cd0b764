"""One file says what is served: every key by file and by flag, which stands above; paths begin where the file lies; mistakes name what is near."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic.fields import FieldInfo

from noria.apps.renewal import flat
from noria.apps.serving import ServeSettings, open_all
from noria.cli.main import main
from noria.core.errors import NoriaError, SettingError
from noria.core.messages import catalogue
from noria.core.settings import Settings

STRANGE: dict[str, str] = {
    "name": "second",
    "device": "cpu",
    "day_zone": "Asia/Shanghai",
    "zone": "Asia/Shanghai",
    "adapters": "legal=loras/legal",
    "canaries": "sentiment=next:0.25",
    "shadows": "entities=next:0.5",
    "apps": "monitor",
    "hours": "mon-fri 09:00-18:00",
    "holidays": "2026-10-01",
}
"""Keys whose text has a form of its own -> a value."""


def keys(kind: type[Settings], before: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in kind.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
            yield from keys(field.annotation, f"{before}{name}.")
        else:
            yield before + name, field


def other(key: str, field: FieldInfo) -> Any:
    """Return a value of a key that is not its default, as TOML has it."""
    name, kind, default = key.rpartition(".")[2], field.annotation, field.get_default(call_default_factory=True)
    options = [getattr(one, "__origin__", one) for one in (get_args(kind) or (kind,))]
    if get_origin(kind) is Literal:
        return next(one for one in get_args(kind) if one not in (default, ""))
    if get_origin(kind) is dict:
        return {"Garden": 0.5}
    if get_origin(kind) is tuple:
        return [STRANGE.get(name, "x/y")]
    if name in STRANGE:
        return STRANGE[name]
    if bool in options:
        return not default
    if int in options:
        return default + 1 if default is not None else 7
    if float in options:
        return default / 2 if default else 0.25
    return "x/y"


EVERY = dict(keys(ServeSettings))
FLAT = {key: other(key, field) for key, field in EVERY.items()}


def as_toml(values: dict[str, Any]) -> str:
    """Return a file with these keys; `guard.words` stands as such below [serve]."""
    return "[serve]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in values.items())


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + " }"
    return json.dumps(value)


def as_flags(values: dict[str, Any]) -> list[str]:
    flags = []
    for key, value in values.items():
        flag = "--" + key.replace("_", "-")
        if isinstance(value, bool):
            flags.append(
                flag if value else "--" + ".".join([*key.split(".")[:-1], f"no-{key.split('.')[-1]}"]).replace("_", "-")
            )
        elif isinstance(value, dict):
            flags += [part for name, one in value.items() for part in (f"{flag}.{name}", str(one))]
        else:
            flags += [part for one in (value if isinstance(value, list) else [value]) for part in (flag, str(one))]
    return flags


@pytest.fixture
def commanded(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give what `noria ship serve` with some arguments would serve."""
    from noria.cli.applications import Shown

    found: list[ServeSettings] = []
    console: list[Path | None] = []  # which the command mounts, and the API knows nothing of

    def shown(folder: Path | None) -> Shown:
        console.append(folder)
        return Shown(folder)

    def served(file: Path | None, flags: dict[str, Any], *given: object, **more: object) -> None:
        found.append(ServeSettings.given(file, **flags, console=console.pop()))
        raise SettingError("enough")

    monkeypatch.setattr("noria.api.reloading.Served", served)
    monkeypatch.setattr("noria.cli.ship.Shown", shown)

    def run(*arguments: str) -> ServeSettings:
        assert main(["ship", "serve", *arguments]) == 2
        return found.pop()

    return run


def test_every_key_is_a_key_of_the_file_and_a_flag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, commanded: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    values = {key: value for key, value in FLAT.items() if key not in ("support.settings", "recommend.settings")}
    assert len(values) > 100
    Path("noria.toml").write_text(as_toml(values))
    by_file = ServeSettings.given(Path("noria.toml"))
    models = [values["models"][0]]
    by_flag = commanded(*models, *as_flags({key: value for key, value in values.items() if key != "models"}))
    differ = {key: (one, flat(by_flag)[key]) for key, one in flat(by_file).items() if one != flat(by_flag)[key]}
    assert differ == {}
    plain = ServeSettings()
    for key in values:
        assert _at(by_file, key) != _at(plain, key), key
    assert flat(commanded()) == flat(by_file)  # the file of the folder, where no models are named


def _at(settings: Any, key: str) -> Any:
    for part in key.split("."):
        settings = getattr(settings, part)
    return settings


@pytest.mark.parametrize(
    "key",
    [
        "port",
        "guard.personal",
        "support.wrong",
        "monitor.watch.hold_off_hours",
        "recommend.shelf.rules.sponsored_place",
    ],
)
def test_a_flag_stands_above_the_file_and_leaves_what_is_beside_it(tmp_path: Path, commanded: Any, key: str) -> None:
    file = tmp_path / "team.toml"
    given = {
        "port": 9000,
        "guard.personal": "mask",
        "guard.injection": "off",
        "support.wrong": 0.02,
        "support.people.zone": "Asia/Tokyo",
    }
    given |= {
        "monitor.watch.hold_off_hours": 2.0,
        "monitor.watch.most_texts": 5,
        "recommend.shelf.rules.sponsored_place": 4,
        "recommend.shelf.chance": 0.3,
    }
    file.write_text(as_toml(given))
    above = {**given, key: {"guard.personal": "block"}.get(key, 7 if isinstance(given[key], int) else 0.5)}
    found = commanded("--config", str(file), *as_flags({key: above[key]}))
    assert {name: _at(found, name) for name in given} == above


def test_paths_begin_where_the_file_lies(tmp_path: Path, commanded: Any) -> None:
    (tmp_path / "desk").mkdir()
    (tmp_path / "desk" / "desk.toml").write_text(
        "model = 'm'\nkb = 'kb'\nwrong = 0.1\nconsole = '.'\n[server]\nport = 1\n[people]\nzone = 'Asia/Tokyo'\n"
    )
    file = tmp_path / "noria.toml"
    file.write_text(
        "[serve]\nmodels = ['a', '/b']\nadapters = ['legal=loras/legal']\ncanaries = ['a=next:0.2']\nlake = 'lake'\n"
        "guard.words = 'words.txt'\nsupport.settings = 'desk/desk.toml'\nsupport.wrong = 0.05\nmonitor.sources = 'sources.toml'\n"
    )
    found = ServeSettings.given(file)
    assert found.models == (tmp_path / "a", Path("/b"))
    assert found.adapters == (f"legal={tmp_path / 'loras/legal'}",)
    assert found.trials == {"a": ("canary", tmp_path / "next", 0.2)}
    assert (found.lake, found.guard.words, found.monitor.sources) == (
        tmp_path / "lake",
        tmp_path / "words.txt",
        tmp_path / "sources.toml",
    )
    desk = found.support
    assert (desk.model, desk.kb, desk.wrong, desk.people.zone) == (
        tmp_path / "desk" / "m",
        tmp_path / "desk" / "kb",
        0.05,
        "Asia/Tokyo",
    )
    assert found.port == ServeSettings().port, "where the desk would be served alone counts for nothing"
    assert found.applications == ("support", "monitor")
    flag = commanded("--config", str(file), "--support.kb", "kb")
    assert flag.support.kb == Path("kb"), "a flag's path begins here"


def check(file: Path) -> None:
    settings = ServeSettings.given(file)
    _ = settings.trials
    open_all(settings)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[serve]\nprot = 8400\n", "did you mean port?"),
        ("[serve.guard]\npersonnal = 'mask'\n", "did you mean personal?"),
        ("[serve.support.people]\nhour = []\n", "did you mean hours?"),
        ("[serve.monitor.watch]\nstep_minute = 1\n", "did you mean step_minutes?"),
        ("[serve]\nport = 70000\n", "port"),
        ("[serve]\ncanaries = ['a']\n", "MODEL=FOLDER:SHARE"),
        ("[serve]\ncanaries = ['a=b:2']\n", "MODEL=FOLDER:SHARE"),
        ("[serve]\ncanaries = ['a=b']\nshadows = ['a=b']\n", "a canary and a shadow"),
        ("[serve]\napps = ['suport']\n", "did you mean support?"),
        ("[serve]\nsupport.settings = 'none.toml'\n", "none.toml"),
        ("[serve]\nport = \n", "not TOML"),
        ("[base]\nname = 'e5-small'\n", "what is served"),
        ("serve = 1\n", "what is served"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_is_near(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "noria.toml"
    file.write_text(text)
    with pytest.raises(NoriaError) as caught:
        check(file)
    assert words in caught.value.text("en")
    assert "\n" not in caught.value.text("zh")
    for language in ("en", "zh"):  # those who write a file know its keys, and no class
        assert not re.search(r"[A-Z]\w*(Settings|Support|Recommender)\b", caught.value.text(language))


def test_each_key_has_its_meaning_in_both_languages() -> None:
    from noria.console.pages.settings import keys_of, meaning

    found = list(keys_of(ServeSettings()))
    assert {one.name for one in found} == EVERY.keys()
    for one in found:
        means = " ".join((EVERY[one.name].description or "").split())
        assert meaning(one)["en"] == means, one.name
        assert means
    known = {f"settings.{one.kind.__name__}.{one.name.rpartition('.')[2]}" for one in found}
    assert known == catalogue("en", "settings").keys(), "a meaning of a key that is gone"


def test_what_is_served_is_no_stage_of_a_run(tmp_path: Path) -> None:
    import noria
    from noria.core.errors import InputError

    file = tmp_path / "noria.toml"
    file.write_text("[serve]\nmodels = ['base']\n")
    with pytest.raises(InputError, match="no stage"):
        noria.run(file, progress=False)
