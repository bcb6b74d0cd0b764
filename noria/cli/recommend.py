"""`noria ship recommend`: a recommender on its items, or what is done beside it: import what was clicked, judge a ranking, renew it, export lists."""

from __future__ import annotations

from functools import partial
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter, validators

from noria.apps.settings import RecommendSettings, RenewalSettings, ShopSettings
from noria.core.errors import InputError
from noria.core.messages import environment_language, for_terminal, message
from noria.grow.promote.settings import PolicySettings
from noria.make.recommend.settings import RecommendTraining
from noria.server.http.settings import PlaceSettings, ServerSettings

from . import dry
from .applications import Place, serve_application
from .files import SettingsFile, needed
from .manners import Commands, DryRun, print_message, print_note, printed, report
from .rollout import request

if TYPE_CHECKING:
    import numpy as np

    from noria.apps.embedding import Embed
    from noria.apps.recommend.judging import Decisions
    from noria.apps.recommend.shelf import Shelf
    from noria.grow.promote.offpolicy import Logged

Flag = Annotated[bool, Parameter(negative="")]
ShelfFlags = Annotated[RecommendSettings, Parameter(name="shelf")]
Count = Annotated[int, Parameter(validator=validators.Number(gte=1, lte=50))]
USERS_AT_ONCE = 100

app = Commands(name="recommend")


@app.default
def recommend(
    model: Path | None = None,
    items: Path | None = None,
    *,
    ranker: Path | None = None,
    beside: Path | None = None,
    most: int | None = None,
    console: Path | None = None,
    shelf: ShelfFlags = RecommendSettings(),
    file: SettingsFile = None,
    settings: Place = PlaceSettings(),
) -> int:
    """Recommendation: what is near to what a user opened lately, by its text or by what others did too, within a shop's rules.

    Serves POST /v1/apps/recommend/pick until Ctrl-C. What users did is known again at the next start.

    Examples::

        noria ship recommend runs/demo/embed-served runs/demo/corpus/news/test.jsonl
        noria ship recommend runs/demo/embed-served products.jsonl --shelf.chance 0.2 --shelf.rules.most-of-category 3
        noria ship recommend runs/demo/embed-served products.csv --ranker runs/ranker
        noria ship recommend --settings shop.toml
        noria ship recommend --settings shop.toml --beside runs/ranker-2 --shelf.trial 0.2

    Parameters
    ----------
    model
        Folder of a model for the task embed.
    items
        File of items: id, text and title, categories, tags, price, stock, in JSON Lines, CSV, Excel and the like; POST /v1/apps/recommend/items adds more.
    ranker
        Folder of a ranker that learned from behaviour; texts alone rank without one.
    beside
        Folder of another ranker, tried on --shelf.trial of the users; texts alone are without one.
    most
        Take only the first so many of the items.
    console
        Folder of a run, or any other: serve the console, too, and show a link that signs one browser in.
    file
        A shop's file of settings, as `noria new shop --app recommend` makes one; flags stand above it.
    """
    from noria.apps.serving import Models, open_recommend

    flags = {"model": model, "items": items, "ranker": ranker, "beside": beside, "console": console}
    told = ShopSettings.given(file, **flags, shelf=shelf, server=settings)
    needed("MODEL", told.model)
    models = Models()
    return serve_application(
        open_recommend(told, models, most=most, note=print_note), models, told.server, told.console
    )


@app.command(name="import")
def import_clicks(
    clicks: Path | None = None,
    *,
    items: Path | None = None,
    tenant: str = "",
    columns: Annotated[dict[str, str] | None, Parameter(name="columns")] = None,
    file: SettingsFile = None,
    settings: Place = PlaceSettings(),
) -> None:
    """Bring a log of what users did, from before there was a server, into its lake: they are known from the next start on.

    The same log may be imported again, longer: what is there already is left. What cannot be used is counted, with the reason.

    Examples::

        noria ship recommend import clicks.csv --items products.csv --lake runs/lake
        noria ship recommend import orders.xlsx --columns.user buyer --columns.item sku
        noria ship recommend import --settings shop.toml

    Parameters
    ----------
    clicks
        A file of user, item, time and, where there are such, kind and value, in any format of rows.
    items
        File of the items; deeds on others are left out. All count without one.
    tenant
        Id of the key under which these users will be asked for, where users of different keys are different people.
    columns
        Name of the column of user, item, time, kind or value, where it tells nothing of it.
    file
        A shop's file of settings; flags stand above it.
    """
    import time

    from noria.apps.recommend.importing import import_deeds
    from noria.server.meter import read_secret
    from noria.tasks.deeds import clean, read_deeds

    told = ShopSettings.given(file, clicks=clicks, items=items, server=settings)
    log, now = needed("CLICKS", told.clicks), time.time()
    deeds = read_deeds(log, columns, lambda seen: print_note(f"{log}: {for_terminal(seen)}"))
    known = [item.id for item in _items(told.items)] if told.items else None
    kept, aside = clean(deeds, known, now)
    for rule, count in aside.items():
        print_note(f"{log}: {for_terminal(message(f'recommend.rule.{rule}', count=count))}")
    lake = told.server.lake
    count = import_deeds(lake, kept, read_secret(lake / "server"), tenant=tenant, now=now)
    print_message(message("lines.imported", count=count, users=len(set(kept.user.tolist())), lake=lake))


