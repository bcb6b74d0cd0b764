"""Scores of written text: against sacreBLEU, against slow definitions, and on cases worked out by hand."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import texts

from noria.tasks.overlap import (
    answer_measures,
    chinese_exact,
    chinese_f1,
    common_subsequence,
    english_exact,
    english_f1,
    rouge_l,
    written_measures,
)
from noria.text.script import is_chinese

PIECES = st.lists(st.sampled_from(["the cat", "sat", "on", "mat.", "大模型", "很", "好。", "3.5", "a"]), max_size=8)
ENGLISH, CHINESE = PIECES.map(" ".join), PIECES.map("".join)


@pytest.mark.parametrize("chinese", [False, True])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_bleu_and_chrf_are_those_of_sacrebleu(chinese: bool, data: st.DataObject):
    from sacrebleu.metrics import BLEU, CHRF

    kind = CHINESE if chinese else ENGLISH
    pairs = data.draw(st.lists(st.tuples(kind, kind), min_size=1, max_size=5))
    truth, said = map(list, zip(*pairs, strict=True))
    bleu, chrf = written_measures(truth, said, chinese=chinese)
    assert bleu.value == pytest.approx(BLEU(tokenize="zh" if chinese else "13a").corpus_score(said, [truth]).score)
    assert chrf.value == pytest.approx(CHRF().corpus_score(said, [truth]).score)
    assert len(bleu.counts) == len(chrf.counts) == len(pairs)


def test_answers_are_compared_as_squad_does():
    assert english_exact("The Denver Broncos", "denver  broncos!") == 1.0
    assert english_exact("Denver", "Denver Broncos") == 0.0
    assert english_f1("the Denver Broncos", "Broncos of Denver") == pytest.approx(2 * 2 / 5)
    assert english_f1("", "") == 1.0
    assert english_f1("", "Denver") == english_f1("an", "Denver") == 0.0


def test_answers_are_compared_as_cmrc_does():
    assert chinese_exact("光荣和ω-force", "光荣和Ω－FORCE。") == 1.0
    assert chinese_exact("光荣", "光荣和") == 0.0
    # The longest run in common is 长江大桥, 4 characters, though 武汉 is shared too.
    assert chinese_f1("武汉的长江大桥", "武汉市长江大桥") == pytest.approx(2 * 4 / 14)
    assert chinese_f1("1998年", "在1998年") == pytest.approx(2 * 2 / 5)
    assert chinese_f1("《三国》", "三国") == 1.0
    assert chinese_f1("北京", "上海") == 0.0


def test_the_nearest_true_answer_counts_and_silence_is_right_where_there_is_none():
    found = answer_measures([["Rome", "Rome in Italy"], [], ["Bonn"]], ["Rome in Italy", "", ""], chinese=False)
    assert [one.name for one in found] == ["exact match", "answer F1"]
    assert [one.value for one in found] == pytest.approx([2 / 3, 2 / 3])


@settings(max_examples=80, deadline=None)
@given(left=st.text("abc中", max_size=12), right=st.text("abc中", max_size=12))
def test_the_common_subsequence_is_the_longest(left: str, right: str):
    @cache
    def slow(i: int, j: int) -> int:
        if i == len(left) or j == len(right):
            return 0
        if left[i] == right[j]:
            return 1 + slow(i + 1, j + 1)
        return max(slow(i + 1, j), slow(i, j + 1))

    assert common_subsequence(left, right) == slow(0, 0)


def test_rouge_l_by_words_and_by_characters():
    # Lin 2004, section 3: "police killed the gunman" and "police kill the gunman" share three words of four in order.
    assert rouge_l("police killed the gunman", "police kill the gunman", chinese=False) == pytest.approx(3 / 4)
    assert rouge_l("police killed the gunman", "the gunman kill police", chinese=False) == pytest.approx(2 / 4)
    assert rouge_l("市场份额 增长", "份额在增长", chinese=True) == pytest.approx(2 * 4 / 11)


@settings(max_examples=60, deadline=None)
@given(text=texts)
def test_a_text_is_like_itself(text: str):
    for chinese in (False, True):
        for measure in answer_measures([[text]], [text], chinese=chinese):
            assert measure.value == 1.0
        assert rouge_l(text, text, chinese=chinese) == 1.0
    assert is_chinese(["今天 the weather 很好"])
    assert not is_chinese(["the weather"])
