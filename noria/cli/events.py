"""`noria ship events`: seal finished days, reconcile outbox and lake, keep what may be kept, remove a user, migrate."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from noria.core.errors import InputError
from noria.core.messages import for_terminal, message
from noria.server.http.settings import ServerSettings

from .manners import Commands, DryRun, print_message, printed

if TYPE_CHECKING:
    from noria.lake.erase import Receipt

app = Commands(
    name="events",
    help="""What a server's users did: sealed, reconciled, kept as long as it may be, removed on request.

    All of these may run beside the server.

    Examples::

        noria ship events reconcile --lake runs/lake             acknowledged = outboxes + lake + removed
        noria ship events erase 小王 --lake runs/lake            one user's data, with a receipt
        noria ship events keep --days 400 --text-days 90         whole days, and texts, past their time
    """,
)
Lake = Annotated[Path, Parameter(help="The server's lake.")]
_LAKE = ServerSettings().lake


@app.command
def seal(*, lake: Lake = _LAKE, today: Annotated[bool, Parameter(negative="")] = False) -> None:
    """Move the events of finished days into Parquet files, as the server does by itself every few minutes.

    Examples::

        noria ship events seal --lake runs/lake
        noria ship events seal --today           today's events so far, too

    Parameters
    ----------
    today
        Take today's events so far, too; later ones make files of their own.
    """
    from noria.lake.outbox import everything
    from noria.lake.read import check_lake
    from noria.lake.seal import seal_all

    files = seal_all(check_lake(lake), everything() if today else datetime.now(UTC))
    print_message(message("lines.files_sealed", files=files))


@app.command
def reconcile(*, lake: Lake = _LAKE, told: Path | None = None) -> int:
    """Check that every event acknowledged lies in an outbox or in the lake, or was removed on purpose; else exit with 3.

    Examples::

        noria ship events reconcile --lake runs/lake
        noria ship events reconcile --told ids.txt --json

    Parameters
    ----------
    told
        A file of ids, one a line, that clients were told (`x-request-id`): each must be there.
    """
    from noria.lake.read import check_lake
    from noria.lake.reconcile import reconcile as reconcile_lake
    from noria.text.encoding import decoded

    if told is not None and not told.is_file():
        raise InputError(message("commands.such_file"), found=str(told), allowed=message("commands.text_file"))
    ids = decoded(told.read_bytes(), told).split() if told else ()
    reconciled = reconcile_lake(check_lake(lake), ids)
    printed(reconciled.as_dict(), lambda: print(reconciled.text()))
    return 0 if reconciled.exact else 3


@app.command
def keep(
    *,
    days: Annotated[int | None, Parameter(negative="")] = None,
    text_days: Annotated[int | None, Parameter(negative="")] = None,
    lake: Lake = _LAKE,
    dry_run: DryRun = False,
) -> None:
    """Remove events older than so many days, and what was said in them sooner; write a receipt.

    Examples::

        noria ship events keep --days 400 --text-days 90 --lake runs/lake
        noria ship events keep --days 400 --dry-run              how many that would be

    Parameters
    ----------
    days
        Whole UTC days that events are kept.
    text_days
        Whole UTC days that texts of users who consented are kept.
    """
    from noria.lake.erase import keep_days
    from noria.lake.preview import would_keep

    for name, value in (("--days", days), ("--text-days", text_days)):
        if value is not None and value < 0:
            raise InputError(message("commands.allowed", name=name), found=value, allowed=message("commands.more"))
    if days is None and text_days is None:
        raise InputError(message("commands.nothing_remove"), allowed=message("commands.days_text"))
    _print_receipt((would_keep if dry_run else keep_days)(lake, days=days, text_days=text_days))


@app.command
def erase(
    user: str,
    *,
    lake: Lake = _LAKE,
    pseudonym: Annotated[bool, Parameter(negative="")] = False,
    inbox: Path | None = None,
    dry_run: DryRun = False,
) -> None:
    """Remove all events of one user, those of others about them, conversations, and texts that a watch kept; write a receipt.

    Files that held any are written anew. Rows collected for training before keep theirs: collect them again.

    Examples::

        noria ship events erase 小王 --lake runs/lake
        noria ship events erase 5f0c2a91b7d3e644 --pseudonym
        noria ship events erase 小王 --dry-run                      how much that would be; nothing is removed
        noria ship events erase 小王 --inbox sources.inbox       an author whose texts noria ship watch read

    Parameters
    ----------
    user
        The user's name, as the applications sent it.
    pseudonym
        `user` is the pseudonym that stands in the events.
    inbox
        Folder of an inbox of noria ship watch, where its authors got their first pseudonym; their texts that wait there go, too.
    """
    from noria.apps.monitor.sources.inbox import forget_author
    from noria.lake.erase import erase_user
    from noria.lake.event import pseudonym as pseudonym_of
    from noria.lake.preview import would_erase
    from noria.lake.read import check_lake
    from noria.server.meter import read_secret

    if not user:
        raise InputError(message("commands.user_named"), hint=message("commands.events_without"))
    check_lake(lake)
    for folder in (lake / "server", *([inbox] if inbox else ())):
        if not pseudonym and not (folder / "secret").is_file():
            raise InputError(
                message("commands.lake_secret"),
                found=str(folder / "secret"),
                hint=message("commands.name_pseudonym"),
            )
    erase = would_erase if dry_run else erase_user
    if pseudonym:
        _print_receipt(erase(lake, user))
        return
    names = [user]
    if inbox:
        names.append(pseudonym_of(user, read_secret(inbox)))
        if not dry_run:
            forget_author(inbox, names[-1])
    for name in names:
        _print_receipt(erase(lake, pseudonym_of(name, read_secret(lake / "server"))))


@app.command
def migrate(*, lake: Lake = _LAKE) -> None:
    """Bring a lake that an older Noria wrote up to the present schema; it can be read without, too.

    Examples::

        noria ship events migrate --lake runs/lake
    """
    from noria.lake.erase import migrate as migrate_lake
    from noria.lake.event import SCHEMA

    files = migrate_lake(lake)
    print_message(message("lines.sealed_files", files=files, schema=SCHEMA))


def _print_receipt(receipt: Receipt) -> None:
    printed(asdict(receipt), lambda: print(for_terminal(receipt.text())))