@app.command
def judge(
    model: Path | None = None,
    items: Path | None = None,
    *,
    ranker: Path | None = None,
    out: Path | None = None,
    shelf: ShelfFlags = RecommendSettings(),
    policy: Annotated[PolicySettings, Parameter(name="policy")] = PolicySettings(),
    file: SettingsFile = None,
    settings: Place = PlaceSettings(),
) -> None:
    """Say what another ranking, or other settings, would have brought, without showing it to anybody: from what the live one showed.

    A share of the places is left to chance, with a probability that is written down; so clicks can be weighed for any other ranking.

    Examples::

        noria ship recommend judge --settings shop.toml --shelf.memory 0.5
        noria ship recommend judge runs/demo/embed-served products.csv --ranker runs/ranker-2 --lake runs/lake
        noria ship recommend judge --settings shop.toml --out decisions.csv

    Parameters
    ----------
    model
        Folder of the model for the task embed.
    items
        File of items, as it is served.
    ranker
        Folder of the ranker that is judged; that of --settings unless told, texts alone without any.
    out
        Write the decisions there, as CSV, for `noria grow promote policy`.
    file
        A shop's file of settings; flags stand above it.
    """
    from noria.apps.recommend.judging import replay
    from noria.apps.recommend.states import key_of
    from noria.grow.promote.offpolicy import judge as judged

    told = ShopSettings.given(file, model=model, items=items, ranker=ranker, shelf=shelf, server=settings)
    per_key = told.shelf.per_key
    opened = _shelf(told)
    decisions = replay(told.server.lake, opened, lambda tenant, user: key_of(tenant if per_key else "", user))
    if decisions.gone:
        print_note(message("lines.items_gone", count=decisions.gone))
    if out:
        _write_rows(out, decisions.columns())
    found = judged(_logged(decisions, str(told.server.lake)), policy)
    lines = [*(figure.text(environment_language()) for figure in found.figures()), for_terminal(found.text())]
    printed(found.as_dict(), partial(print, *lines, sep="\n"))


@app.command
def renew(
    *,
    renewal: Annotated[RenewalSettings, Parameter(name="*")] = RenewalSettings(),
    training: Annotated[RecommendTraining, Parameter(name="training")] = RecommendTraining(),
    file: SettingsFile = None,
    settings: Place = PlaceSettings(),
    dry_run: DryRun = False,
) -> int:
    """Learn anew from what users did, and make it live where it is better: one step of the loop, for every night.

    With no trial under way a ranker learns from the lake, is judged beside the
    live one on what was held out, and is tried on a share of the users where it
    is better. With a trial under way the clicks of those who have it are held
    against the others': it is made live, goes on, or is over. A server of the
    lake takes it up within seconds, or at its next start.

    Examples::

        noria ship recommend renew --settings shop.toml
        noria ship recommend renew --settings shop.toml --share 0.1 --days 14
        noria ship recommend renew --settings shop.toml --share 0 --training.minutes 10

    Parameters
    ----------
    file
        A shop's file of settings: its items, model, ranker and lake.
    """
    from noria.api.renewing import renew as step

    told = ShopSettings.given(file, server=settings)
    if dry_run:
        folder = told.server.lake / "apps" / "recommend" / "rankers"
        whole = {"lake": told.server.lake, "model": told.model, "ranker": told.ranker}
        return dry.show(dry.Plan({"items": told.items}, whole, folder, training.minutes))
    found = step(told, renewal, training, report())
    facts = {"outcome": found.outcome, "folder": str(found.folder), "line": found.line.both(), **found.facts}
    return printed(facts, lambda: print(for_terminal(found.line)))


