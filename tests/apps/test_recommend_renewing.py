"""The loop of a recommender: learned anew, judged, tried, live or not; and a server that takes each step up while it runs."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import shops

from noria.api.renewing import renew
from noria.apps.recommend.importing import import_deeds
from noria.apps.recommend.rollout import Rollout, file_of_rollout, read_rollout, write_rollout
from noria.apps.recommend.routes import Recommend
from noria.apps.settings import RecommendSettings, RenewalSettings, ShopSettings
from noria.cli.main import main
from noria.core.errors import InputError, SettingError
from noria.core.folder import new_folder, read_manifest
from noria.core.messages import LANGUAGES
from noria.infer.recommend import Ranker
from noria.lake.event import Event, new_id
from noria.lake.outbox import Outbox
from noria.server.http.run import serving
from noria.server.http.settings import ServerSettings
from noria.tasks.deeds import deeds_of
from noria.tasks.items import append_items

BEGIN = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> ShopSettings:
    """A shop whose lake knows what users did, without a ranker."""
    folder = tmp_path_factory.mktemp("shop")
    append_items(folder / "items.jsonl", shops.items())
    deeds = deeds_of(shops.rows())
    import_deeds(folder / "lake", deeds, b"s" * 32, now=BEGIN.timestamp())
    return ShopSettings(items=folder / "items.jsonl", server={"lake": folder / "lake"})


def test_what_was_learned_goes_live_only_where_it_is_better(shop: ShopSettings) -> None:
    lake = shop.server.lake
    first = renew(shop, RenewalSettings(share=0), now=BEGIN)
    facts = read_manifest(first.folder).facts
    assert first.outcome == ("promoted" if facts["verdict"] == "beats the baseline" else "kept")
    write_rollout(lake, read_rollout(lake, None).promoted(BEGIN, first.folder))
    unjudged = renew(shop, RenewalSettings(share=0.3), now=BEGIN + timedelta(hours=1))
    assert unjudged.outcome == "kept"  # nothing was done since the live one was trained
    later = [(user, item, kind, value, when + 65 * shops.DAY) for user, item, kind, value, when in shops.rows(seed=3)]
    import_deeds(lake, deeds_of(later), b"s" * 32, now=BEGIN.timestamp())
    again = renew(shop, RenewalSettings(share=0.3), now=BEGIN + timedelta(days=1))
    beside = read_manifest(again.folder).facts["beside"]
    assert len(beside) == 1  # judged on the same users as the live one
    assert again.outcome == ("trial" if beside[0]["better"] else "kept")
    held = read_rollout(lake, None)
    assert held.live == str(first.folder.resolve())
    assert held.share == (0.3 if again.outcome == "trial" else 0.0)
    assert Ranker.open(again.folder).items == Ranker.open(first.folder).items
    assert all(found.line[language] for found in (first, again) for language in LANGUAGES)
    write_rollout(lake, Rollout("", ""))


def test_rankers_that_are_needed_no_more_are_removed(shop: ShopSettings) -> None:
    lake = shop.server.lake
    folders = [renew(shop, RenewalSettings(), now=BEGIN + timedelta(days=10 + day)).folder for day in range(1)]
    work = folders[0].parent
    for day in range(6):
        (work / f"2026050{day + 1}T000000").mkdir()
    write_rollout(lake, Rollout("", str((work / "20260501T000000").resolve())))
    (work / "20260501T000000").rmdir()
    folders[0].rename(work / "20260501T000000")
    renew(shop, RenewalSettings(), now=BEGIN + timedelta(days=20))
    left = sorted(one.name for one in work.glob("2026*"))
    assert left[0] == "20260501T000000"  # live
    assert left[-1] == "20260621T000000"
    assert len(left) == 5
    write_rollout(lake, Rollout("", ""))


def ranker_of(folder: Path, content: str) -> Path:
    """A folder with an identity of its own."""
    with new_folder(folder, kind="recommend") as made:
        (made.path / "content").write_text(content, encoding="utf-8")
    return folder


def shown(lake: Path, version: str, users: int, rate: float, seed: int) -> None:
    """Write what users were shown by a ranker, five items each on five days, and what they clicked."""
    random, events = np.random.default_rng(seed), []
    for user in range(users):
        name = f"{version}/{user}"
        for number in range(5):
            when = BEGIN + timedelta(days=user % 5, minutes=number)
            facts = {"user": name, "app": "recommend", "subject": f"i{number}"}
            events.append(Event(new_id(), when, "impression", version=version, propensity=0.5, **facts))
            if random.random() < rate:
                facts["app"] = "api"  # told by the shop's own page
                events.append(Event(new_id(), when + timedelta(seconds=9), "click", **facts))
    before = [
        Event(new_id(), BEGIN - timedelta(days=3), "impression", user=f"{version}/{user}", version="old", subject="i1")
        for user in range(users)
    ]
    with Outbox(lake) as outbox:
        outbox.append([*events, *before])


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize(
    ("users", "rates", "day", "outcome"),
    [
        (300, (0.2, 0.5), 5, "promoted"),
        (300, (0.5, 0.2), 5, "ended"),
        (60, (0.3, 0.3), 5, "going_on"),
        (60, (0.3, 0.3), 8, "promoted"),
        (60, (0.6, 0.2), 8, "ended"),
        (0, (0.3, 0.3), 9, "going_on"),
    ],
)
def test_a_trial_is_decided_by_clicks_since_it_began(
    live: bool, users: int, rates: tuple[float, float], day: int, outcome: str, tmp_path: Path
) -> None:
    lake = tmp_path / "lake"
    given = ranker_of(tmp_path / "given", "live") if live else None
    tried = ranker_of(tmp_path / "tried", "tried")
    shop = ShopSettings(ranker=given, server={"lake": lake})
    write_rollout(lake, read_rollout(lake, given).trying(tried, 0.5, BEGIN))
    versions = [read_manifest(given).identity()[:12] if given else "encoder", read_manifest(tried).identity()[:12]]
    for number, (version, rate) in enumerate(zip(versions, rates, strict=True)):
        shown(lake, version, users if users else 4 * (1 - number), rate, number)
    found = renew(shop, RenewalSettings(), now=BEGIN + timedelta(days=day))
    assert found.outcome == outcome
    held = read_rollout(lake, given)
    expected = {
        "promoted": (str(tried.resolve()), ""),
        "ended": (str(given.resolve()) if given else "", ""),
        "going_on": (str(given.resolve()) if given else "", str(tried.resolve())),
    }[outcome]
    assert (held.live, held.trial) == expected
    assert [change.what for change in held.changes][1:] == ([outcome] if outcome != "going_on" else [])
    assert all(str(tried) in found.line[language] for language in LANGUAGES)


def test_whoever_names_another_ranker_in_the_settings_has_the_last_word(tmp_path: Path) -> None:
    write_rollout(tmp_path, read_rollout(tmp_path, Path("a")).promoted(BEGIN, Path("b")))
    assert read_rollout(tmp_path, Path("a")).live == str(Path("b").resolve())
    other = read_rollout(tmp_path, Path("c"))
    assert (other.live, other.trial) == (str(Path("c").resolve()), "")
    file_of_rollout(tmp_path).write_text('{"live": 1}', encoding="utf-8")
    with pytest.raises(InputError, match=r"ranker\.json"):
        read_rollout(tmp_path, Path("a"))


def test_a_trial_by_hand_and_a_lake_without_items_are_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="by hand"):
        renew(ShopSettings(beside=Path("x"), server={"lake": tmp_path}))
    with pytest.raises(InputError):
        renew(ShopSettings(server={"lake": tmp_path}))


def test_the_command_takes_a_step_and_says_which(
    shop: ShopSettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lake = shop.server.lake
    write_rollout(lake, Rollout("", "").trying(ranker_of(tmp_path / "tried", "x"), 0.1, datetime.now(UTC)))
    file = tmp_path / "shop.toml"
    file.write_text(f'items = "{shop.items}"\n[server]\nlake = "{lake}"\n', encoding="utf-8")
    words = ["ship", "recommend", "renew", "--settings", str(file)]
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["outcome"], told["folder"]) == ("going_on", str((tmp_path / "tried").resolve()))
    assert main([*words, "--dry-run"]) == 0
    assert str(lake) in capsys.readouterr().out
    write_rollout(lake, Rollout("", ""))


def test_a_server_ranks_by_each_step_while_it_runs_and_after_a_restart(
    shop: ShopSettings, embedder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import httpx

    monkeypatch.setattr("noria.apps.recommend.routes.LOOK_SECONDS", 0.05)
    folder = renew(shop, RenewalSettings(), now=BEGIN + timedelta(days=40)).folder
    write_rollout(shop.server.lake, Rollout("", ""))
    lake, version = tmp_path / "lake", read_manifest(folder).identity()[:12]
    settings = ServerSettings(port=0, lake=lake, threads=1)

    def server_ranks_by(app: Recommend, versions: list[str], web: httpx.Client, arm: int) -> None:
        end = time.monotonic() + 60
        while app.versions != versions:
            assert time.monotonic() < end
            time.sleep(0.02)
        assert app.shelf.settings.trial == app.settings.trial
        user = next(f"u{n}" for n in range(500) if app.shelf.arm(app.key_of("", pseudonym(app, f"u{n}"))) == arm)
        picks = web.post("/pick", json={"user": user, "count": 5}).json()["picks"]
        assert len(picks) == 5

    def pseudonym(app: Recommend, user: str) -> str:
        return running.state.meter.pseudonym(user)

    def started() -> Recommend:
        return Recommend(shops.items(), settings=RecommendSettings(per_key=False))

    app = started()
    with serving(settings, [embedder], [app]) as running:
        url = f"{running.url}/v1/apps/recommend"
        with httpx.Client(base_url=url, headers=running.headers, timeout=60) as web:
            write_rollout(lake, read_rollout(lake, None).trying(folder, 0.5, BEGIN))
            server_ranks_by(app, ["", version], web, 1)
            write_rollout(lake, read_rollout(lake, None).promoted(BEGIN))
            server_ranks_by(app, [version, ""], web, 0)
            write_rollout(lake, read_rollout(lake, None).trying(tmp_path / "gone", 0.5, BEGIN))  # is passed over
            write_rollout(lake, read_rollout(lake, None).ended(BEGIN))
            server_ranks_by(app, [version, ""], web, 0)
            assert app.shelf.rankers[0] is not None
    app = started()
    with serving(settings, [embedder], [app]) as running:
        assert app.versions == [version, ""]
