"""Duplicates are found exactly and nearly, alike in Chinese and English; clusters stay together."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.text import minhash
from noria.text.dedup import find_duplicates, near_pairs
from noria.text.minhash import key_of

CHINESE = "春天来了，江南的花都开了，我们在湖边走了一会儿，说起从前的事情，大家都笑了起来，后来下起小雨，便回家喝茶去了"
ENGLISH = (
    "Spring had come and every garden was in flower; we walked along the lake and talked of old times until it rained"
)


def test_exact_duplicates_differ_by_case_width_space_and_punctuation_only() -> None:
    found = find_duplicates(
        ["Hello, World", "ｈｅｌｌｏ　world!!", "hello worlds", "很好👍", "很好👎", "很好。", "很好"], near=0
    )
    assert found.reason == ["", "exact duplicate", "", "", "", "", "exact duplicate"]
    assert key_of("！！！") == "！！！"  # nothing but punctuation: itself


@pytest.mark.parametrize("text", [CHINESE, ENGLISH])
def test_near_duplicates_go_and_share_a_group(text: str) -> None:
    found = find_duplicates([text, "something else altogether, 完全不同的话", text + " 嗯ok"])
    assert found.reason == ["", "", "near duplicate"]
    assert found.group[0] == found.group[2] != found.group[1]


def test_labels_conflict_or_keep_both() -> None:
    texts = [CHINESE, CHINESE, CHINESE + "嗯", "另一句很长的话，和上面没有关系，也不重复"]
    assert find_duplicates(texts, labels=["a", "b", "a", "a"]).reason == ["conflicting labels"] * 2 + ["", ""]
    found = find_duplicates([CHINESE, CHINESE + "嗯"], labels=["a", "b"])
    assert found.reason == ["", ""]
    assert found.group[0] == found.group[1]


def test_short_texts_that_differ_in_one_character_both_stay() -> None:
    assert find_duplicates(["这本书好", "这本书不好", "not good", "so good"]).reason == [""] * 4


def test_near_zero_looks_for_exact_ones_only() -> None:
    assert find_duplicates([CHINESE, CHINESE + "嗯"], near=0).reason == ["", ""]


def _jaccard(left: str, right: str, width: int) -> float:
    sets = [{text[i : i + width] for i in range(max(1, len(text) - width + 1))} for text in (left, right)]
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def _edited(random_: random.Random, text: str, edits: int) -> str:
    characters = list(text)
    for _ in range(edits):
        characters[random_.randrange(len(characters))] = random_.choice("甲乙丙丁戊己庚辛xyz")
    return "".join(characters)


def test_pairs_match_the_textbook_jaccard_with_full_precision_and_high_recall() -> None:
    random_ = random.Random(5)
    alphabet = [chr(0x4E00 + random_.randrange(3000)) for _ in range(400)]
    seeds = ["".join(random_.choices(alphabet, k=random_.randrange(20, 120))) for _ in range(60)]
    texts = list(dict.fromkeys(_edited(random_, text, edits) for text in seeds for edits in range(6)))
    true = {
        (i, j) for i in range(len(texts)) for j in range(i + 1, len(texts)) if _jaccard(texts[i], texts[j], 3) >= 0.7
    }
    found = {(i, j) for i, j in near_pairs(texts, 0.7)[0].tolist()}
    assert len(true) > 50
    assert found <= true
    assert len(found) >= 0.97 * len(true)


def test_vectorised_jaccard_equals_the_textbook_one() -> None:
    texts = [ENGLISH, ENGLISH[:60], CHINESE, "ab", "ab", "a"]
    pairs = np.array([(i, j) for i in range(6) for j in range(i + 1, 6)])
    wanted = [_jaccard(texts[i].ljust(4, "\0"), texts[j].ljust(4, "\0"), 4) for i, j in pairs.tolist()]
    np.testing.assert_allclose(minhash.jaccard(texts, 4, pairs), wanted)


def test_bands_meet_a_pair_at_the_threshold_almost_surely() -> None:
    for threshold in (0.5, 0.6, 0.7, 0.8, 0.9):
        bands, rows = minhash.bands_for(threshold)
        assert bands * rows <= minhash.MINIMA
        assert 1 - (1 - threshold**rows) ** bands >= 0.99


def test_chunks_do_not_change_the_signatures(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [CHINESE[start:] for start in range(20)]
    whole = minhash.signatures(texts, 3, 0, lambda *_: None)
    monkeypatch.setattr(minhash, "_CHUNK", 50)
    np.testing.assert_array_equal(minhash.signatures(texts, 3, 0, lambda *_: None), whole)


def test_boilerplate_beyond_one_pass_is_thinned_out() -> None:
    texts = [f"{CHINESE}{ENGLISH}{CHINESE[::-1]}第{number}期" for number in range(300)]
    found = find_duplicates(texts)
    assert found.reason.count("near duplicate") == 299
    assert len(set(found.group)) == 1


WORDS = st.sampled_from(
    ["春天来了花都开了", "我们在湖边走了一会儿", "spring had come ", "好", "不", "，", " old times", "江南", "👍"]
)


@given(st.lists(st.lists(WORDS, min_size=1, max_size=8).map("".join), max_size=14), st.integers(0, 3))
@settings(max_examples=150, deadline=None)
def test_what_is_left_has_no_duplicates(texts: list[str], seed: int) -> None:
    found = find_duplicates(texts, seed=seed)
    left = [text for text, reason in zip(texts, found.reason, strict=True) if not reason]
    assert find_duplicates(left, seed=seed).reason == [""] * len(left)


@given(st.permutations(list(range(8))))
@settings(max_examples=30, deadline=None)
def test_groups_hang_on_content_not_on_order(order: list[int]) -> None:
    texts = [
        CHINESE,
        CHINESE + "嗯",
        ENGLISH,
        ENGLISH + "!!",
        "甲乙丙丁戊己庚辛",
        "hello world",
        CHINESE,
        ENGLISH + " ok",
    ]
    straight = find_duplicates(texts).group
    shuffled = find_duplicates([texts[index] for index in order]).group
    assert [shuffled[order.index(index)] for index in range(8)] == straight
