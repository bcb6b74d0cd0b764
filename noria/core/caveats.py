"""What must be said wherever a model is named: seen too little, worse than its baseline, a label never said, an engine refused.

    for words in caveats(manifest.facts):
        report.ledger(f"but {words}")

From a model folder's facts alone, so that what trains, compresses, serves and shows a model says the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from .errors import FolderError
from .figure import Figure
from .folder import read_manifest
from .messages import joined, message, message_of, term

WHOLE = 0.995
"""Epochs from which a model counts as having seen all its rows once: the last batch of an epoch may be left out."""


def caveats(facts: Mapping[str, Any]) -> list[str]:
    """Return what a reader must know of a model before using it, each a clause that goes on after "but"."""
    return [words for words in (_untrained(facts), _leaked(facts), _beaten(facts), _dead(facts)) if words]


def caveats_of(folder: Path) -> list[str]:
    """Return the caveats of a model folder, and whether its faster engine was refused; none of a folder that is no model."""
    try:
        facts = read_manifest(folder).facts
        certificate = json.loads((folder / "certificate.json").read_text(encoding="utf-8"))
    except FolderError:
        return []
    except (OSError, ValueError):
        return caveats(facts)
    if not isinstance(certificate, dict) or certificate.get("passed") is not False:
        return caveats(facts)
    reasons = joined("join.clauses", certificate_texts(certificate)[1:] or [message("caveats.no_reason")])
    return [message("caveats.refused_engine", reasons=reasons), *caveats(facts)]


def _untrained(facts: Mapping[str, Any]) -> str:
    epochs = facts.get("epochs")
    if not isinstance(epochs, int | float) or epochs >= WHOLE:
        return ""
    return message("caveats.untrained.text" if "objective" in facts else "caveats.untrained.rows", epochs=epochs)


def _leaked(facts: Mapping[str, Any]) -> str:
    found = next((one for one in facts.get("leaks") or [] if one["set"] == "test"), None)
    if not found or not found["same"] + found["near"]:
        return ""
    return message("caveats.leaked", leaked=found["same"] + found["near"], rows=found["rows"])


def _beaten(facts: Mapping[str, Any]) -> str:
    verdict, metrics, baselines = (facts.get(name) for name in ("verdict", "metrics", "baseline"))
    if not metrics or not baselines or not str(verdict).endswith(" wins"):
        return ""
    # Of pretraining the last is the one to beat, of fine-tuning the first.
    main, baseline = Figure(**metrics[0]), Figure(**baselines[-1 if "objective" in facts else 0])
    return message(
        "caveats.beaten.text" if "objective" in facts else "caveats.beaten.rows",
        name=term(baseline.note or baseline.name),
        baseline=_short(main.name, baseline),
        model=_short("", main),
    )


def _dead(facts: Mapping[str, Any]) -> str:
    dead = [one for one in facts.get("by_label") or [] if one["support"] and not one["said"]]
    if not dead:
        return ""
    labels = (message("caveats.label", label=one["label"], support=one["support"]) for one in dead)
    return message("caveats.never_said", labels=joined("join.list", labels))


def _short(name: str, figure: Figure) -> str:
    return Figure(name, figure.value, figure.n, figure.low, figure.high, unit=figure.unit).text().strip()


def certificate_texts(certificate: Mapping[str, Any]) -> list[str]:
    """Return what a certificate's record says: its rule, then every reason why it was refused; messages where it kept their codes."""
    texts = [str(certificate.get("rule") or ""), *map(str, certificate.get("reasons") or [])]
    kept = certificate.get("messages") or []
    for place, one in enumerate(kept[: len(texts)]):
        if one:
            with suppress(KeyError):  # of a newer version: its English text stands
                texts[place] = message_of(one)
    return texts