@app.command
def export(
    users: Path,
    *,
    out: Path,
    count: Count = 20,
    server: str = f"http://{ServerSettings().host}:{ServerSettings().port}",
    key: Annotated[str, Parameter(env_var="NORIA_KEY")] = "",
    explain: Flag = False,
    dry_run: DryRun = False,
) -> None:
    """Write lists for many users to a file, for a mail or another system. Nothing counts as shown: send what was to POST /v1/events.

    Examples::

        noria ship recommend export users.csv --out lists.csv --key $KEY
        noria ship recommend export users.csv --out lists.jsonl --count 10 --explain

    Parameters
    ----------
    users
        A file with a column user, or whose first column names the users.
    out
        The file to write: a row for each user and place; JSON Lines where it ends so, else CSV.
    count
        Items for each user.
    server
        Address of the server that recommends.
    key
        A key of the server: users are those of this key.
    explain
        Say of each item why it is there, in this terminal's language.
    """
    names = _users(users)
    if dry_run:
        asked = message("dry.lists", server=server, users=len(names), count=count)
        dry.show(dry.Plan({"users": users}, out=out, sends=asked))
        return
    rows: dict[str, list[Any]] = {name: [] for name in ("user", "place", "item", "title", "score", "why")}
    if explain:
        rows["reason"] = []
    for first in range(0, len(names), USERS_AT_ONCE):
        body = {"users": names[first : first + USERS_AT_ONCE], "count": count, "explain": explain}
        for one in request(f"{server}/v1/apps/recommend/picks", key, body)["users"]:
            for place, pick in enumerate(one["picks"], 1):
                found = {
                    "user": one["user"],
                    "place": place,
                    "item": pick["item"]["id"],
                    "title": pick["item"]["title"],
                }
                found |= {"score": pick["score"], "why": pick["why"]}
                if explain:
                    found["reason"] = pick["reason"][environment_language()]
                for name, value in found.items():
                    rows[name].append(value)
    _write_rows(out, rows)
    print_message(message("lines.exported", users=len(names), rows=len(rows["user"]), out=out))


def _items(path: Path | None) -> Any:
    from noria.tasks.items import read_items

    return read_items(path, None, print_note) if path else ()


def _shelf(shop: ShopSettings) -> Shelf:
    """Return a shelf that ranks as the settings say, of all that the server offers, and that knows nobody."""
    import asyncio

    from noria.apps.embedding import file_of, kept
    from noria.apps.recommend.routes import Recommend, on_offer
    from noria.apps.recommend.shelf import Shelf
    from noria.core.folder import read_manifest
    from noria.infer.recommend import Ranker
    from noria.tasks.items import LEAD

    from .review import embedding

    model, lake = needed("MODEL", shop.model), shop.server.lake
    items = list(on_offer(lake, {item.id: item for item in _items(shop.items)}).values())
    identity = read_manifest(model).identity()[:12]
    file = file_of(lake, Recommend.name, identity)

    async def vectors_by(embed: Embed) -> np.ndarray:
        return await kept(file, embed)([item.described[:LEAD] for item in items])

    with embedding(model) as embed:
        vectors = asyncio.run(vectors_by(embed))
    shelf = Shelf(shop.shelf, Ranker.open(shop.ranker) if shop.ranker else None)
    shelf.put(items, vectors, encoder=identity)
    return shelf


def _logged(decisions: Decisions, source: str) -> Logged:
    import numpy as np

    from noria.grow.promote.offpolicy import Logged

    columns = decisions.columns()
    _, users = np.unique(columns["user"], return_inverse=True)
    reward, propensity, target, expected, hoped = (
        np.array(columns[name]) for name in ("reward", "propensity", "target", "expected", "expected_target")
    )
    return Logged(users, reward, propensity, target, expected, hoped, source=source)


def _users(path: Path) -> list[str]:
    from noria.core.errors import RowError
    from noria.text.records import read_records

    names: dict[str, None] = {}
    for _, record in read_records(path):
        if isinstance(record, RowError):
            raise record
        value = record.get("user", next(iter(record.values()), None))
        if value not in (None, ""):
            names[str(value)] = None
    if not names:
        raise InputError(message("commands.no_users"), found=str(path))
    return list(names)


def _write_rows(out: Path, columns: dict[str, list[Any]]) -> None:
    """Write columns as rows, whole or not at all."""
    import csv

    from noria.core.folder import new_file

    rows = zip(*columns.values(), strict=True)
    with new_file(out) as part, part.open("w", encoding="utf-8", newline="") as stream:
        if out.suffix in (".jsonl", ".ndjson"):
            for row in rows:
                stream.write(dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False) + "\n")
            return
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(rows)
