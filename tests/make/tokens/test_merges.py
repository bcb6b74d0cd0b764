"""Runs and merges: cut as the library cuts, counted as a dictionary counts, merged as the definition says."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.make.tokens.merges import learn_merges
from noria.make.tokens.runs import CHUNK, RUNS, Runs, Seen, count_runs, cut

LETTERS = "  \n\t中文字囍〇々12３ab é\u0301,。!ー한の\r\x1c\u3000"


@given(st.text(alphabet=st.sampled_from(LETTERS), max_size=80) | st.text(max_size=40))
@settings(max_examples=300, deadline=None)
def test_cuts_are_those_of_the_regular_expression(text: str):
    from tokenizers import Regex, pre_tokenizers

    pieces = pre_tokenizers.Split(Regex(RUNS), "isolated").pre_tokenize_str(text)
    # Code points that Unicode has named since one of the two tables was made may differ.
    if all(ord(letter) < 0x10000 for letter in text) and text.isprintable():
        assert cut(text) == [piece for piece, _ in pieces]


def test_long_runs_are_cut():
    assert list(map(len, cut("字" * 70 + "1" * 9 + "x" * 40 + " " * 20 + "." * 9 + "\n"))) == [
        32,
        32,
        6,
        4,
        4,
        1,
        32,
        8,
        16,
        4,
        8,
        2,
    ]


def counted(texts: list[str], **most: int) -> Runs:
    return count_runs(texts, seen=Seen(), threads=2, **most)


def as_dict(runs: Runs) -> dict[str, int]:
    text = runs.codes.tobytes().decode("utf-32-le")
    ends = np.cumsum(runs.lengths)
    return {
        text[end - size : end]: int(count) for end, size, count in zip(ends, runs.lengths, runs.counts, strict=True)
    }


def test_runs_are_counted(review_lines: list[str]):
    texts = [*review_lines, "café the cafe\u0301 the", "x" * (CHUNK + 5)]
    expected: Counter[str] = Counter()
    for text in texts[:-1]:
        expected.update(cut(text.replace("e\u0301", "é")))
    found = as_dict(counted(texts))
    assert found.pop("x" * 32) == (CHUNK + 5) // 32
    assert {run: count for run, count in found.items() if not run.startswith("xxxxx")} == expected


def test_a_full_table_keeps_what_is_frequent_and_draws_the_rest(review_lines: list[str]):
    whole = as_dict(counted(review_lines))
    runs = counted(review_lines, most=4_000)
    drawn = as_dict(runs)
    assert sum(map(len, drawn)) < 4_400 < sum(map(len, whole))
    assert runs.least > 1
    assert all(drawn[run] == count for run, count in whole.items() if count >= runs.least)
    # What is drawn stands for what is not: characters are counted without bias.
    characters = sum(len(run) * count for run, count in whole.items())
    assert sum(len(run) * count for run, count in drawn.items()) == pytest.approx(characters, rel=0.05)


@given(st.lists(st.text("abc", min_size=1, max_size=9), min_size=1, max_size=8), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_each_merge_is_of_a_most_frequent_pair(words: list[str], seed: int):
    random.seed(seed)
    counts = {
        "," + word.replace("a", "!").replace("b", "?").replace("c", ".")[:7]: random.randint(2, 50) for word in words
    }
    runs = counted([word + "x" for word, count in counts.items() for _ in range(count)])
    state = {run: list(run) for run in as_dict(runs)}
    weights = as_dict(runs)
    for merge in learn_merges(runs, 12):
        left, right = (part.decode() for part in merge)
        pairs: Counter[tuple[str, str]] = Counter()
        for run, parts in state.items():
            for pair in pairwise(parts):
                pairs[pair] += weights[run]
        assert pairs[left, right] == max(pairs.values()) >= 2
        for parts in state.values():
            place = 0
            while place < len(parts) - 1:
                if (parts[place], parts[place + 1]) == (left, right):
                    parts[place : place + 2] = [left + right]
                place += 1


def test_a_repeated_letter_is_merged_two_by_two():
    merges = learn_merges(counted(["aaaaaaaa," * 9]), 3)
    assert merges == [(b"a", b"a"), (b"aa", b"aa"), (b"aaaa", b"aaaa")]


def test_characters_earn_their_bytes_when_they_are_frequent():
    merges = learn_merges(counted(["水车水车水车,水,水,好"]), 9)
    made = [left + right for left, right in merges]
    assert made == [b"\xe6\xb0", "水".encode(), b"\xe8\xbd", "车".encode(), "水车".encode(), "水车水车".encode()]


def test_density_is_the_librarys_own(tmp_path: Path, review_lines: list[str]):
    """On the same cuts the library's trainer writes texts as densely: only ties are settled otherwise."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

    from noria.make.tokens.tokenizer import load_tokenizer, train_tokenizer

    texts = [*review_lines, *(f"the cat sat on the mat and the dog ate {n} of 12 rats" for n in range(200))]
    random.Random(0).shuffle(texts)
    ours = load_tokenizer(train_tokenizer(texts, 3_000, tmp_path / "t"))
    peer = Tokenizer(models.BPE())
    peer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(RUNS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=3_000,
        min_frequency=2,
        show_progress=False,
        special_tokens=["a", "b", "c"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    peer.train_from_iterator([text for index, text in enumerate(texts) if index % 20 != 19], trainer)
    held_out = texts[19::20]
    counts = [sum(len(one.encode(text).ids) for text in held_out) for one in (ours, peer)]
    assert counts[0] <= 1.005 * counts[1]
