"""`noria grow`: what each command prints, writes and refuses."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from noria.cli.main import main


@pytest.fixture
def purchases(tmp_path: Path) -> Path:
    path = tmp_path / "purchases.csv"
    lines = [f"c{number % 5},2026-0{1 + number // 20}-{1 + number % 20:02d},{number}" for number in range(60)]
    path.write_text("\n".join(["customer,time,value", "c1,nonsense,1", *lines]) + "\n", encoding="utf-8")
    return path


def test_users_of_any_log(purchases: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "growth.parquet"
    assert main(["grow", "users", str(purchases), "--user", "customer", "--period", "week", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "60 acts of 5 users, 2026-01-01 to 2026-03-20" in said
    assert "1 row set aside: the time cannot be read (first at line 2: 'nonsense'; " in said
    assert "holds in all 12 periods" in said
    assert "no lifetime forecast: too short to hold half of it out" in said
    table = pq.read_table(out).to_pylist()
    assert [row["active"] for row in table][:2] == [4, 5]


def test_users_as_json(purchases: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grow", "users", str(purchases), "--user", "customer", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["users"] == 5
    assert told["defects"] == []
    assert [problem.split(";")[0] for problem in told["problems"]] == [
        "1 row set aside: the time cannot be read (first at line 2: 'nonsense'"
    ]
    assert told["growth"][0]["new"] == 4


@pytest.fixture
def visits(tmp_path: Path) -> Path:
    """Thirty users over half a year; those of an even number come back, and some of them pay."""
    lines = ["user,time,value,segment"]
    for user in range(30):
        for visit in range(1 + 6 * (user % 2 == 0)):
            day = date(2026, 1, 5) + timedelta(days=user + 17 * visit)
            lines.append(f"u{user},{day}T10:00:00Z,,look")
            if visit % 3 == 2:
                lines.append(f"u{user},{day}T11:00:00Z,{5 + user + visit},buy")
    path = tmp_path / "visits.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_users_in_depth(visits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = [
        "--by",
        "segment",
        "--retention",
        "rolling",
        "--funnel",
        "look > buy",
        "--funnel-days",
        "1",
        "--lapse-days",
        "30",
    ]
    assert main(["grow", "users", str(visits), *asked]) == 0
    said = capsys.readouterr().out
    assert "Retention, rolling, by week" in said
    assert "Funnel, ordered, within 1 days" in said
    assert "not lapsed after" in said
    assert "users asking for look 1 [" in said
    assert "referral is not measured: a log without kinds of events tells of no referral" in said
    assert main(["grow", "users", str(visits), *asked, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {row["segment"] for row in told["growth"]} == {"", "look", "buy"}
    assert told["defects"] == []
    assert [step["users"] for step in told["funnel"]["steps"]] == [30, 15]
    assert told["funnel"]["steps"][1]["median_hours"] == 1.0
    assert set(told["curves"]) == {"first", "recurring", "bracketed", "rolling"}
    assert sum(told["power"]["histogram"]) > 0
    assert {need["topic"] for need in told["needs"]} <= {"look", "buy"}


def test_one_user_on_one_day_gets_a_report_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "one.csv", tmp_path / "one.html"
    path.write_text("user,time\na,2026-01-05\n", encoding="utf-8")
    assert main(["grow", "users", str(path)]) == 0
    said = capsys.readouterr().out
    assert "1 acts of 1 users" in said
    assert "no survival curve: one.csv: no user was seen to lapse" in said
    assert "activation is not measured: no user was observed for 7 days" in said
    assert main(["grow", "report", str(path), "--out", str(out)]) == 0
    assert '<section id="habits"' in out.read_text(encoding="utf-8")


def test_report_tells_habits_and_worth(visits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "report.html"
    assert (
        main(
            [
                "grow",
                "report",
                str(visits),
                "--funnel",
                "look > buy",
                "--by",
                "segment",
                "--lapse-days",
                "30",
                "--series",
                "chatbots",
                "--out",
                str(out),
            ]
        )
        == 0
    )
    page = out.read_text(encoding="utf-8")
    for part in (
        '<section id="habits"',
        '<section id="worth"',
        '<section id="market"',
        "StatCounter",
        "“推荐”未测量",
        "Funnel, step by step",
        "停留多久",
    ):
        assert part in page
    assert "nan" not in page.split('<script type="application/json"')[0].lower().replace("finance", "")


def test_share_and_forecast_of_the_bundled_series(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grow", "share", "--out", str(tmp_path / "share.parquet")]) == 0
    said = capsys.readouterr().out
    assert "CC BY-SA 3.0" in said
    assert "not comparable with the time before" in said
    assert pq.read_table(tmp_path / "share.parquet").num_rows == 12
    assert main(["grow", "forecast", "--horizon", "2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {row["time"] for row in told["forecast"]} == {"2026-04", "2026-05"}
    assert {standing["model"] for standing in told["backtest"]} == {
        "persistence",
        "last-value",
        "drift",
        "attraction",
        "structural",
        "rivalry",
        "blend",
    }
    assert set(told["verdict"]) == {"en", "zh"}


def test_what_moved_the_shares(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grow", "share", "--decompose"]) == 0
    said = capsys.readouterr().out
    assert "within + mix + entry + exit = change: holds for all 7 names" in said
    assert "growth: not identified" in said
    assert "Kendall tau" in said
    assert main(["grow", "share", "--decompose", "--first", "2025-06", "--without", "Perplexity", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["decomposition"]["before"] == "2025-06"
    assert {"code": "rest", "time": "2026-03"}.items() <= next(
        flag for flag in told["flags"] if flag["time"] == "2026-03"
    ).items()


def test_a_series_of_several_bases_and_segments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "market.csv"
    lines = [
        f"{time},{name},{part},{base},{value},{base}"
        for time in ("2025", "2026")
        for place, name in enumerate("甲乙")
        for part in ("bank", "shop")
        for base, value in (("revenue", 10 + 5 * place), ("users", 100 + 10 * (time == "2026") * place))
    ]
    head = ["# source: made", "# licence: CC0", "# as_of: 2026-06-30", "time,entity,segment,measure,value,unit"]
    path.write_text("\n".join([*head, *lines]) + "\n", encoding="utf-8")
    assert main(["grow", "share", str(path), "--measure", "users", "--decompose"]) == 0
    said = capsys.readouterr().out
    assert "in 2 segment(s)" in said
    assert "growth = market x share" in said
    assert main(["grow", "share", str(path)]) == 0
    said = capsys.readouterr().out
    assert "shares of 2026 on 2 bases, which are never mixed" in said
    assert main(["grow", "share", str(path), "--json"]) == 0
    told = {row["entity"]: row for row in json.loads(capsys.readouterr().out)["bases"]}
    assert told["乙"]["revenue"] == pytest.approx(0.6)
    assert told["乙"]["users"] == pytest.approx(110 / 210)
    assert main(["grow", "share", str(path), "--decompose"]) == 2
    assert "several measures" in capsys.readouterr().err
    assert main(["grow", "share", str(path), "--measure", "users"]) == 0
    assert "by segment, at its latest whole time" in capsys.readouterr().out
    lines = [
        f"2026,{name},{part},share of users,{value},percent"
        for part in ("bank", "shop")
        for name, value in (("甲", 60), ("乙", 40))
    ]
    path.write_text("\n".join([*head, *lines]) + "\n", encoding="utf-8")
    assert main(["grow", "share", str(path), "--out", str(tmp_path / "s.parquet")]) == 0
    said = capsys.readouterr().out
    assert "name one segment with --market" in said
    assert pq.read_table(tmp_path / "s.parquet").num_rows == 2
    assert main(["grow", "share", str(path), "--decompose"]) == 2
    assert "without the segments' sizes" in capsys.readouterr().err


RANGES = """industry,approach,factor,low,high,unit,source
bank,top-down,firms,100,200,firms,made
bank,top-down,spend,10,30,USD,made
bank,bottom-up,questions,2000,3000,USD,made
"""


def test_potential_and_position_alone(purchases: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ranges, out = tmp_path / "sizes.csv", tmp_path / "asked.parquet"
    ranges.write_text(RANGES, encoding="utf-8")
    assert main(["grow", "share", "--potential", str(ranges), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "market size, 90% of 20,000 draws" in said
    assert "what the range comes from" in said
    assert "bottom-up over top-down" in said
    assert {row["name"] for row in pq.read_table(out).to_pylist()} == {"top-down, bank", "bottom-up, bank"}
    log = tmp_path / "log.csv"
    log.write_text(
        "\n".join(["user,time,value", *(f"u{n % 30},2026-01-{1 + n % 28:02d},{n % 7}" for n in range(300))]),
        encoding="utf-8",
    )
    assert main(["grow", "share", "--position", str(log)]) == 0
    said = capsys.readouterr().out
    assert "segments of 30 users" in said
    assert "first in" in said
    assert main(["grow", "share", "--position", str(log), "--grouping", "clusters", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["position"][0]["reason"]["zh"]
    assert main(["grow", "share", "--position", str(purchases), "--user", "customer"]) == 2
    assert "too few users to be segmented: found 5" in capsys.readouterr().err


def test_drivers_and_events(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    happened = tmp_path / "events.csv"
    happened.write_text("time,entity,name\n2025-11,Google Gemini,Gemini 3\n", encoding="utf-8")
    assert main(["grow", "share", "--happenings", str(happened), "--window", "2"]) == 0
    said = capsys.readouterr().out
    assert "placebo events, p = " in said
    assert "placebo band" in said
    panel = tmp_path / "panel.csv"
    lines = [
        f"2025-{month:02d},e{name},{measure},{value},{unit}"
        for month in range(1, 13)
        for name in range(6)
        for measure, value, unit in (
            ("users", 100 + (7 * month * name) % 23, "users"),
            ("price", 3 + (month * (name + 2)) % 5, "USD"),
            ("age", name + 1, "years"),
        )
    ]
    head = ["# source: made", "# licence: CC0", "# as_of: 2026-06-30", "time,entity,measure,value,unit,segment"]
    panel.write_text("\n".join([*head, *(f"{line}," for line in lines)]) + "\n", encoding="utf-8")
    assert main(["grow", "share", str(panel), "--measure", "users", "--driver", "price", "--driver", "age"]) == 0
    said = capsys.readouterr().out
    assert "wild cluster bootstrap" in said
    assert "it differs between entities but never changes" in said
    assert "association, not an experiment" in said
    assert main(["grow", "share", str(panel), "--driver", "price", "--json", "--form", "growth"]) == 2
    assert "what is to be explained was not named" in capsys.readouterr().err
    assert (
        main(
            ["grow", "share", str(panel), "--measure", "users", "--ceiling", "900", "1000", "--entity", "e3", "--json"]
        )
        == 0
    )
    assert json.loads(capsys.readouterr().out)["penetration"]["figures"][0]["n"] == 12


def test_forecast_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grow", "forecast", "--model", "persistence"]) == 0
    said = capsys.readouterr().out
    assert "persistence, 2026-09, median and 90 % interval of 2,000 draws that each sum to one" in said


@pytest.fixture
def sales(tmp_path: Path) -> Path:
    path = tmp_path / "sales.csv"
    values = [840, 1470, 2110, 4000, 7590, 10950, 10530, 9470, 7790, 5890]
    lines = [f"{1990 + year},phones,,sales,{value},units" for year, value in enumerate(values)]
    lines += [f"{1990 + year},radios,,sales,{100 * 1.5**year:.0f},units" for year in range(4)]
    head = [
        "# source: a teaching case",
        "# licence: facts",
        "# as_of: 2013-01-01",
        "time,entity,segment,measure,value,unit",
    ]
    path.write_text("\n".join([*head, *lines]) + "\n", encoding="utf-8")
    return path


def test_forecast_of_a_flow(sales: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "ahead.parquet"
    assert (
        main(
            ["grow", "forecast", str(sales), "--of", "flow", "--entity", "phones", "--out", str(out), "--horizon", "3"]
        )
        == 0
    )
    said = capsys.readouterr().out
    assert "Bass: The ceiling can be told" in said
    assert "2 independent origins of 8 wanted (4 in all)" in said
    rows = pq.read_table(out).to_pylist()
    assert [row["time"] for row in rows] == ["2000", "2001", "2002"]
    assert all(0 <= row["low"] <= row["median"] <= row["high"] for row in rows)
    assert (
        main(["grow", "forecast", str(sales), "--of", "flow", "--entity", "radios", "--curve", "bass", "--json"]) == 0
    )
    told = json.loads(capsys.readouterr().out)
    assert told["verdict"]["en"].startswith("no back-test: too few values to hold any out: found 4")
    assert told["curves"]["bass"]["figures"][2]["note"].startswith("not identified")


def test_forecast_of_users(purchases: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grow", "forecast", str(purchases), "--of", "users", "--user", "customer", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["forecast"][0]["time"].startswith("2026-03")  # by week: the log is too short for months
    assert {item["model"] for item in told["backtest"]} >= {"persistence", "blend"}
    assert sum(told["weights"].values()) == pytest.approx(1)


def test_room_for_newcomers_tells_their_pace(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grow", "forecast", "--newcomers", "--model", "blend"]) == 0
    said = capsys.readouterr().out
    assert "New rival" in said
    assert "entries a period 0 [0" in said


def test_report_of_any_log(purchases: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "report.html"
    assert main(["grow", "report", str(purchases), "--user", "customer", "--out", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    text = out.read_text(encoding="utf-8")
    assert '<section id="market"' not in text  # the bundled market is nobody's own, and was not asked for
    assert "ChatGPT" not in text
    assert '<section id="forecast"' in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["users", "none.csv"], "no such log: found 'none.csv'"),
        (["users", "--period", "decade"], "--period"),
        (["users", "."], "no lake of events there"),
        (["users", "a.csv", "--lake", "b"], "two logs were named"),
        (
            ["users", "--by", "sgment"],
            "unknown column to split by: found 'sgment'; allowed segment; did you mean segment?",
        ),
        (["users", "--funnel", "look"], "a funnel has two steps or more"),
        (["users", "--funnel", "hue=1 > look"], "unknown column of a step"),
        (["users", "mysql://db/shop"], "unknown kind of engine: found 'mysql'"),
        (["users", "--lapse-days", "0"], "--lapse-days is not allowed"),
        (["share", "none.csv"], "no such series"),
        (
            ["report", "purchases.csv", "--unlisted", "zero"],
            "what is asked of a market needs one: found '--unlisted'; allowed --series FILE, or --series chatbots",
        ),
        (["share", "--measure", "revenue"], "unknown measure"),
        (["share", "--decompose", "--first", "2019-01"], "no such time in the series"),
        (["share", "--without", "ChatGTP"], "did you mean ChatGPT?"),
        (["share", "--potential", "none.csv"], "no such file of ranges"),
        (["share", "--happenings", "none.csv"], "no such file of events"),
        (["share", "--driver", "price"], "unknown measure"),
        (["share", "--ceiling", "1", "2"], "penetration asks for users or use, not for shares"),
        (["forecast", "--horizon", "0"], "--horizon is not allowed: found '0'"),
        (["forecast", "--of", "level"], "a forecast of a level needs a series"),
        (["forecast", "none.csv", "--of", "flow"], "no such series"),
        (["forecast", "--model", "arima"], "--model"),
        (["forecst"], "forecast"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_2(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["grow", *arguments]) == 2
    said = capsys.readouterr().err.strip()
    assert message in said
    assert len(said.splitlines()) == 1
    assert said.startswith("noria: ")


def test_the_heads_of_a_table_are_told_in_chinese(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from noria.cli.grow.shown import print_table

    rows = [{"of_before": 0.5, "inside 90 %": "90%", "甲 A": 2}]
    print_table(rows, list(rows[0]))
    assert capsys.readouterr().out.split("\n")[0].split() == ["of_before", "inside", "90", "%", "甲", "A"]
    monkeypatch.setenv("NORIA_LANG", "zh")
    print_table(rows, list(rows[0]))
    assert capsys.readouterr().out.split("\n")[0].split() == ["占上一步", "90", "%", "区间内", "甲", "A"]


def many_names(rows: int = 28) -> tuple[list[str], list[list[str]]]:
    names = [f"claude-3-5-sonnet-2024{row:04d}" if row % 2 else f"深度求索对话模型第{row}版" for row in range(rows)]
    return ["time", *names], [[f"2026-{month:02d}", *["12.3%"] * rows] for month in (1, 2, 3)]


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_table_fits_the_terminal_and_nothing_is_cut(width: int) -> None:
    from rich.cells import cell_len

    from noria.cli.grow.shown import blocks

    heads, cells = many_names()
    found = blocks(heads, cells, width)
    assert len(found) > 1
    assert all(cell_len(line) <= width for block in found for line in block)
    for block in found:
        assert [line.split()[0] for line in block[-3:]] == ["2026-01", "2026-02", "2026-03"]
    assert sum(line.count("12.3%") for block in found for line in block) == 3 * 28
    upright = [[head, *(row[place] for row in cells)] for place, head in enumerate(heads[1:], 1)]
    (whole,) = blocks(["entity", "2026-01", "2026-02", "2026-03"], upright, 80)
    assert {cell_len(line) for line in whole} == {cell_len(whole[0])}  # East Asian letters are two cells wide
    assert not any("…" in line for line in whole)


def test_a_pipe_has_no_width_and_a_text_is_wrapped() -> None:
    from noria.cli.grow.shown import blocks

    heads, cells = many_names()
    (whole,) = blocks(heads, cells, None)
    assert len(whole) == 1 + len(cells)
    assert all(name in whole[0] for name in heads)
    why = "it was already moving before the event, and so nothing is identified"
    (wrapped,) = blocks(["driver", "effect", "meaning"], [["price", "0.1", why]], 50)
    assert max(map(len, wrapped)) <= 50
    assert " ".join(line[15:].strip() for line in wrapped[1:]) == why
    (short,) = blocks(["entity", "share"], [["a name that is far longer than the terminal is wide", "40.0%"]], 30)
    assert short[1].endswith("40.0%")
    assert "…" in short[1]
