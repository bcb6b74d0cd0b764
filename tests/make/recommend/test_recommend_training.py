"""Items and clicks -> a recommender that is judged and ranks: better than its baselines on tastes that are there, and sane where little is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shops

import noria
from noria.cli.main import main
from noria.core.errors import FolderError, InputError
from noria.core.folder import read_manifest
from noria.infer.recommend import ARRAYS, Ranker
from noria.tasks.items import Item


def written(folder: Path, items: Sequence[Item], rows: Sequence[Sequence[Any]]) -> tuple[Path, Path]:
    """Return a file of items and one of clicks."""
    folder.mkdir(exist_ok=True)
    lines = [(item.id, item.title, item.text, item.price) for item in items]
    catalogue = shops.write_csv(folder / "items.csv", ("id", "title", "text", "price"), lines)
    return catalogue, shops.write_csv(folder / "clicks.csv", ("user", "item", "kind", "value", "time"), rows)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    items, clicks = written(folder, shops.items(), shops.rows())
    assert main(["build", "finetune", "recommend", str(items), str(clicks), "--out", str(folder / "model")]) == 0
    return folder / "model"


def test_it_follows_tastes_better_than_popularity_and_says_so(shop: Path) -> None:
    facts = read_manifest(shop).facts
    ndcg, *_ = facts["metrics"]
    popular = next(one for one in facts["baseline"] if one["note"] == "popularity")
    assert ndcg["low"] > popular["value"]
    assert {one["note"] for one in facts["baseline"]} == {"popularity", "ItemKNN", "EASE"}
    assert facts["verdict"] in ("beats the baseline", "no clear winner")
    card = (shop / "README.md").read_text(encoding="utf-8")
    for name in ("popularity", "ItemKNN", "EASE", "nDCG@10", "Recall@20", "区间"):
        assert name in card, name


def test_scores_are_probabilities_and_the_own_taste_stands_first(shop: Path) -> None:
    ranker = Ranker.open(shop)
    histories = [shops.history(f"i{taste}", f"i{taste + 3}", f"i{taste + 6}") for taste in range(3)]
    scores = ranker.scores([*histories, []])
    assert scores.shape == (4, 45)
    assert scores.dtype == np.float32
    assert ranker.calibrated
    assert (scores > 0).all()
    assert (scores < 1).all()
    for taste in range(3):
        free = [place for place in range(45) if ranker.items[place] not in {deed.item for deed in histories[taste]}]
        best = sorted(free, key=lambda place: -scores[taste, place])[:5]
        assert sum(int(ranker.items[place][1:]) % 3 == taste for place in best) >= 4


def test_one_history_is_scored_as_among_many(shop: Path) -> None:
    ranker = Ranker.open(shop)
    histories = [shops.history("i0", "i4"), [], shops.history("i7"), shops.history("i40", "nowhere")]
    together = ranker.scores(histories)
    for row, history in enumerate(histories):
        assert np.allclose(ranker.scores([history])[0], together[row], rtol=1e-4, atol=1e-7)
    later = shops.history("i0", "i4", "i9")
    assert np.allclose(ranker.scores([later], now=later[1].time), together[:1], rtol=1e-4, atol=1e-7)


def test_reasons_are_items_of_the_history_or_that_many_take_it(shop: Path) -> None:
    ranker = Ranker.open(shop)
    history = shops.history("i0", "i4", "i3")
    reasons = ranker.reasons(history, "i6")
    assert 1 <= len(reasons) <= 3
    assert [one.weight for one in reasons] == sorted((one.weight for one in reasons), reverse=True)
    assert all(0 <= one.weight <= 1 and (one.item in ("i0", "i4", "i3")) != (one.kind == "popular") for one in reasons)
    assert next(one.item for one in reasons if one.item) in ("i0", "i3")  # of its own taste
    assert [one.kind for one in ranker.reasons([], "i6")] == ["popular"]
    with pytest.raises(InputError):
        ranker.reasons(history, "nowhere")


def test_a_new_item_has_a_place_by_its_text_at_once(shop: Path) -> None:
    ranker = Ranker.open(shop)
    before = ranker.scores([shops.history("i0", "i3")])
    ranker.extend(["new/😀", "i0", "other"], None, [shops.WORDS["en"][0], "known already", shops.WORDS["en"][1]])
    assert list(ranker.items[-2:]) == ["new/😀", "other"]
    assert len(ranker.items) == 47
    scores = ranker.scores([shops.history("i0", "i3", "i6"), shops.history("i1", "i4", "i7")])
    assert scores[0, -2] > scores[0, -1]
    assert scores[1, -1] > scores[1, -2]
    assert ranker.reasons(shops.history("i0"), "new/😀")
    assert before.shape[1] == 45
    assert np.isfinite(ranker.scores([shops.history("new/😀")])).all()


def test_the_same_files_give_the_same_bytes(shop: Path, tmp_path: Path) -> None:
    items, clicks = shop.parent / "items.csv", shop.parent / "clicks.csv"
    noria.recommender(items, clicks, out=tmp_path / "again", progress=False)
    assert (tmp_path / "again" / ARRAYS).read_bytes() == (shop / ARRAYS).read_bytes()


def test_what_came_afterwards_can_be_judged_on_by_itself(shop: Path, tmp_path: Path) -> None:
    rows = shops.rows()
    rows.sort(key=lambda row: row[4])
    items, before = written(tmp_path / "before", shops.items(), rows[:800])
    _, after = written(tmp_path / "after", shops.items(), rows[800:])
    model = noria.recommender(items, before, out=tmp_path / "model", test=after, progress=False)
    assert model.figures[0].value > 0
    assert model.manifest.facts["likings"] == 800


def test_an_older_one_is_judged_on_what_came_since_it_was_trained(tmp_path: Path) -> None:
    rows = sorted(shops.rows(users=150), key=lambda row: row[4])
    items, before = written(tmp_path / "before", shops.items(), rows[:300])
    old = noria.recommender(items, before, out=tmp_path / "old", progress=False)
    _, whole = written(tmp_path / "whole", shops.items(), rows)
    new = noria.recommender(items, whole, out=tmp_path / "new", beside=old, progress=False)
    (beside,) = new.manifest.facts["beside"]
    # Whoever did something since is judged on it, and nobody on anything before.
    assert beside["figure"]["n"] == len({user for user, *_ in rows[300:]})
    assert beside["better"] is (beside["figure"]["low"] > 0)
    assert new.manifest.facts["likings"] == len(rows)


def test_ratings_count_from_a_threshold_that_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    items, _ = written(tmp_path, shops.items(), [])
    rows = [(user, item, 1 + place % 5, time) for place, (user, item, _, _, time) in enumerate(shops.rows())]
    ratings = shops.write_csv(tmp_path / "ratings.csv", ("user", "item", "rating", "time"), rows)
    command = ["build", "finetune", "recommend", str(items), str(ratings), "--out", str(tmp_path / "m")]
    assert main(command) == 0
    assert "ratings from 3.4 count" in capsys.readouterr().err
    assert read_manifest(tmp_path / "m").facts["likings"] == sum(row[2] >= 4 for row in rows)
    assert main([*command, "--positive", "0"]) == 0
    assert read_manifest(tmp_path / "m").facts["likings"] == len(rows)


def _everything() -> list[tuple[str, str, str, float, float]]:
    return [*shops.rows(users=12), *(("all", f"i{place}", "click", 1.0, shops.START + place) for place in range(45))]


LITTLE: dict[str, tuple[list[Item], list[Any]]] = {
    "two items": (shops.items(2), [("u", "i0", "click", 1, 1e9), ("v", "i1", "click", 1, 1.1e9)]),
    "one user": (shops.items(), [("u", f"i{place}", "click", 1, 1e9 + 60 * place) for place in range(20)]),
    "one deed": (shops.items(), [("u", "i0", "click", 1, 1e9)]),
    "text without words": (
        [Item(str(place), "!", "!") for place in range(9)],
        [("u", "1", "click", 1, 1e9), ("v", "2", "buy", 1, 1e9)],
    ),
    "identical texts": ([Item(f"i{place}", "杯子", "一只杯子") for place in range(45)], shops.rows(users=20)),
    "a user who clicked everything": (shops.items(), _everything()),
    "all at one moment": (shops.items(), [(*row[:4], 1e9) for row in shops.rows(users=20)]),
    "nothing but the future": (shops.items(), [("u", "i0", "click", 1, 9e9)]),
    "nothing that is known": (shops.items(), [("u", "nowhere", "click", 1, 1e9)]),
    "ids with slashes and emoji": (
        [Item(f"a/{place} 😀", title, title) for place, title in enumerate(shops.WORDS["zh"] * 3)],
        [(f"u/{place}", f"a/{place % 9} 😀", "click", 1, 1e9 + place) for place in range(40)],
    ),
}


@pytest.mark.parametrize("name", LITTLE)
def test_little_or_odd_behaviour_gives_a_ranking_that_makes_sense(tmp_path: Path, name: str) -> None:
    items, rows = LITTLE[name]
    catalogue, clicks = written(tmp_path, items, rows)
    model = noria.recommender(catalogue, clicks, out=tmp_path / "m", progress=False)
    ranker = Ranker.open(model.path)
    assert list(ranker.items) == [item.id for item in items]
    scores = ranker.scores([[], shops.history(items[0].id), shops.history(*ranker.items)])
    assert scores.shape == (3, len(items))
    assert np.isfinite(scores).all()
    assert ranker.reasons(shops.history(items[0].id), items[-1].id)
    assert all(figure.low is None or figure.low <= figure.value <= figure.high for figure in model.figures)


def test_without_any_behaviour_items_are_ranked_by_their_text(tmp_path: Path) -> None:
    catalogue, _ = written(tmp_path, shops.items(30, "zh"), [])
    model = noria.recommender(catalogue, out=tmp_path / "m", progress=False)
    assert model.verdict == "not judged"
    scores = Ranker.open(model.path).scores([shops.history("i0")])[0]
    assert scores[3:][np.arange(3, 30) % 3 == 0].min() > scores[3:][np.arange(3, 30) % 3 != 0].max()


def test_a_log_stands_for_the_catalogue_where_there_is_none(shop: Path, tmp_path: Path) -> None:
    clicks = shop.parent / "clicks.csv"
    model = noria.recommender(clicks, clicks, out=tmp_path / "m", progress=False)
    assert len(Ranker.open(model.path).items) == 45
    popular = next(one for one in model.baseline if one.note == "popularity")
    assert model.figures[0].value > popular.value


def test_a_folder_of_another_kind_is_refused(shop: Path, tmp_path: Path) -> None:
    with pytest.raises(FolderError):
        Ranker.open(tmp_path)
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in shop.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    told = json.loads((broken / "ranker.json").read_text(encoding="utf-8"))
    (broken / "ranker.json").write_text(json.dumps({**told, "items": None}), encoding="utf-8")
    with pytest.raises(FolderError):
        Ranker.open(broken)
