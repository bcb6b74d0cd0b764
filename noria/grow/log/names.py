"""Names as people write them: spellings that mean one name, and words that stand for nobody: null, anonymous, guest, 匿名.

one_spelling(Counter({"Control": 50, "control ": 50, "B": 9}))     # {'Control': 'Control', 'control ': 'Control', 'B': 'B'}
nobody_sql(connection, "parsed", keep=("guest",))     # SQL of whether "user" is such a word
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend

_WORDS = (
    "null",
    "none",
    "nan",
    "nil",
    "n/a",
    "na",
    "n.a.",
    "#n/a",
    "undefined",
    "unknown",
    "anonymous",
    "anon",
    "guest",
    "empty",
    "blank",
    "missing",
    "not set",
    "no user",
    "nobody",
    "not logged in",
)
_BRACKETS = ("{}", "({})", "<{}>", "[{}]", "{{{}}}", "'{}'", '"{}"', "`{}`")
NO_IDS = (
    *(form.format(word) for form in _BRACKETS for word in _WORDS),
    "\\n",
    "-",
    "--",
    "---",
    "?",
    "''",
    '""',
    "()",
    "[]",
    "{}",
    "0",
    "0.0",
    "-1",
    "00000000-0000-0000-0000-000000000000",
    "00000000000000000000000000000000",
)
"""What is written where an act has no id, or no amount, in small letters; two such ids are no copies of one another."""
PLACEHOLDERS = (
    *NO_IDS,
    "anonymous user",
    "anonymous_user",
    "anonymous-user",
    "anonymoususer",
    "unknown user",
    "unknown_user",
    "guest user",
    "guest_user",
    "no_user",
    "unregistered",
    "logged out",
    "匿名",
    "匿名用户",
    "匿名访客",
    "未知",
    "未知用户",
    "游客",
    "访客",
    "游客用户",
    "未登录",
    "未注册",
    "未登录用户",
    "空",
    "空值",
    "无",
    "缺失",
)
"""What is written where nobody is known, in small letters."""
_DISGUISED = "[\\x{FF01}-\\x{FF5E}\\x{00A0}\\x{1680}\\x{2000}-\\x{200F}\\x{2010}-\\x{2015}\\x{202F}\\x{205F}\\x{2060}\\x{3000}\\x{FEFF}]"
"""Marks of full width, blanks and dashes of other kinds, and what nobody sees: a name with one may be a word for nobody."""
_DASHES = dict.fromkeys(range(0x2010, 0x2016), "-")


def literal(text: str) -> str:
    """Return a text as SQL has it."""
    return "'" + text.replace("'", "''") + "'"


def word_list(words: Sequence[str]) -> str:
    """Return words as a list of SQL, without the brackets around it."""
    return ", ".join(literal(word) for word in words)


def placeholder_sql(connection: Backend, parsed: str, keep: tuple[str, ...]) -> str:
    """Return the SQL that tells whether a user is a word for nobody. A zero is a user among users numbered without a gap from it."""
    kept = {word.strip().lower() for word in keep}
    words = [word for word in PLACEHOLDERS if word not in kept]
    if "0" in words and numbered_from_zero(connection, parsed):
        words = [word for word in words if word not in ("0", "0.0")]
    found = connection.con.execute(
        f'SELECT DISTINCT lower("user") FROM "{parsed}" WHERE regexp_matches("user", \'{_DISGUISED}\') AND length("user") <= 48'
    )
    bare = {*words, ""}
    words += [name for (name,) in found.fetchall() if name not in words and _undisguised(name) in bare]
    return f'lower("user") IN ({word_list(words)})' if words else "false"


def _undisguised(name: str) -> str:
    return plain(name.translate(_DASHES))


def numbered_from_zero(connection: Backend, parsed: str) -> bool:
    """Return whether users are the numbers from 0 on, each of them there."""
    run = connection.con.execute
    if not run(f"SELECT 1 FROM \"{parsed}\" WHERE \"user\" IN ('0', '0.0') LIMIT 1").fetchone():
        return False
    found = run(
        f'SELECT count(DISTINCT "user"), max(TRY_CAST("user" AS BIGINT)) FROM "{parsed}" WHERE TRY_CAST("user" AS BIGINT) >= 0'
    ).fetchone()
    return bool(found and found[1] and found[0] == found[1] + 1)


def plain(name: str) -> str:
    """Return a name without what cannot be meant by it; a whole number written with a point is the whole number."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    seen = "".join(mark for mark in folded if unicodedata.category(mark) != "Cf")
    told = " ".join(seen.split())
    return re.sub(r"^(-?\d+)\.0+$", r"\1", told)


def one_spelling(names: Mapping[str, int]) -> dict[str, str]:
    """Return for each name the spelling to use: of those that are alike the most frequent, and the first of equals.

    Args:
        names: name -> how often it stands, in order of appearance.
    """
    chosen: dict[str, str] = {}
    for name, count in names.items():
        key = plain(name)
        if key not in chosen or count > names[chosen[key]]:
            chosen[key] = name
    return {name: _trimmed(chosen[plain(name)]) for name in names}


def alike(spelling: Mapping[str, str]) -> dict[str, list[str]]:
    """Return each spelling in use with the others that were joined to it, where there are any but outer blanks."""
    groups: dict[str, list[str]] = {}
    for name, used in spelling.items():
        if name != used:
            groups.setdefault(used, []).append(name)
    return groups


def _trimmed(name: str) -> str:
    seen = "".join(mark for mark in name if unicodedata.category(mark) != "Cf")
    return " ".join(seen.split())
