"""What counts as a Chinese character, for whoever asks: what is of a block that has them, and nothing else."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from noria.make.tokens.density import language
from noria.make.training.finetune.augment import delete
from noria.text.script import has_han, is_chinese, length, simplified

BLOCKS = ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFA6D), (0x20000, 0x2A6DF))
HAN = st.one_of(
    st.just("〇"), *(st.characters(min_codepoint=low, max_codepoint=high, categories=["Lo"]) for low, high in BLOCKS)
)


@given(st.text(HAN, min_size=2, max_size=8))
def test_every_block_is_chinese_to_everyone(text: str) -> None:
    assert has_han(text)
    assert is_chinese([text])
    assert length(text) == len(text)
    assert language(f"{text}字") == "zh"  # 〇 alone is a number to Unicode, and no letter
    assert len(delete(text, random.Random(0))) == len(text) - 1  # one character of several, for they are no word


@given(st.text(st.sampled_from("aZé9дあ한ا ，。-"), min_size=1))
def test_what_is_of_no_such_block_is_not(text: str) -> None:
    assert not has_han(text)
    assert not is_chinese([text])
    assert simplified(text) == text
