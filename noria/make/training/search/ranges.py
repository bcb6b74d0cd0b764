"""What a search tries: ranges and choices for settings, said in a few characters and checked before the first trial.

ranges(["learning_rate=1e-5..1e-3", "adapter.rank=4,8,16"], settings)      # flags
ranges({"learning_rate": "1e-5..1e-3", "adapter": {"rank": [4, 8]}}, settings)  # the same as a TOML table
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from noria.core.errors import SettingError, unknown
from noria.core.messages import message
from noria.core.settings import Settings
from noria.make.training.settings import FinetuneSettings

RATIO = 10
"""A range that spans this factor is tried by its logarithm: rates and ranks differ by factors, not by steps."""


@dataclass(frozen=True)
class Range:
    """The values that one setting may take."""

    name: str
    """Dotted: adapter.rank."""
    choices: tuple[Any, ...] = ()
    """Values to choose from; empty where there are ends."""
    low: float = 0.0
    high: float = 0.0
    whole: bool = False
    """Only whole numbers."""

    @property
    def logarithmic(self) -> bool:
        """Return whether the range is tried by its logarithm."""
        return self.low > 0 and self.high / self.low >= RATIO

    def text(self) -> str:
        """Return the range as it is said."""
        return f"{self.name}={','.join(map(str, self.choices)) or f'{self.low:g}..{self.high:g}'}"


def ranges(given: Iterable[str] | Mapping[str, Any], settings: FinetuneSettings) -> list[Range]:
    """Return what to try, each end and each choice checked as a value of its setting.

    Raises:
        SettingError: an unknown setting, one that is said twice or is no matter of trying, or a value that is not allowed.
    """
    found = [_range(name, value, settings) for name, value in _pairs(given)]
    names = [one.name for one in found]
    if not names:
        raise SettingError(message("make.nothing_try"), allowed="--try learning_rate=1e-5..1e-3")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SettingError(message("make.setting_try"), found=", ".join(twice))
    return found


def with_values(settings: FinetuneSettings, values: Mapping[str, Any]) -> FinetuneSettings:
    """Return settings with dotted names changed, checked.

    Raises:
        SettingError: an unknown name, or a value that is not allowed.
    """
    changed = settings.model_dump()
    for name, value in values.items():
        *parts, last = name.split(".")
        place = changed
        for part in parts:
            place = place[part]
        place[last] = value
    return FinetuneSettings.make(**changed)


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return dotted names as nested dicts."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        *parts, last = name.split(".")
        place = found
        for part in parts:
            place = place.setdefault(part, {})
        place[last] = value
    return found


def _pairs(given: Iterable[str] | Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(given, Mapping):
        for key, value in given.items():
            if isinstance(value, Mapping):
                yield from _pairs(value, f"{above}{key}.")
            else:
                yield above + key, value
        return
    for one in given:
        name, equals, value = one.partition("=")
        if not equals:
            raise SettingError(message("make.setting_try_2"), found=one, allowed=message("make.name_low"))
        yield name.strip().replace("-", "_"), value.strip()


def _range(name: str, value: Any, settings: FinetuneSettings) -> Range:
    if name in ("seed", "steps", "minutes"):
        raise SettingError(
            message("make.setting_try_2"),
            found=name,
            hint=message("make.trials_compared"),
        )
    _check_known(name, settings)
    if isinstance(value, str) and ".." in value:
        return _ends(name, value, settings)
    parts = value.split(",") if isinstance(value, str) else value if isinstance(value, list | tuple) else [value]
    choices = tuple(_checked(name, part.strip() if isinstance(part, str) else part, settings) for part in parts)
    if len(set(choices)) < 2:
        raise SettingError(message("make.one_value", name=name), found=value, allowed=message("make.two_more"))
    return Range(name, choices=choices)


def _ends(name: str, value: str, settings: FinetuneSettings) -> Range:
    low, _, high = value.partition("..")
    ends = [_checked(name, end.strip(), settings) for end in (low, high)]
    if not all(isinstance(end, int | float) and not isinstance(end, bool) for end in ends):
        raise SettingError(message("make.number", name=name), found=value, allowed=message("make.choices_between"))
    if ends[0] >= ends[1]:
        raise SettingError(message("make.range_empty", name=name), found=value, allowed=message("make.low_high"))
    return Range(name, low=ends[0], high=ends[1], whole=all(isinstance(end, int) for end in ends))


def _check_known(name: str, settings: Settings) -> None:
    owner: Any = settings
    for part in name.split("."):
        fields = type(owner).model_fields if isinstance(owner, Settings) else {}
        if part not in fields:
            raise unknown("setting to try", name, _names(settings))
        owner = getattr(owner, part)
    if isinstance(owner, Settings):
        raise SettingError(
            message("make.group_settings", name=name), allowed=[f"{name}.{one}" for one in type(owner).model_fields]
        )


def _names(settings: Settings, above: str = "") -> list[str]:
    names = []
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        names += _names(value, f"{above}{name}.") if isinstance(value, Settings) else [above + name]
    return names


def _checked(name: str, value: Any, settings: FinetuneSettings) -> Any:
    """Return a value in its setting's own type."""
    owner: Any = with_values(settings, {name: value})
    for part in name.split("."):
        owner = getattr(owner, part)
    return owner
