"""The tokenizer: any text goes in and comes out, cuts hold, and the same corpus gives the same tokenizer."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.build.tokens.tokenizer import BEGIN, END, PAD, density, language, load_tokenizer, train_tokenizer
from noria.core.errors import FolderError, InputError, SettingError
from noria.core.folder import read_manifest

ENGLISH = ["The quick brown fox jumps over the lazy dog.", "Large models learn from text, and text grows on use."]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, review_lines: list[str]) -> Path:
    return train_tokenizer(review_lines + ENGLISH * 100, 2_000, tmp_path_factory.mktemp("tokens") / "tokenizer")


@given(st.text(max_size=60))
@settings(max_examples=200, deadline=None)
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
    encoding = tokenizer.encode("在2026年,我买了3本书!the 12 foxes")
    pieces = [tokenizer.decode([index]) for index in encoding.ids]
    assert [piece for piece in pieces if piece.strip().isdigit()] == list("2026312")
    for index in range(tokenizer.get_vocab_size()):
        piece = tokenizer.decode([index])
        if "\ufffd" not in piece:
            kinds = {"han" if "\u4e00" <= letter <= "\u9fff" else "latin" for letter in piece if letter.isalpha()}
            assert len(kinds) <= 1, piece


def test_words_of_both_languages_are_learnt(trained: Path):
    tokenizer = load_tokenizer(trained)
    assert len(tokenizer.encode(" fox").ids) == 1
    assert len(tokenizer.encode("喜欢").ids) == 1
    assert tokenizer.get_vocab_size() == 2_000


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
    assert chinese["n"] + english["n"] == (600 + 200) // 20
    assert chinese["source"] == "held-out texts"
    assert chinese["low"] < chinese["value"] < chinese["high"]
    assert english["value"] > 3


def test_density_by_hand(trained: Path):
    tokenizer = load_tokenizer(trained)
    figures = density(tokenizer, ["1234", "56"], "a test")
    assert [(one.name, one.unit, one.value, one.n) for one in figures] == [
        ("other", "characters/token", 1.0, 2), ("other", "bytes/token", 1.0, 2)
    ]  # fmt: skip


def test_language_by_script():
    assert [language(text) for text in ("大模型 LLM", "a large model 模", "Большая модель", "123", "")] == [
        "zh", "en", "other", "other", "other"
    ]  # fmt: skip


def test_bad_input_is_told_plainly(tmp_path: Path):
    with pytest.raises(SettingError, match="vocab_size is out of range: found 100"):
        train_tokenizer(["text"], 100, tmp_path / "t")
    with pytest.raises(InputError, match="no text"):
        train_tokenizer(["", "  \n"], 1_000, tmp_path / "t")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FolderError, match=r"holds no tokenizer\.json"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"version": ')
    with pytest.raises(FolderError, match="cannot be read"):
        load_tokenizer(tmp_path)
