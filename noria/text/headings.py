"""A column found by its heading: names as people and programs write them, looked at without case, unit and what joins their words.

heading_named("item|item id|商品编号", ["用户ID", "商品编号", "时间"])      # "商品编号"
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

_BRACKETS = re.compile(r"\s*[(（\[【<《].*$")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def bare_name(name: str) -> str:
    """Return the name of a column without its case, its unit in brackets, and what joins its words.

    >>> bare_name("InvoiceDate"), bare_name("customer_ID"), bare_name("金额（万元）")
    ('invoice date', 'customer id', '金额')
    """
    folded = _BRACKETS.sub("", _CAMEL.sub(" ", unicodedata.normalize("NFKC", name)))
    return " ".join(re.sub(r"[\s_.\-]+", " ", folded).split()).casefold()


def heading_named(known: str, header: Iterable[str], taken: Iterable[str] = (), endings: Sequence[str] = ()) -> str:
    """Return the column that bears one of some names; "" where none does, or several equally.

    Args:
        known: the names between bars, those that are meant most surely first.
        header: all names of the table.
        taken: those that hold something else.
        endings: last words of names of which there may be any number: a name is taken by one where it is the only one.
    """
    free = {name: bare_name(name) for name in header if name and name not in set(taken)}
    for one in known.split("|"):
        found = [name for name, bare in free.items() if bare in (one, one.replace(" ", ""))]
        if found:
            return found[0] if len(found) == 1 else ""
    found = [name for name, bare in free.items() if _ends(bare, endings)]
    return found[0] if len(found) == 1 else ""


def _ends(bare: str, endings: Sequence[str]) -> bool:
    return any(bare.split()[-1:] == [one] if one.isascii() else bare.endswith(one) for one in endings)
