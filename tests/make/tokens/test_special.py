"""Special tokens whatever they are called; masks and sentinels added; bytes as tokens; where words begin."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_models import encoder_tokenizer
from transformers import AutoTokenizer

from noria.core.errors import FolderError
from noria.make.tokens.special import byte_tokenizer, extend, special_tokens, word_starts
from noria.make.tokens.tokenizer import load_tokenizer


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    return byte_tokenizer(tmp_path / "bytes")


@pytest.mark.parametrize("text", ["大模型 is large", "naïve 🙂\n\n\ttabs", "ＡＢＣ"])
def test_bytes_hold_any_text(plain: Path, text: str) -> None:
    tokenizer = load_tokenizer(plain)
    ids = tokenizer.encode(text).ids
    assert len(ids) == len(text.encode())
    assert tokenizer.decode(ids) == text
    assert tokenizer.get_vocab_size() == 259


def test_a_mask_is_added_and_known_to_plain_transformers(plain: Path, tmp_path: Path) -> None:
    folder = extend(plain, tmp_path / "masked", mask=True)
    special, tokenizer = special_tokens(folder), AutoTokenizer.from_pretrained(folder)
    assert tokenizer.mask_token_id == special.mask == 259
    ids = tokenizer("好").input_ids
    assert ids[0] == special.begin
    assert ids[-1] == special.end
    assert tokenizer("好<|mask|>").input_ids[-2] == special.mask
    again = extend(folder, tmp_path / "again", mask=True)
    assert load_tokenizer(again).get_vocab_size() == 260, "what is there is not added twice"


def test_sentinels_are_added(plain: Path, tmp_path: Path) -> None:
    folder = extend(plain, tmp_path / "spans", sentinels=True)
    special = special_tokens(folder)
    assert special.sentinels == tuple(range(259, 359))
    assert AutoTokenizer.from_pretrained(folder)("a<extra_id_1>").input_ids[1:] == [260, special.end]


def test_other_names_are_found(tmp_path: Path) -> None:
    encoder_tokenizer(tmp_path)
    special = special_tokens(tmp_path)
    assert (special.pad, special.begin, special.end, special.mask) == (0, 1, 2, None)


def test_a_tokenizer_without_an_end_is_refused(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models

    Tokenizer(models.BPE()).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(FolderError, match="no begin and end tokens"):
        extend(tmp_path, tmp_path / "out", mask=True)


def test_words_of_chinese_and_english() -> None:
    text = "我们去北京大学 don't stop"
    starts = word_starts(text, [(place, place + 1) for place in range(len(text))])
    words, now = [], ""
    for letter, first in zip(text, starts, strict=True):
        if first and now:
            words.append(now)
            now = ""
        now += letter
    assert [*words, now] == ["我们", "去", "北京大学 ", "don't ", "stop"]


def test_a_token_may_begin_with_the_space_before_its_word() -> None:
    assert word_starts("the cat", [(0, 3), (3, 5), (5, 7)]) == [True, True, False]
