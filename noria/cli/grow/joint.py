"""`noria grow forecast --of rivals | generations`: series that act on one another, for people and as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.core.messages import Message, for_terminal
from noria.grow.settings import ForecastSettings, JointSettings, MarketSettings

from .backtested import print_tested, tested, verdict_of
from .shown import print_json, print_table, write_parquet

if TYPE_CHECKING:
    from noria.core.figure import Figure
    from noria.grow.forecast.joint.several import JointStudy

TITLES = {
    "rivals": "what each does to another's growth, at its latest size",
    "generations": "p and q a period, and what each generation adds to the market",
}


def several(
    where: Path | None,
    what: ForecastSettings,
    settings: MarketSettings,
    joint: JointSettings,
    out: Path | None,
    json: bool,
) -> int:
    """Show who acts on whom, how good such forecasts were, and what may come."""
    from noria.core.errors import InputError
    from noria.grow.forecast.joint.several import amounts_of
    from noria.grow.series.series import read_series

    if where is None:
        raise InputError(f"a forecast of {what.of} needs a series", hint="name a CSV or Parquet file of points")
    if joint.effort:
        from noria.core.errors import SettingError

        raise SettingError("an effort speeds a flow up", found=f"--of {what.of}", allowed="--of flow")
    history = amounts_of(read_series(where), settings.measure, settings.market, joint.take)
    facts: dict[str, Any] = {
        "horizon": settings.horizon,
        "holdout": settings.holdout,
        "model": what.curve,
        "draws": settings.draws,
        "seed": settings.seed,
    }
    told: dict[str, Any] = {}
    if what.of == "rivals":
        from noria.grow.forecast.joint.rivals import study_rivals

        found = study_rivals(history, method=joint.method, **facts)
        figures, notes, ahead = found.rivals.effects(), list(found.notes()), found.ahead
    else:
        from noria.grow.forecast.joint.succession import by_launch, study_generations

        generations = study_generations(by_launch(history, joint.launch, apart=joint.apart), **facts)
        figures, notes, ahead = generations.generations.figures(), [], generations.ahead
        told["launches"] = generations.launches
    notes = [*(flag.text() for flag in history.flags), *notes]
    rows = _rows(ahead)
    if out:
        write_parquet(rows, out)
    said = verdict_of(ahead.backtest, ahead.silence)
    if json:
        return print_json(
            {
                "of": what.of,
                "unit": ahead.history.unit,
                "source": ahead.history.provenance.text(),
                "entities": list(ahead.history.names),
                **told,
                "figures": [figure.as_dict() for figure in figures],
                "model": ahead.model,
                "forecast": rows,
                **tested(ahead.backtest),
                "verdict": said.both(),
                "notes": [note.both() for note in notes],
            }
        )
    _print(ahead, figures, TITLES[what.of], rows, said, settings.draws)
    if "launches" in told:
        print("  launched: " + ", ".join(f"{name} {time}" for name, time in told["launches"].items()))
    for note in notes:
        print(f"  {for_terminal(note)}")
    return 0


def _rows(ahead: JointStudy) -> list[dict[str, Any]]:
    low, high = ahead.interval(0.9)
    middle = ahead.median()
    return [
        {
            "time": time,
            "entity": name,
            "median": float(middle[row, column]),
            "low": float(low[row, column]),
            "high": float(high[row, column]),
            "level": 0.9,
            "unit": ahead.history.unit,
        }
        for row, time in enumerate(ahead.times)
        for column, name in enumerate(ahead.history.names)
    ]


def _print(
    ahead: JointStudy, figures: list[Figure], title: str, rows: list[dict[str, Any]], said: Message, draws: int
) -> None:
    from noria.grow.series.calendars import calendar_of

    history = ahead.history
    print(
        f"{', '.join(history.names)}, {history.unit}: {history.provenance.text()}, "
        f"{len(history.times)} periods from {history.times[0]} to {history.times[-1]}, "
        f"{for_terminal(calendar_of(history.times).text())}"
    )
    print_tested(ahead.backtest, said)
    print(f"{title}, 90 % intervals:")
    print_table(
        [
            {
                "what": figure.name,
                "value": figure.value,
                "low": figure.low,
                "high": figure.high,
                "n": figure.n,
                "note": figure.note or None,
            }
            for figure in figures
        ],
        ["what", "value", "low", "high", "n", "note"],
    )
    end = ahead.times[-1]
    print(f"{ahead.model}, {end}, median and 90 % interval of {draws:,} draws, none below zero:")
    print_table([row for row in rows if row["time"] == end], ["entity", "median", "low", "high"])
