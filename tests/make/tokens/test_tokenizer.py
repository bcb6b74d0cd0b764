"""The tokenizer: any text goes in and comes out, cuts hold, and the same corpus gives the same tokenizer."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from noria.core.errors import FolderError, InputError, SettingError
from noria.core.folder import read_manifest
from noria.make.tokens.density import density, language, unknown_id
from noria.make.tokens.tokenizer import BEGIN, END, PAD, load_tokenizer, train_tokenizer

ENGLISH = ["The quick brown fox jumps over the lazy dog.", "Large models learn from text, and text grows on use."]


CODE = "def total(rows):\n    return sum(row['价格'] for row in rows)  # 合计 2026 年\n"


@pytest.fixture(scope="module", params=["bpe", "unigram"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, review_lines: list[str]) -> Path:
    texts = review_lines + [*ENGLISH, CODE] * 100
    return train_tokenizer(texts, 2_000, tmp_path_factory.mktemp("tokens") / "tokenizer", kind=request.param)


@given(st.text(max_size=60))
@example("<0x41>")
@example("两千〇二十六年 12345 ㈠ e\u0301 \U0002a6d6\r\n\n   x")
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_comes_back(trained_tokenizer: Callable, text: str):
    tokenizer = trained_tokenizer()
    ids = tokenizer.encode(text).ids
    assert tokenizer.decode(ids, skip_special_tokens=False) == unicodedata.normalize("NFC", text)


@pytest.fixture(scope="module")
def trained_tokenizer(trained: Path) -> Callable:
    tokenizer = load_tokenizer(trained)
    return lambda: tokenizer


def test_tokens_never_cross_a_cut(trained: Path):
    tokenizer = load_tokenizer(trained)
    for index in range(tokenizer.get_vocab_size()):
        piece = tokenizer.decode([index])
        if "\ufffd" not in piece:
            kinds = {"han" if "\u4e00" <= letter <= "\u9fff" else "latin" for letter in piece if letter.isalpha()}
            kinds |= {"digit"} if any(map(str.isdigit, piece)) else set()
            assert len(kinds) <= 1, piece
            assert sum(map(str.isdigit, piece)) <= 4
    tokens = [tokenizer.decode([index]) for index in tokenizer.encode("在20260101,我买了3本书!the 12 foxes").ids]
    assert not [token for token in tokens if len({letter.isdigit() for letter in token.strip()}) > 1]


def test_code_keeps_its_indentation_whole(trained: Path):
    tokenizer = load_tokenizer(trained)
    tokens = [tokenizer.decode([index]) for index in tokenizer.encode(CODE).ids]
    assert "".join(tokens) == CODE
    if read_manifest(trained).settings["kind"] == "bpe":
        assert "    " in [token.removeprefix("\n") for token in tokens]


def test_words_of_both_languages_are_learnt(trained: Path):
    tokenizer = load_tokenizer(trained)
    # The library takes its first pieces from what distinct runs share; this corpus has no foxes or foxtails.
    assert len(tokenizer.encode(" fox").ids) == 1 or read_manifest(trained).settings["kind"] == "unigram"
    assert len(tokenizer.encode("喜欢").ids) == 1
    assert 1_900 < tokenizer.get_vocab_size() <= 2_000


def test_one_corpus_gives_one_tokenizer(tmp_path: Path, review_lines: list[str]):
    files = [train_tokenizer(review_lines[:200], 800, tmp_path / name) / "tokenizer.json" for name in "ab"]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_special_tokens_have_their_ids_and_plain_transformers_knows_them(trained: Path):
    from transformers import AutoTokenizer

    tokenizer, plain = load_tokenizer(trained), AutoTokenizer.from_pretrained(trained)
    assert [tokenizer.token_to_id(name) for name in (PAD, BEGIN, END)] == [0, 1, 2]
    assert [plain.pad_token_id, plain.bos_token_id, plain.eos_token_id] == [0, 1, 2]
    assert plain("书很好 fox")["input_ids"] == tokenizer.encode("书很好 fox").ids


def test_the_facts_tell_density_on_texts_held_out(trained: Path):
    figures = {(one["name"], one["unit"]): one for one in read_manifest(trained).facts["figures"]}
    chinese, english = figures["zh", "bytes/token"], figures["en", "bytes/token"]
    assert sum(one["n"] for (_, unit), one in figures.items() if unit == "bytes/token") == (600 + 300) // 20
    assert chinese["source"] == "held-out texts"
    assert chinese["low"] < chinese["value"] < chinese["high"]
    assert english["value"] > (3 if read_manifest(trained).settings["kind"] == "bpe" else 1.5)
    assert figures["zh", "unknown"]["value"] == 0


def test_known_tokenizers_stand_beside(tmp_path: Path, review_lines: list[str], e5_full: Path):
    known = load_tokenizer(e5_full)
    folder = train_tokenizer(review_lines, 1_000, tmp_path / "t", beside={"e5": known})
    texts = [text for index, text in enumerate(review_lines) if index % 20 == 19]
    found = {(one["name"], one["unit"]): one for one in read_manifest(folder).facts["beside"]["e5"]}
    tokens = sum(len(known.encode(text, add_special_tokens=False).ids) for text in texts)
    assert found["zh", "characters/token"]["value"] == pytest.approx(sum(map(len, texts)) / tokens)
    assert known.encode("𪛖").ids[1:-1].count(unknown_id(known)) == 1


def test_density_by_hand(trained: Path):
    tokenizer = load_tokenizer(trained)
    tokens = sum(len(tokenizer.encode(text).ids) for text in ("十年", "好好学习"))
    figures = density(tokenizer, ["十年", "好好学习"], "a test")
    assert [(one.name, one.unit, one.value, one.n) for one in figures] == [
        ("zh", "characters/token", 6 / tokens, 2),
        ("zh", "bytes/token", 18 / tokens, 2),
        ("zh", "unknown", 0, tokens),
    ]


def test_language_by_script():
    assert [language(text) for text in ("大模型 LLM", "a large model 模", "Большая модель", "123", "")] == [
        "zh",
        "en",
        "other",
        "other",
        "other",
    ]


def test_bad_input_is_plain_errors(tmp_path: Path):
    with pytest.raises(SettingError, match="vocab_size is out of range: found 100"):
        train_tokenizer(["text"], 100, tmp_path / "t")
    with pytest.raises(InputError, match="no text"):
        train_tokenizer(["", "  \n"], 1_000, tmp_path / "t")
    with pytest.raises(SettingError, match=r"unknown kind of tokenizer: found 'unigran'.*did you mean unigram"):
        train_tokenizer(["text"], 1_000, tmp_path / "t", kind="unigran")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FolderError, match=r"holds no tokenizer\.json"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"version": ')
    with pytest.raises(FolderError, match="cannot be read"):
        load_tokenizer(tmp_path)
