"""Whose use of a lake is made up, as a demonstration's customers and a page's example readers are: what is told of it says so.

mark_simulated("runs/demo/lake", ["4f2a9c01"])
simulated_tenants("runs/demo/lake")          # {"4f2a9c01", "simulated"}
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from noria.core.folder import write_json

SIMULATED = "simulated"
"""Tenant of what pages try out with users that they make up."""
_FILE = "simulated.json"


def mark_simulated(lake: str | Path, tenants: Iterable[str]) -> None:
    """Keep that the use of some tenants is made up, beside those that were named before.

    Raises:
        ResourceError: the disk is full or cannot be written.
    """
    write_json(Path(lake) / _FILE, {"tenants": sorted({*simulated_tenants(lake), *tenants} - {SIMULATED})})


def simulated_tenants(lake: str | Path) -> frozenset[str]:
    """Return the tenants whose use is made up; of a file that is torn or missing the one that always is."""
    try:
        kept = json.loads((Path(lake) / _FILE).read_text(encoding="utf-8"))["tenants"]
    except (OSError, ValueError, KeyError, TypeError):
        kept = []
    return frozenset((SIMULATED, *(str(one) for one in kept)))
