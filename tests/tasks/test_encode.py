"""Two texts, windows and conversations as ids: nothing of a text is lost, and every token knows its place."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import texts
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from noria.tasks.encode import encode_pair, encode_question, encode_windows, end_of

NAMES = {"?": 0, "[CLS]": 1, "[SEP]": 2}


def characters(*, pair: bool = True, specials: bool = True) -> Tokenizer:
    """Return a tokenizer with a token a character, with a template of its own for two texts or for one only."""
    made = Tokenizer(models.WordLevel(NAMES, unk_token="?"))
    made.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    if specials:
        two = {"pair": "[CLS] $A [SEP] $B:1 [SEP]:1"} if pair else {}
        made.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)], **two
        )
    return made


def test_two_texts_are_joined_as_the_tokenizer_joins_them():
    features = encode_pair(characters(), "ab", "中文x", 20)
    assert features.ids == [1, 0, 0, 2, 0, 0, 0, 2]
    assert features.types == [0, 0, 0, 0, 1, 1, 1, 1]
    assert features.offsets == [(0, 0), (0, 1), (1, 2), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0)]
    assert (features.meta["text"], features.meta["pair"], features.meta["truncated"]) == ("ab", "中文x", False)


def test_a_tokenizer_that_joins_no_texts_closes_each():
    features = encode_pair(characters(pair=False), "ab", "中文x", 20)
    assert features.ids == [1, 0, 0, 2, 0, 0, 0, 2]
    assert features.types == []
    assert encode_pair(characters(specials=False), "ab", "c", 20).ids == [0, 0, 0]


@pytest.mark.parametrize(
    ("first", "second", "wanted"),
    [(3, 3, (3, 3)), (10, 2, (5, 2)), (2, 10, (2, 5)), (10, 10, (3, 4)), (4, 3, (4, 3)), (9, 0, (7, 0))],
)
def test_the_longer_of_two_texts_gives_way(first: int, second: int, wanted: tuple[int, int]):
    features = encode_pair(characters(), "a" * first, "b" * second, 10)
    assert len(features.ids) <= 10
    assert (features.types.count(0) - 2, features.types.count(1) - 1) == wanted
    assert features.meta["truncated"] == (wanted != (first, second))


@settings(max_examples=60, deadline=None)
@given(
    text=texts.filter(lambda text: len(text) > 3), max_length=st.integers(5, 20), prefix=st.sampled_from(["", "q: "])
)
def test_windows_hold_every_character_and_own_each_once(text: str, max_length: int, prefix: str):
    windows = encode_windows(characters(), text, max_length + len(prefix), prefix=prefix)
    covered = set()
    for window in windows:
        assert len(window.ids) <= max_length + len(prefix)
        for start, end in window.offsets:
            covered.update(range(start, end))
    assert covered == set(range(len(text)))
    owned = [place for window in windows for place in range(*window.meta["owns"])]
    assert owned == list(range(len(text)))
    for window in windows:  # what a window owns it also sees
        seen = {place for start, end in window.offsets for place in range(start, end)}
        assert set(range(*window.meta["owns"])) <= seen


def test_a_question_stands_before_every_part_of_its_context():
    context = "".join(chr(0x4E00 + number) for number in range(40))
    windows = encode_question(characters(), "who?", context, 20, overlap=0.25)
    seen: set[int] = set()
    for window in windows:
        assert window.ids[:6] == [1, 0, 0, 0, 0, 2]
        assert len(window.ids) <= 20
        own = [place for place, mine in zip(window.offsets, window.meta["context"], strict=True) if mine]
        assert all(end == start + 1 for start, end in own)
        seen.update(start for start, _ in own)
    assert seen == set(range(40))
    assert len(windows) == 4


def test_a_long_question_leaves_room_for_its_context():
    window = encode_question(characters(), "q" * 500, "中文", 30)[0]
    assert len(window.ids) <= 30
    assert sum(window.meta["context"]) == 2


def test_the_end_of_a_text_is_the_tokenizers_own_or_a_known_name():
    assert end_of(characters()) == 2
    named = Tokenizer(models.WordLevel({"?": 0, "</s>": 1, "<|end|>": 2}, unk_token="?"))
    assert end_of(named) == 2
    assert end_of(Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))) is None
