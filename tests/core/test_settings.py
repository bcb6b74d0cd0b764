"""One class is a TOML section, flags and a Python argument."""

from typing import Annotated

import pytest
from pydantic import Field

from noria.core.errors import InputError, SettingError
from noria.core.settings import Settings, check_sections, fingerprint


class Kneading(Settings):
    minutes: Annotated[float, Field(gt=0, le=600)] = 5.0
    """Time budget, in minutes."""
    language: str = "zh"
    """zh or en."""


def test_docstrings_are_descriptions():
    assert Kneading.model_fields["minutes"].description == "Time budget, in minutes."


def test_unknown_key_names_the_nearest():
    with pytest.raises(SettingError, match=r"unknown key 'minuts'.*allowed language, minutes; did you mean minutes\?"):
        Kneading.make(minuts=3)


def test_value_out_of_range_shows_what_was_found_and_allowed():
    with pytest.raises(SettingError, match=r"minutes is not allowed: found -3; allowed input should be greater than 0"):
        Kneading.make(minutes=-3)


def test_toml_section_with_overrides(tmp_path):
    path = tmp_path / "noria.toml"
    path.write_text('[knead]\nminutes = 2\nlanguage = "中文"\n', encoding="utf-8")
    assert Kneading.read(path, section="knead", minutes=7, language=None) == Kneading(minutes=7, language="中文")
    assert Kneading.read(path, section="absent") == Kneading()


@pytest.mark.parametrize("content", [b"minutes = = 3", b"\xff\xfe\x00", None])
def test_a_file_that_is_not_toml(tmp_path, content):
    path = tmp_path / "noria.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError):
        Kneading.read(path, section="knead")


def test_unknown_section():
    with pytest.raises(SettingError, match=r"unknown section: found 'kned'.*did you mean knead\?"):
        check_sections({"kned": {}}, {"knead": Kneading})


def test_settings_are_frozen_and_fingerprints_follow_values():
    settings = Kneading()
    with pytest.raises(Exception, match="frozen"):
        settings.minutes = 9
    assert settings.fingerprint() == Kneading(minutes=5).fingerprint() != settings.replace(minutes=6).fingerprint()
    with pytest.raises(SettingError):
        settings.replace(minutes=0)
    assert fingerprint({"a": 1, "b": "水"}) == fingerprint({"b": "水", "a": 1})


class Wheel(Settings):
    """A part."""

    spokes: int = 8
    """Spokes."""
    radius: float = 1.0
    """Metres."""


class Cart(Settings):
    """A whole with a part whose defaults are its own."""

    front: Wheel = Wheel(spokes=6, radius=0.5)
    """The front wheel."""
    load: int = 0
    """Kilograms."""


def test_settings_inside_settings_keep_the_rest_of_their_own_defaults():
    cart = Cart.make(front={"radius": 0.7})
    assert cart.front == Wheel(spokes=6, radius=0.7)
    assert cart.model_dump(exclude_unset=True) == {"front": {"radius": 0.7}}
    assert cart.replace(load=3).front == Wheel(spokes=6, radius=0.7)


def test_an_unknown_key_inside_settings_names_the_nearest_of_theirs():
    with pytest.raises(SettingError, match=r"unknown key 'front.radios'.*did you mean radius\?"):
        Cart.make(front={"radios": 1})


@pytest.mark.parametrize(
    ("minutes", "told"),
    [
        (-3, "minutes 的值不可用：发现 -3；允许 大于 0"),
        (601, "minutes 的值不可用：发现 601；允许 小于或等于 600"),
        ("long", "minutes 的值不可用：发现 'long'；允许 数字（所给文字不是数字）"),
    ],
)
def test_a_value_out_of_range_is_told_in_chinese(minutes, told):
    with pytest.raises(SettingError) as refused:
        Kneading.make(minutes=minutes)
    assert refused.value.text("zh") == told
