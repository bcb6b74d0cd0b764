"""Results show themselves in a terminal and in a notebook, and what came from a file is escaped there."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from noria.api.results import Analysis, Corpus, Judged, Model, html_table
from noria.core.figure import Figure

FIGURE = Figure("accuracy", 0.8927, n=1746, low=0.878, high=0.907, source="<b>held out</b>", baseline=0.8575)


def test_a_model_tells_its_figures_and_what_must_be_known_of_it():
    model = Model(
        Path("m"), "classify", ("a", "b"), 26_500_000, (FIGURE,), (), "the model wins", ("it never says <i>b</i>",)
    )
    assert repr(model).splitlines() == [
        "Model m: classify, 26.5 M parameters: the model wins",
        "  accuracy 0.893 [0.878, 0.907] n=1,746 (baseline 0.858)",
        "  BUT it never says <i>b</i>",
    ]
    shown = model._repr_html_()
    assert "0.893" in shown
    assert "1,746" in shown
    assert "it never says &lt;i&gt;b&lt;/i&gt;" in shown
    assert os.fspath(model) == "m"


def test_a_corpus_tells_what_became_of_its_documents():
    corpus = Corpus(Path("c"), 10, 8, {"train": 6, "valid": 1, "test": 1}, {"duplicate": 2}, {"phone": 1})
    assert repr(corpus).splitlines() == [
        "Corpus c: 8 of 10 documents kept; train 6, valid 1, test 1",
        "  left out, duplicate: 2",
        "  masked, phone: 1",
    ]


@given(st.text(), st.text())
def test_no_text_of_a_user_becomes_a_mark_of_the_page(name: str, value: str):
    for shown in (
        html_table([{name: value}]),
        Analysis(name, (Figure(name, 1.0, 3, note=value),), ({name: value},), (value,), {}, None)._repr_html_(),
        Judged(Path("m"), Path(value or "x"), (Figure(name, 1.0, 1, source=value),))._repr_html_(),
    ):
        inside = shown
        for mark in ("table", "thead", "tbody", "tr", "th", "td", "p", "b", "ul", "li"):
            inside = inside.replace(f"<{mark}>", "").replace(f"</{mark}>", "")
        assert "<" not in inside
        assert ">" not in inside


def test_what_is_missing_is_a_dash_and_a_long_table_shows_its_end():
    rows = tuple({"time": f"t{number}", "value": float("nan") if number % 2 else number} for number in range(30))
    shown = repr(Analysis("use", (), rows, (), {}, None))
    assert "t29" in shown
    assert "t0 " not in shown
    assert "–" in shown
