"""`import noria`: loaded lazily, explained by `help`, seen by editors with every setting, and clear about a wrong argument."""

from __future__ import annotations

import inspect
import pydoc
import subprocess
import sys
from pathlib import Path

import pytest

import noria
from noria.core.errors import NoriaError, SettingError
from noria.core.settings import Settings
from noria.make.corpus.settings import CleanSettings
from tests.contracts import stub

HEAVY = ("torch", "transformers", "fastapi", "duckdb", "openvino", "onnxruntime", "pydantic", "cyclopts")
WITH_SETTINGS = [name for name in noria.__all__ if getattr(getattr(noria, name), "settings", None)]


def python(code: str) -> str:
    """Run code in a process of its own and return what it prints."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_importing_it_loads_nothing_heavy():
    assert python(f"import sys, noria; print([name for name in {HEAVY} if name in sys.modules])") == "[]\n"


def test_asking_for_its_functions_loads_no_library_of_models_or_servers():
    code = "import sys, noria; [getattr(noria, name) for name in noria.__all__]; "
    heavy = ("torch", "transformers", "fastapi", "duckdb", "openvino", "uvicorn", "nicegui")
    assert python(f"{code}print([name for name in {heavy} if name in sys.modules])") == "[]\n"


def test_every_name_is_there_and_nothing_else():
    assert set(noria.__all__) <= set(dir(noria))
    with pytest.raises(AttributeError, match="no attribute 'clena'"):
        noria.clena  # noqa: B018


def test_no_function_has_the_name_of_a_package():
    """The import of such a package would put it in the function's place."""
    root = Path(noria.__file__).parent
    assert not {name for name in noria.__all__ if (root / name).is_dir() or (root / f"{name}.py").is_file()}


def test_help_shows_each_function_and_its_settings():
    text = pydoc.plain(pydoc.render_doc(noria.clean))
    assert "out: str | pathlib.Path" in text
    assert "near: Jaccard similarity of character shingles" in text
    assert "noria.finetune(" in noria.__doc__
    for name in noria.__all__:
        said = inspect.getdoc(getattr(noria, name))
        assert said, name
        assert said.splitlines()[0].endswith((".", ":")), name


@pytest.mark.parametrize("name", WITH_SETTINGS)
def test_every_field_of_the_settings_is_a_keyword_with_its_default(name: str):
    function = getattr(noria, name)
    signature = inspect.signature(function)
    for kind in function.settings.values():
        for field, told in kind.model_fields.items():
            parameter = signature.parameters[field]
            assert parameter.kind is parameter.KEYWORD_ONLY
            assert parameter.default == told.get_default(call_default_factory=True)
            assert f"    {field}: " in function.__doc__
    names = list(signature.parameters)
    assert len(names) == len(set(names))
    assert not {name for kind in function.settings.values() for name in kind.model_fields} & {
        "progress",
        "settings",
        "out",
    }


def test_what_editors_see_is_what_there_is():
    assert stub.STUB.read_text(encoding="utf-8") == stub.text(), "run: python tests/contracts/stub.py"


def test_the_wheel_says_that_it_is_typed():
    assert (Path(noria.__file__).parent / "py.typed").is_file()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"out": "c", "nera": 0.5}, "clean() has no argument 'nera'"),
        ({"out": "c", "nera": 0.5}, "did you mean near?"),
        ({"out": "c", "near": 7}, "near is not allowed: found 7"),
        ({"out": "c", "unit": "word"}, "unit is not allowed: found 'word'"),
        ({}, "clean() needs out"),
        ({"out": "c", "settings": 3}, "settings cannot be read: found 'int'"),
        ({"out": "c", "settings": Settings()}, "settings of clean are of another kind: found 'Settings'"),
        ({"out": "c", "settings": {"nera": 1}}, "unknown key 'nera' for clean"),
        ({"out": "c", "settings": "no.toml"}, "settings file not found"),
        ({"out": "c", "valid_share": 0.6, "test_share": 0.5}, "leave nothing for training"),
    ],
)
def test_a_bad_argument_is_named_with_what_is_allowed(arguments: dict, says: str):
    with pytest.raises(NoriaError) as caught:
        noria.clean("texts.txt", **arguments)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_keywords_stand_above_settings_and_these_above_a_file(tmp_path: Path):
    file = tmp_path / "n.toml"
    file.write_text('[clean]\nsources = ["x"]\nnear = 0.5\nvalid_share = 0.2\nunit = "line"\n', encoding="utf-8")
    source = tmp_path / "t.txt"
    source.write_text(
        "".join(f"这是第{number}篇很不一样的文章，写的是{number * 37}号房间。\n" for number in range(40)),
        encoding="utf-8",
    )
    corpus = noria.clean(
        source, out=tmp_path / "c", settings=[file, CleanSettings(valid_share=0.3)], test_share=0.25, progress=False
    )
    told = corpus.manifest.settings
    assert (told["near"], told["valid_share"], told["test_share"], told["unit"]) == (0.5, 0.3, 0.25, "line")


def test_nothing_to_clean_is_told():
    with pytest.raises(NoriaError, match="nothing to clean"):
        noria.clean(out="c")


def test_errors_are_of_one_tree():
    with pytest.raises(SettingError):
        noria.finetune("clasify", base="b", train="t", out="o")
