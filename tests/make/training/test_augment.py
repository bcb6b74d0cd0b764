"""Augmentations: small changes, decided by row and epoch, in both languages."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from noria.core.errors import SettingError
from noria.make.training.finetune.augment import BUILT_IN, augmented, augmented_row, check_augmentations

CHINESE = "送货很快，包装也完好，下次还会再来买的"
ENGLISH = "Fast delivery and careful packing, I will order here again."


@pytest.mark.parametrize("text", [CHINESE, ENGLISH, "好", "a", " \n"])
@pytest.mark.parametrize("name", BUILT_IN)
def test_a_text_stays_a_text_and_is_said_the_same_way_again(name: str, text: str):
    said = [augmented(text, [name], seed=1, row=3, epoch=epoch) for epoch in range(4)]
    assert said == [augmented(text, [name], seed=1, row=3, epoch=epoch) for epoch in range(4)]
    assert said[0] == text, "the first epoch sees what the person wrote"
    assert all(one.strip() for one in said if text.strip())


@pytest.mark.parametrize("text", [CHINESE, ENGLISH])
def test_each_does_what_its_name_says(text: str):
    units = BUILT_IN["delete"](text, random.Random(0))
    assert len(units) < len(text)
    assert not Counter(units) - Counter(text)
    swapped = BUILT_IN["swap"](text, random.Random(0))
    assert swapped != text
    assert Counter(swapped) == Counter(text)
    marked = BUILT_IN["punctuate"](text, random.Random(0))
    assert len(marked) > len(text)
    assert "".join(one for one in marked if one.isalnum()) == "".join(one for one in text if one.isalnum())
    assert BUILT_IN["case"](text, random.Random(0)).lower() == text.lower()


def test_rows_and_epochs_differ():
    said = {
        augmented(CHINESE, ["delete", "swap"], seed=0, row=row, epoch=epoch) for row in range(5) for epoch in (1, 2, 3)
    }
    assert len(said) > 10


def test_rows_that_point_into_their_text_stay_as_they_are():
    tagged = {"text": CHINESE, "spans": [{"start": 0, "end": 2, "label": "x"}]}
    assert augmented_row(tagged, ["delete"], seed=0, number=1, epoch=5) == tagged
    row = augmented_row({"text": CHINESE, "label": "好评"}, ["delete"], seed=0, number=1, epoch=5)
    assert row["label"] == "好评"
    assert row["text"] != CHINESE


def test_an_unknown_name_names_the_nearest():
    with pytest.raises(SettingError, match=r"unknown augmentation: found 'swop'.*did you mean swap"):
        check_augmentations(["delete", "swop"])
