"""Recommendation: small inputs that were once read or answered wrongly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from noria.apps.recommend.readers import browsing
from noria.apps.recommend.shelf import Shelf
from noria.apps.recommend.states import key_of
from noria.tasks.items import Item, read_items

CASES = Path(__file__).parent / "inputs" / "ship-grow"


def test_a_separator_inside_a_text_cuts_no_line() -> None:
    items = read_items(CASES / "items-u2028.jsonl")
    assert len(items) == 2
    assert any("\u2028" in item.text for item in items)


def test_blank_lines_are_no_items() -> None:
    assert len(read_items(CASES / "items-blank.jsonl")) == 2


def test_ten_items_five_a_visit_three_visits() -> None:
    items = [Item(str(number), f"title {number}", "text") for number in range(10)]
    shelf = Shelf()
    shelf.put(items, np.random.default_rng(0).normal(size=(10, 8)))
    pick, _ = browsing(shelf)
    visits = [list(pick("anna")) for _ in range(2)]
    shelf.buy(key_of("", "anna"), visits[0][0])
    third = list(pick("anna"))
    assert [len(visit) for visit in (*visits, third)] == [5, 5, 5]
    assert visits[0][0] not in third


def test_items_of_a_request_are_counted_before_the_first_is_looked_at() -> None:
    from noria.apps.recommend.bodies import NewItems

    with pytest.raises(ValidationError, match="found 4; allowed 1 to 3"):
        NewItems.model_validate({"items": [{"id": "a", "text": "a"}] * 3 + [{"id": []}]}, context={"max_rows": 3})
