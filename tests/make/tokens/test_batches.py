"""Length buckets, packed rows and shards: nothing lost, nothing mixed, any step at any time."""

from __future__ import annotations

import unicodedata
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noria.core.errors import FolderError, InputError
from noria.core.folder import Source, read_manifest
from noria.make.tokens.batches import IGNORED, Packed, length_buckets
from noria.make.tokens.shards import Shards, open_shards, write_shards
from noria.make.tokens.tokenizer import BEGIN, END, load_tokenizer, train_tokenizer

LENGTHS = st.lists(st.integers(1, 200), min_size=1, max_size=300)


@given(LENGTHS, st.integers(1, 500), st.integers(0, 3), st.integers(0, 3))
def test_buckets_hold_every_row_once_within_the_budget(lengths: list[int], budget: int, seed: int, epoch: int) -> None:
    batches = length_buckets(lengths, budget, seed, epoch)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    for rows in batches:
        assert len(rows) == 1 or len(rows) * max(lengths[row] for row in rows) <= budget
    again = length_buckets(lengths, budget, seed, epoch)
    assert [rows.tolist() for rows in batches] == [rows.tolist() for rows in again]


def test_buckets_waste_little_and_mix_between_epochs() -> None:
    lengths = np.random.default_rng(0).integers(5, 120, 3000)
    batches = length_buckets(lengths, 2048, 0, 0)
    padded = sum(len(rows) * lengths[rows].max() for rows in batches)
    assert padded < 1.05 * lengths.sum()
    first, second = batches[0], length_buckets(lengths, 2048, 0, 1)[0]
    assert set(first.tolist()) != set(second.tolist())
    # Batches of long and of short texts come in no order.
    means = np.array([lengths[rows].mean() for rows in batches])
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.4


def shards_of(documents: list[list[int]]) -> Shards:
    arrays = [np.array(document, dtype=np.uint16) for document in documents]
    return Shards(
        np.concatenate(arrays), np.cumsum([len(a) for a in arrays]), np.ones(len(arrays), dtype=np.int64), "x"
    )


def test_packed_rows_hold_whole_documents_in_a_fresh_order_each_epoch() -> None:
    documents = [[1, *range(10 * n, 10 * n + n % 7 + 1), 2] for n in range(1, 60)]
    batches = Packed(shards_of(documents), context=8, rows=3, seed=4)
    pairs = {(left, right) for document in documents for left, right in pairwise(document)}
    seen: list[set[tuple[int, int]]] = []
    for epoch in range(2):
        found = set()
        for step in range(batches.steps_per_epoch):
            (batch,) = batches.at(epoch * batches.steps_per_epoch + step)
            ids, targets, numbers = (batch.tensors[name].numpy() for name in ("input_ids", "targets", "documents"))
            assert ids.shape == targets.shape == numbers.shape == (3, 8)
            scored = targets != IGNORED
            assert {*zip(ids[scored].tolist(), targets[scored].tolist(), strict=True)} <= pairs
            assert (ids[~scored] == 2).all()  # nothing follows an end
            for row in range(3):
                starts = np.flatnonzero(ids[row] == 1)
                assert all(numbers[row][place] != numbers[row][place - 1] for place in starts if place)
            found |= {*zip(ids[scored].tolist(), targets[scored].tolist(), strict=True)}
        seen.append(found)
    assert all(len(found) > 0.85 * len(pairs) for found in seen)  # a last, shorter batch is left out
    assert (
        batches.at(0)[0].tensors["input_ids"].tolist()
        != batches.at(batches.steps_per_epoch)[0].tensors["input_ids"].tolist()
    )


def test_any_step_can_be_asked_for_at_any_time() -> None:
    shards = shards_of([[1, *range(3, 3 + n % 9 + 1), 2] for n in range(80)])
    walked = Packed(shards, context=8, rows=2, seed=1)
    inputs = [walked.at(step)[0].tensors["input_ids"].tolist() for step in range(walked.steps_per_epoch * 2)]
    jumped = Packed(shards, context=8, rows=2, seed=1)
    for step in (len(inputs) - 1, 0, 3, len(inputs) // 2):
        assert jumped.at(step)[0].tensors["input_ids"].tolist() == inputs[step]
    assert walked.fingerprint == jumped.fingerprint != Packed(shards, context=8, rows=2, seed=2).fingerprint


def test_too_little_text_is_refused() -> None:
    with pytest.raises(InputError, match="too little text"):
        Packed(shards_of([[1, 5, 2]]), context=8, rows=2, seed=0)


def test_shards_give_back_the_texts(tmp_path: Path, review_lines: list[str]) -> None:
    texts = [*review_lines[:79], "cafe\u0301 décor <|end|>", "A large model is trained on text."]
    tokenizer = load_tokenizer(train_tokenizer(texts, 600, tmp_path / "tokenizer"))
    write_shards(tmp_path / "shards", {"train": texts, "valid": []}, tokenizer, [Source("reviews", "0" * 64)])
    shards = open_shards(tmp_path / "shards", "train")
    assert len(shards) == 81
    assert shards.sizes.tolist() == [len(text.encode()) for text in texts]
    assert isinstance(shards.ids, np.memmap)
    for row, text in enumerate(texts):
        ids = shards[row].tolist()
        assert (ids[0], ids[-1]) == (tokenizer.token_to_id(BEGIN), tokenizer.token_to_id(END))
        assert ids[1:-1] == tokenizer.encode(text).ids
        assert tokenizer.decode(ids[1:-1], skip_special_tokens=False) == unicodedata.normalize("NFC", text)
    manifest = read_manifest(tmp_path / "shards")
    assert manifest.facts["train"]["tokens"] == len(shards.ids)
    other = write_shards(tmp_path / "other", {"train": texts[:-1], "valid": []}, tokenizer, [])
    assert read_manifest(other).settings == manifest.settings
    assert read_manifest(other).facts["train"]["texts_sha256"] != manifest.facts["train"]["texts_sha256"]
    assert len(open_shards(tmp_path / "shards", "valid")) == 0
    with pytest.raises(FolderError, match="no such split"):
        open_shards(tmp_path / "shards", "test")
    (tmp_path / "shards" / "train.ids").write_bytes(b"\0")
    with pytest.raises(FolderError, match="make the folder again"):
        open_shards(tmp_path / "shards", "train")
