"""The monitor's benchmarks of whom and what: F1 by hand, and what the constructed sentences hold."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.f1 import compared, counted, f1
from benchmarks.monitor_aspects import KINDS, WORDS, by_words, counts
from benchmarks.monitor_entities import copied_labels, entity_counts, majority
from benchmarks.monitor_trained import Course
from benchmarks.two_companies import COMPANIES, _lines, sentences, whole_reviews
from noria.text.minhash import key_of


def test_f1_is_what_one_computes_by_hand() -> None:
    """Two labels in three decisions of two texts: a is found once of twice, b twice of once."""
    found = counted([7, 7, 9], [{"a"}, {"b"}, {"a"}], [{"a"}, {"b"}, {"b"}], ("a", "b"))
    assert found.tolist() == [[[1, 0, 0], [1, 0, 0]], [[0, 0, 1], [0, 1, 0]]]
    assert float(f1(found.sum(axis=0), "macro")) == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert float(f1(found.sum(axis=0), "micro")) == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    line, wanted, more = compared("m", found, {"p": found}, wanted=0.5, more=("p", 0.1), mean="macro")
    assert (line.ratio, line.low, line.high, line.n) == (1.0, 1.0, 1.0, 2)
    assert wanted.ratio == pytest.approx(line.noria / 0.5)
    assert more.ratio == pytest.approx(line.noria / (line.noria + 0.1))
    assert wanted.low <= wanted.ratio <= wanted.high


def test_constructed_sentences_share_no_company_and_hold_their_entities() -> None:
    assert not set(COMPANIES["train"]) & set(COMPANIES["test"])
    for side in ("train", "test"):
        rows = sentences(60, side)
        assert rows == sentences(60, side)
        for row in rows:
            names = {one["text"] for one in row["entities"]}
            assert len(names) == 2
            assert names <= set(COMPANIES[side])
            assert all(row["text"][one["start"] : one["end"]] == one["text"] for one in row["entities"])
        differ = sum(len({one["label"] for one in row["entities"]}) == 2 for row in rows)
        assert 15 < differ < 45


def test_what_is_learned_first_of_whole_reviews_is_in_no_test() -> None:
    rows = whole_reviews("train")
    texts = {row["text"] for row in rows}
    assert len(texts) == len(rows) > 5_000
    tested = {key_of(line) for lines in _lines("test").values() for line in lines}
    assert not tested & {key_of(text) for text in texts}


def test_a_copied_label_is_one_a_text() -> None:
    train, test = sentences(200, "train"), sentences(40, "test")
    assert all(len(set(labels)) == 1 for labels in copied_labels(train, test))
    everything = entity_counts(test, [[one["label"] for one in row["entities"]] for row in test], ("negative",))
    assert float(f1(everything.sum(axis=0), "macro")) == 1.0
    assert majority({"entities": [{"label": "b"}, {"label": "a"}, {"label": "a"}]}) == "a"


def test_words_find_aspects_and_say_the_usual_of_them() -> None:
    train = [{"text": "价格不贵", "aspects": {"price_level": "positive"}}] * 3
    test = [{"text": "太贵了，停车方便", "aspects": {"price_level": "negative"}}]
    (found,) = by_words(train, test)
    assert set(found) == {"price_level", "service_parking_convenience"}
    assert set(found.values()) <= set(KINDS)
    alone = counts(test, [found], together=False)
    assert alone.shape == (1, len(WORDS), 3)
    assert np.array_equal(alone.sum(axis=(0, 1)), [1, 1, 0])


def test_where_it_must_go_fast_steps_are_counted_for_minutes_can_be_too_few_and_the_line_says_so() -> None:
    rows = [{"text": str(number)} for number in range(1_000)]
    whole, quick = Course(10.0), Course(None)
    assert whole.train(rows) == whole.test(rows) == rows
    assert (len(quick.train(rows)), len(quick.test(rows)), len(quick.train(rows[:50]))) == (300, 100, 50)
    assert int(quick.test(rows)[-1]["text"]) >= 990  # over all rows, not the first
    assert whole.settings({"evaluations": 4}) == {"evaluations": 4, "minutes": 10.0}
    assert quick.settings({"evaluations": 4}).keys() == {"evaluations", "steps", "tokens_per_batch"}
    assert whole.text(rows) == "trained for 10 min"
    assert whole.part(0.4).text(rows) == "trained for 4 min"
    assert quick.part(0.4) == quick
    assert "steps on 300 texts" in quick.text(quick.train(rows))
