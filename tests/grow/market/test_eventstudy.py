"""Event studies: effects put in are found, none are found where none are, and trends of before are told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from markets import measured

from noria.core.errors import InputError, RowError, SettingError
from noria.grow.market.drivers.eventstudy import MarketEvent, event_study, read_happenings
from noria.grow.market.share import Shares, shares


def market_of(seed: int, lift: float = 0.0, trend: float = 0.0, entities: int = 7, periods: int = 30) -> Shares:
    """Return a simulated market in which something happens to e2 in the sixteenth period."""
    random = np.random.default_rng(seed)
    pull = np.log(np.linspace(2, 5, entities)) + random.normal(0, 0.05, (periods, entities))
    pull[15:, 2] += lift
    pull[11:, 2] += trend * np.minimum(np.arange(periods - 11), 8)
    parts = np.exp(pull)
    return shares(measured({"share": parts / parts.sum(1, keepdims=True)}, {"share": "share"}))


EVENT = [MarketEvent("e2", "2021-04", "release")]


def test_an_effect_is_found_with_its_size() -> None:
    study = event_study(market_of(1, lift=0.5), EVENT, window=4)
    assert study.effect.identified
    assert study.effect.low is not None
    assert study.effect.high is not None
    assert study.effect.low < 0.5 < study.effect.high
    assert study.effect.low > 0.3
    assert study.effect.p is not None
    assert study.effect.p < 0.05
    assert study.offsets == tuple(range(-4, 5))
    assert study.path[:4].mean() == pytest.approx(0, abs=1e-12)
    assert study.placebos > 100


def test_no_effect_is_found_no_more_often_than_by_chance() -> None:
    told = sum(event_study(market_of(seed), EVENT).effect.verdict["en"].startswith("goes with") for seed in range(100))
    assert told <= 12  # 5 of 100 by the level, with room for chance


def test_a_trend_of_before_is_no_effect() -> None:
    study = event_study(market_of(3, trend=0.15), EVENT, window=4)
    assert study.before_p is not None
    assert study.before_p < 0.1
    assert "already moving before the event" in study.effect.verdict["en"]
    assert study.effect.as_dict()["value"] is None


def test_several_events_are_averaged() -> None:
    market = market_of(4, lift=0.4)
    study = event_study(
        market, [*EVENT, MarketEvent("e5", "2020-02"), MarketEvent("e1", "2021-09")], window=3, repeats=499
    )
    assert [item.entity for item in study.used] == ["e2", "e1"]
    assert study.skipped[0][1]["en"] == "its window reaches beyond the series"
    assert study.effect.n == 2
    assert study.effect.value == pytest.approx(0.2, abs=0.1)


def test_a_short_market_cannot_tell() -> None:
    study = event_study(market_of(5, lift=0.5, entities=3, periods=18), [MarketEvent("e2", "2021-03")], window=3)
    assert not study.effect.identified or study.placebos >= 19
    short = event_study(market_of(5, entities=3, periods=9), [MarketEvent("e2", "2020-05")], window=3)
    assert "placebo events are possible" in short.effect.verdict["en"]
    with pytest.raises(InputError, match="no event has a whole window"):
        event_study(market_of(5, periods=9), [MarketEvent("e2", "2020-01")])
    with pytest.raises(SettingError, match="unknown entity"):
        event_study(market_of(5), [MarketEvent("e99", "2020-05")])
    with pytest.raises(SettingError, match="unknown time"):
        event_study(market_of(5), [MarketEvent("e1", "2019-05")])
    with pytest.raises(InputError, match="nothing happened"):
        event_study(market_of(5), [])


def test_the_chatbots(chatbots: Shares) -> None:
    study = event_study(chatbots, [MarketEvent("Google Gemini", "2025-11", "Gemini 3")], window=3)
    assert study.placebos >= 10
    # Copilot's tracking began in the series: its break is in no window.
    with pytest.raises(InputError, match="a break lies in its window"):
        event_study(chatbots, [MarketEvent("Microsoft Copilot", "2025-07")], window=3)


def test_a_file_of_events(tmp_path: Path) -> None:
    file = tmp_path / "events.csv"
    file.write_text("# 发布\ntime,entity,name\n\n2025-08,ChatGPT,GPT-5\n2025-09,Claude,\n", encoding="utf-8-sig")
    assert read_happenings(file) == [MarketEvent("ChatGPT", "2025-08", "GPT-5"), MarketEvent("Claude", "2025-09", "")]
    file.write_text("# 发布\ntime,entity\n\n2025-08,\n", encoding="utf-8")
    with pytest.raises(RowError, match="line 4, field 'entity': empty"):
        read_happenings(file)
    file.write_text("when,who\n", encoding="utf-8")
    with pytest.raises(InputError, match="lacks columns of events: found 'when, who'"):
        read_happenings(file)
    file.write_bytes("time;entity;name\r\n2025/8;模型的发布;“好”\r\n".encode("gb18030"))
    assert read_happenings(file) == [MarketEvent("模型的发布", "2025-08", "“好”")]
    with pytest.raises(InputError, match="no such file of events"):
        read_happenings(tmp_path / "none.csv")
