"""A log of behaviour: read under any names and times, and cleaned by rules that are counted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import shops
from hypothesis import given
from hypothesis import strategies as st

from noria.core.errors import InputError
from noria.tasks.deeds import BOT_DEEDS, KINDS, Deed, clean, deeds_of, read_deeds, seconds_of, weight_of

NOW = 1_800_000_000.0
MOMENT = 1_700_000_000.0


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("user,item,time", "u1,i1,1700000000"),
        ("userId,movieId,rating,timestamp", "u1,i1,4,1700000000000"),
        ("用户ID,商品编号,行为类型,时间", "u1,i1,点击,2023-11-14 22:13:20"),
        ("visitorid,itemid,event,timestamp", "u1,i1,view,2023-11-14T22:13:20Z"),
        ("用户,商品,时间", "u1,i1,2023/11/14 22:13:20"),
        ("customer_id,sku,created_at", "u1,i1,2023-11-15T06:13:20+08:00"),
    ],
)
def test_a_log_is_read_under_the_names_and_times_that_people_write(tmp_path: Path, header: str, row: str) -> None:
    file = tmp_path / "log.csv"
    file.write_text(f"{header}\n{row}\n", encoding="utf-8")
    (user, (deed,)), *rest = read_deeds(file).histories().items()
    assert not rest
    assert (user, deed.item, deed.time) == ("u1", "i1", MOMENT)
    assert deed.kind == ("rating" if "rating" in header else "click")


@given(st.integers(0, 4_000_000_000))
def test_a_moment_is_the_same_in_every_unit_whose_size_tells_it(second: int) -> None:
    second = max(second, 100_000_000)  # before 1973 milliseconds look like seconds
    assert {seconds_of(second * scale) for scale in (1, 1_000, 1_000_000)} == {float(second)}


def test_what_is_no_moment_is_none() -> None:
    assert [seconds_of(one) for one in (None, "", "soon", "nan", "2023-13-45", True)] == [None] * 6


def test_rows_that_tell_nothing_are_counted_and_the_others_used(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    file.write_text(
        "user,item,time,kind\nu,a,1700000000,view\n,a,1700000000,view\nu,,1700000000,view\nu,b,soon,view\nu,c,1700000000,dance\n"
    )
    said: list[str] = []
    read = read_deeds(file, note=said.append)
    assert [(one.item, one.kind) for one in read.histories()["u"]] == [("a", "click"), ("c", "click")]
    for part in ("without a user", "without an item", "time cannot be read", "not known count as clicks"):
        assert any(part in one for one in said), part


def test_without_times_the_order_of_the_rows_is_kept(tmp_path: Path) -> None:
    file = shops.write_csv(tmp_path / "log.csv", ("user", "item"), [("u", str(place)) for place in (3, 1, 2)])
    read = read_deeds(file)
    assert not read.timed
    assert [one.item for one in read.histories()["u"]] == ["3", "1", "2"]


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    file = shops.write_csv(tmp_path / "log.csv", ("who", "what"), [("u", "i")])
    with pytest.raises(InputError, match="no column of the user"):
        read_deeds(file)
    with pytest.raises(InputError, match="no such column: found 'whom'"):
        read_deeds(file, {"user": "whom"})
    assert len(read_deeds(file, {"user": "who", "item": "what"})) == 1


def cleaned(
    rows: Sequence[tuple[str, str, str, float, float]], items: set[str] | None = None
) -> tuple[list[Deed], dict[str, int]]:
    kept, counts = clean(deeds_of(rows), items, NOW)
    assert len(kept) + sum(counts.values()) == len(rows)  # nothing is lost
    return [deed for one in kept.histories().values() for deed in one], counts


def test_every_rule_sets_aside_what_it_says_and_counts_it() -> None:
    rows = [
        ("u", "a", "click", 1.0, MOMENT),
        ("u", "a", "click", 1.0, MOMENT + 3),  # sent twice
        ("u", "a", "click", 1.0, MOMENT + 300),  # again, later
        ("u", "b", "buy", 1.0, MOMENT + 400),
        ("u", "b", "return", 1.0, MOMENT + 900),  # takes the purchase back
        ("u", "x", "click", 1.0, MOMENT),  # not in the catalogue
        ("u", "c", "click", 1.0, NOW + 2 * shops.DAY),  # of the future
        ("u", "c", "click", 1.0, NOW + 3_600),  # a clock in another zone
    ]
    kept, counts = cleaned(rows, {"a", "b", "c"})
    assert counts == {"unknown_item": 1, "future": 1, "double": 1, "returned": 2}
    assert [deed.item for deed in kept] == ["a", "a", "c"]


def test_of_ratings_of_one_item_the_last_stands() -> None:
    kept, counts = cleaned([("u", "a", "rating", 2.0, MOMENT), ("u", "a", "rating", 5.0, MOMENT + 9_999)])
    assert ([deed.value for deed in kept], counts) == ([5.0], {"double": 1})


def test_who_is_faster_than_a_hand_is_set_aside_whole() -> None:
    machine = [("bot", str(place), "click", 1.0, MOMENT + place / 10) for place in range(2 * BOT_DEEDS)]
    person = [("u", str(place), "click", 1.0, MOMENT + 30 * place) for place in range(2 * BOT_DEEDS)]
    pages = [("rater", str(place), "rating", 4.0, MOMENT) for place in range(2 * BOT_DEEDS)]
    kept, counts = cleaned([*machine, *person, *pages])
    assert counts == {"bot": len(machine)}
    assert len(kept) == len(person) + len(pages)


def test_only_what_is_liked_weighs() -> None:
    weights = {kind: weight_of(Deed("a", kind, 3.0, MOMENT), least=4.0) for kind in KINDS}
    assert weights["impression"] == weights["return"] == weights["rating"] == 0
    assert 0 < weights["click"] <= weights["cart"] <= weights["buy"]
    assert weight_of(Deed("a", "rating", 4.0, MOMENT), least=4.0) > 0


@pytest.mark.parametrize("ids", [("a/b", "../c"), ("😀", "👩‍👩‍👧 1"), ("编号 7", "é")])
def test_ids_are_taken_as_they_are(tmp_path: Path, ids: tuple[str, str]) -> None:
    file = shops.write_csv(tmp_path / "log.csv", ("user", "item", "time"), [(ids[0], ids[1], MOMENT)])
    assert read_deeds(file).histories()[ids[0]][0].item == ids[1]
