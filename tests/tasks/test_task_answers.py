"""What the tasks answer, on cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import spans, texts
from tokenizers import Tokenizer, models, pre_tokenizers

from noria.core.errors import InputError, RowError
from noria.tasks.complete import Sampling, _likeliest, draw, next_token
from noria.tasks.measure import label_measures, span_measures
from noria.tasks.tag import viterbi
from noria.tasks.task import Features, softmax, task_for

CHARACTERS = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
CHARACTERS.pre_tokenizer = pre_tokenizers.Split("", "isolated")


def said(task, features: Features, target: list[int]) -> np.ndarray:
    """Return logits that say exactly a target."""
    values = np.full((len(target), len(task.outputs)), -20.0)
    for place, code in enumerate(target):
        values[place, max(code, 0)] = 20.0
    return values


def test_classify_scores_are_calibrated_probabilities():
    task = task_for("classify", ["no", "yes"], temperature=2.0)
    answer = task.answer(Features([], [], {"text": ""}), np.array([0.0, 2 * np.log(3)]))
    assert answer["label"] == "yes"
    assert answer["score"] == pytest.approx(0.75)
    assert answer["scores"] == pytest.approx({"no": 0.25, "yes": 0.75})


@settings(max_examples=150, deadline=None)
@given(text=texts, data=st.data())
def test_spans_survive_the_way_to_codes_and_back(text: str, data: st.DataObject):
    task = task_for("tag", ["LOC", "ORG", "PER"])
    row = task.check({"text": text, "spans": data.draw(spans(text, task.labels))})
    features = task.features(CHARACTERS, row, 10_000)
    answer = task.answer(features, said(task, features, task.target(row, features)))
    found = [{key: span[key] for key in ("start", "end", "label")} for span in answer["spans"]]
    assert found == row["spans"]
    assert all(text[span["start"] : span["end"]] == span["text"] for span in answer["spans"])
    assert task.measures([row], [answer])["span_f1"] == (1.0 if row["spans"] else 0.0)


@settings(max_examples=100, deadline=None)
@given(text=texts, data=st.data())
def test_any_logits_give_spans_that_are_allowed(text: str, data: st.DataObject):
    task = task_for("tag", ["LOC", "PER"])
    features = task.features(CHARACTERS, text, 10_000)
    random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    answer = task.answer(features, random.normal(0, 5, (len(features.ids), 5)))
    assert task.check({"text": text, "spans": answer["spans"]})["spans"] is not None
    assert all(0 < span["score"] <= 1 for span in answer["spans"])


def test_words_with_tags_become_text_with_spans():
    task = task_for("tag")
    english = task.check({"tokens": ["Anna", "Lee", "in", "Rome"], "tags": ["B-PER", "I-PER", "O", "I-LOC"]})
    assert english == {
        "text": "Anna Lee in Rome",
        "spans": [{"start": 0, "end": 8, "label": "PER"}, {"start": 12, "end": 16, "label": "LOC"}],
    }
    chinese = task.check(
        {"tokens": ["王", "明", "在", "北京", "NBA"], "tags": ["B-PER", "I-PER", "O", "B-LOC", "B-LOC"]}
    )
    assert chinese["text"] == "王明在北京NBA"
    assert [span["label"] for span in chinese["spans"]] == ["PER", "LOC", "LOC"]


@pytest.mark.parametrize(
    "row",
    [
        {"text": "ab", "spans": [{"start": 0, "end": 3, "label": "PER"}]},
        {"text": "ab", "spans": [{"start": 1, "end": 1, "label": "PER"}]},
        {"text": "ab", "spans": [{"start": True, "end": 2, "label": "PER"}]},
        {"text": "ab", "spans": [{"start": 0, "end": 2, "label": "XYZ"}]},
        {"text": "ab", "spans": [{"start": 0, "end": 2, "label": "PER"}, {"start": 1, "end": 2, "label": "PER"}]},
        {"text": "ab", "spans": [{"start": 0, "end": 1}]},
        {"tokens": ["a"], "tags": ["B-PER", "O"]},
        {"tokens": ["a"], "tags": ["X-PER"]},
        {"tokens": [], "tags": []},
    ],
)
def test_bad_spans_are_refused(row: dict):
    with pytest.raises(RowError):
        task_for("tag", ["PER"]).check(row)


def test_viterbi_finds_the_best_of_all_paths():
    random = np.random.default_rng(0)
    task = task_for("tag", ["LOC", "PER"])
    steps = task.steps
    for _ in range(20):
        chances = random.normal(0, 2, (4, 5))
        paths = np.stack(np.meshgrid(*[range(5)] * 4, indexing="ij"), -1).reshape(-1, 4)
        scores = chances[np.arange(4), paths].sum(1) + steps[-1, paths[:, 0]]
        scores += sum(steps[paths[:, place], paths[:, place + 1]] for place in range(3))
        assert viterbi(chances, steps) == paths[scores.argmax()].tolist()


def test_a_penalty_on_outside_finds_more_spans_and_leaves_their_scores():
    features = Features([5, 6], [(0, 1), (1, 2)], {"text": "王明"})
    logits = np.log([[0.6, 0.35, 0.05], [0.55, 0.05, 0.4]])
    assert task_for("tag", ["PER"]).answer(features, logits) == {"spans": []}
    (span,) = task_for("tag", ["PER"], outside_penalty=1.0).answer(features, logits)["spans"]
    assert (span["start"], span["end"]) == (0, 2)
    assert span["score"] == pytest.approx((0.35 * 0.4) ** 0.5)


def test_embeddings_have_length_one_and_pool_as_told():
    states = np.array([[3.0, 0.0], [0.0, 4.0]])
    features = Features([0, 1], [(0, 0), (0, 1)], {"text": "x"})
    assert task_for("embed", pooling="mean").answer(features, states)["embedding"] == pytest.approx([0.6, 0.8])
    assert task_for("embed", pooling="cls").answer(features, states)["embedding"] == pytest.approx([1.0, 0.0])
    vectors = [[1.0, 0.0], [0.0, 1.0]]
    pairs = [{"anchor": {"embedding": v}, "positive": {"embedding": w}} for v, w in zip(vectors, vectors, strict=True)]
    rows = [{"anchor": "a", "positive": "x"}, {"anchor": "b", "positive": "y"}]
    assert task_for("embed").measures(rows, pairs) == {"recall_at_1": 1.0, "mean_reciprocal_rank": 1.0}


def test_a_positive_that_rows_share_is_no_rival_of_itself():
    far, near = [1.0, 0.0], [0.9999999, 1e-7]  # one text in two batches, up to rounding
    said = [{"anchor": {"embedding": [0.8, 0.6]}, "positive": {"embedding": vector}} for vector in (far, near, far)]
    rows = [{"anchor": name, "positive": "打开设置"} for name in "abc"]
    assert task_for("embed").measures(rows, said) == {"recall_at_1": 1.0, "mean_reciprocal_rank": 1.0}
    rows[2]["positive"] = "other"
    assert task_for("embed").measures(rows, said)["recall_at_1"] == 1.0  # it ties, and none is nearer
    said[2]["positive"] = {"embedding": [0.8, 0.6]}
    assert task_for("embed").measures(rows, said) == {"recall_at_1": 1 / 3, "mean_reciprocal_rank": 2 / 3}


def test_bits_per_byte_of_even_odds():
    task = task_for("complete")
    features = Features([0, 1, 2], [(0, 0), (0, 1), (1, 2)], {"text": "中文"})
    answer = task.answer(features, np.zeros((3, 16)))
    assert answer == {"bits": pytest.approx(8.0), "bytes": 6}
    assert task.measures([], [answer]) == {"bits_per_byte": pytest.approx(8 / 6)}


def test_a_long_prompt_keeps_its_end():
    task = task_for("complete")
    assert task.features(CHARACTERS, "abcdef", 3).offsets == [(3, 4), (4, 5), (5, 6)]
    assert task_for("classify").features(CHARACTERS, "abcdef", 3).offsets == [(0, 1), (1, 2), (2, 3)]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1000), top_k=st.integers(0, 5), top_p=st.floats(0.0, 1.0), temperature=st.floats(0.0, 2.0))
def test_drawn_tokens_obey_the_sampling(seed: int, top_k: int, top_p: float, temperature: float):
    random = np.random.default_rng(seed)
    values = random.normal(0, 3, 20)
    drawn = next_token(values, Sampling(temperature=temperature, top_k=top_k, top_p=top_p), random)
    rank = int((values > values[drawn]).sum())
    if temperature < 1e-3 or top_k == 1 or top_p == 0:
        assert rank == 0
    if top_k:
        assert rank < top_k
    if temperature >= 1e-3:
        likelier = softmax(values, temperature)[values > values[drawn]].sum()
        assert likelier <= top_p + 1e-9


def test_sampling_follows_the_probabilities_and_the_seed():
    values = np.log(np.array([0.7, 0.2, 0.1]))
    sampling = Sampling(temperature=1.0, top_p=1.0)
    drawn = [next_token(values, sampling, random) for random in [np.random.default_rng(3)] for _ in range(4000)]
    assert np.bincount(drawn) / 4000 == pytest.approx([0.7, 0.2, 0.1], abs=0.03)
    again = [next_token(values, sampling, random) for random in [np.random.default_rng(3)] for _ in range(4000)]
    assert drawn == again
    assert next_token(values, Sampling(temperature=0, repetition_penalty=2.0), np.random.default_rng(0), [1, 2]) == 0


@pytest.mark.parametrize("bad", [{"temperature": -1}, {"temperature": 2.1}, {"top_p": 1.1}, {"max_tokens": 0}])
def test_sampling_out_of_range_is_refused(bad: dict):
    with pytest.raises(InputError, match=next(iter(bad))):
        Sampling(**bad)


def test_macro_f1_and_span_scores_by_hand():
    assert label_measures(["a", "a", "b"], ["a", "b", "b"])[1].value == pytest.approx(2 / 3)
    one = {"start": 0, "end": 2, "label": "PER"}
    longer, other = {**one, "end": 3}, {**one, "label": "LOC"}
    found = span_measures([[one], [one], [one], []], [[one], [longer], [other], [one]])
    # LOC is said once and never true: 0; PER: one hit of three said, three true.
    assert [measure.value for measure in found] == pytest.approx([2 / 7, 1 / 4, 1 / 3, (1 / 3 + 0) / 2])


def test_a_drawn_token_comes_with_what_was_asked_of_it():
    logits = np.log(np.array([0.5, 0.3, 0.15, 0.05]))
    random = np.random.default_rng(0)
    drawn = draw(logits, Sampling(temperature=0, logprobs=2), random, [], [])
    assert drawn.token == 0
    assert drawn.logprob == pytest.approx(np.log(0.5))
    assert [token for token, _ in drawn.top] == [0, 1]
    assert draw(logits, Sampling(temperature=0), random, [], []).top == ()
    # log 0.5 - log 0.3 = 0.51: a token said once loses its lead by a penalty above that, said in the prompt it does not
    assert draw(logits, Sampling(temperature=0, presence_penalty=0.6), random, [0], []).token == 0
    assert draw(logits, Sampling(temperature=0, presence_penalty=0.6), random, [], [0]).token == 1
    assert draw(logits, Sampling(temperature=0, frequency_penalty=0.3), random, [], [0]).token == 0
    assert draw(logits, Sampling(temperature=0, frequency_penalty=0.3), random, [], [0, 0]).token == 1


def test_what_is_kept_of_a_large_vocabulary_is_what_sorting_all_of_it_keeps():
    random = np.random.default_rng(5)
    for spread, top_p, top_k in ((0.1, 0.9, 0), (3.0, 0.9, 0), (1.0, 0.5, 0), (1.0, 0.9, 700), (2.0, 1.0, 5)):
        chances = softmax(random.normal(0, spread, 5_000))
        order = np.argsort(-chances, kind="stable")[: top_k or None]
        sums = np.cumsum(chances[order])
        wanted = order[: int(np.searchsorted(sums, top_p * sums[-1])) + 1]
        found = _likeliest(chances, Sampling(top_p=top_p, top_k=top_k))
        assert set(found.tolist()) == set(wanted.tolist())
