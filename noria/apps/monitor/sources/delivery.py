"""From the inbox to the monitor, over HTTP: batches under ids that count once, sent again until the monitor says that it has them.

delivery = Delivery("http://localhost:8400", key)
came = delivery.send(batch)          # what was counted, what was set aside and why; or NotDelivered, and the batch stays
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx

from noria.core.errors import InputError, ResourceError, SettingError, shorten
from noria.core.messages import message

from .inbox import Kept

BATCH = 64
"""Texts of one request: a second's work of two small models on two cores, well within the server's time."""
_SECONDS = 120.0
_REFUSED = (400, 413, 422)
"""What the server answers where a text is at fault; all else may pass."""


class NotDelivered(ResourceError):  # noqa: N818 - it is not the monitor's fault, nor ours
    """The monitor does not take texts now; they stay in the inbox.

    Args:
        what: what was wrong.
        wait: seconds that it asks for.
        facts: those of every error.
    """

    def __init__(self, what: str, *, wait: float = 0.0, **facts: Any) -> None:
        self.wait = wait
        super().__init__(what, **facts)


@dataclass
class Came:
    """What came of texts at the monitor."""

    counted: int = 0
    set_aside: Counter[str] = field(default_factory=Counter)
    """Reason -> texts."""
    alerts: int = 0
    """Raised by windows that closed."""

    def add(self, other: Came) -> None:
        """Count what came of others, too."""
        self.counted += other.counted
        self.set_aside += other.set_aside
        self.alerts += other.alerts


class Delivery:
    """The way to one monitor.

    Args:
        url: http://host:port of the server.
        key: a key of it.
        transport: carries requests in place of the network, as httpx has it.

    Raises:
        SettingError: the address is none.
    """

    def __init__(self, url: str, key: str, transport: httpx.BaseTransport | None = None) -> None:
        with suppress(httpx.InvalidURL):
            found = httpx.URL(url)
            if found.scheme in ("http", "https") and found.host:
                self._client = httpx.Client(
                    base_url=f"{url.rstrip('/').removesuffix('/v1')}/v1/apps/monitor",
                    headers={"authorization": f"Bearer {key}"} if key else {},
                    timeout=_SECONDS,
                    trust_env=False,
                    transport=transport,
                )
                return
        raise SettingError(message("watch.no_address"), found=url, allowed="http://…, https://…")

    def close(self) -> None:
        """Let the connection go."""
        self._client.close()

    def check(self) -> None:
        """Return if there is a monitor that lets us in.

        Raises:
            InputError: there is none, or the key is not right.
        """
        try:
            answer = self._client.get("/windows")
        except httpx.HTTPError as error:
            raise InputError(message("watch.no_monitor"), found=f"{type(error).__name__} {error}") from None
        if answer.status_code != 200:
            raise InputError(
                message("watch.no_monitor"), found=f"HTTP {answer.status_code}", hint=message("watch.give_key")
            )

    def send(self, batch: Sequence[Kept]) -> Came:
        """Return what came of a batch; a text that the server refuses is counted as refused, and the others go alone.

        Raises:
            NotDelivered: the monitor does not answer, or not now.
        """
        answer = self._post("/texts", {"texts": [_body(one) for one in batch]})
        if answer.status_code in _REFUSED:
            if len(batch) == 1:
                return Came(set_aside=Counter(refused=1))
            came = Came()
            for one in batch:
                came.add(self.send([one]))
            return came
        value = answer.json()
        aside = Counter(str(one["reason"]) for one in value["set_aside"])
        return Came(int(value["counted"]), aside, len(value["alerts"]))

    def last_posted(self) -> dict[str, str]:
        """Return when each source brought its last text to the monitor, as far as that knows since its start."""
        try:
            found = self._client.get("/sources").json()
        except (httpx.HTTPError, ValueError):
            return {}
        if not isinstance(found, dict):
            return {}
        return {name: str(one["last"]) for name, one in found.items() if "last" in one}

    def report(self, states: Sequence[dict[str, Any]]) -> None:
        """Let the monitor know how the sources stand; where it does not listen, or is of before, nothing is lost but that."""
        with suppress(httpx.HTTPError):
            self._client.post("/sources", json={"sources": list(states)})

    def brief(self, **asked: Any) -> bytes:
        """Return the monitor's brief, in the form that is asked for.

        Args:
            asked: what stands behind the question mark of GET /brief.

        Raises:
            InputError: there is no monitor, the key is not right, or it refuses what is asked.
        """
        try:
            answer = self._client.get("/brief", params=asked)
        except httpx.HTTPError as error:
            raise InputError(message("watch.no_monitor"), found=f"{type(error).__name__} {error}") from None
        if answer.status_code in _REFUSED:
            raise InputError(message("watch.status"), found=shorten(str(answer.json()["error"]["message"]), 200))
        if answer.status_code != 200:
            raise InputError(
                message("watch.no_monitor"), found=f"HTTP {answer.status_code}", hint=message("watch.give_key")
            )
        return answer.content

    def _post(self, path: str, value: dict[str, Any]) -> httpx.Response:
        content = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
        try:
            answer = self._client.post(path, content=content, headers={"content-type": "application/json"})
        except httpx.HTTPError as error:
            raise NotDelivered(
                message("watch.not_delivered"), found=shorten(f"{type(error).__name__} {error}".strip())
            ) from None
        if answer.status_code != 200 and answer.status_code not in _REFUSED:
            wait = answer.headers.get("retry-after", "")
            raise NotDelivered(
                message("watch.not_delivered"),
                found=f"HTTP {answer.status_code}",
                wait=float(wait) if wait.isdigit() else 0.0,
            )
        return answer


def _body(one: Kept) -> dict[str, str]:
    facts = {"source": one.source, "author": one.author, "link": one.link}
    return {"id": one.id, "text": one.text, "time": one.time.isoformat(), **{k: v for k, v in facts.items() if v}}
