"""Sources: a local server with the quirks of real feeds, files that grow, a mailbox; one inbox that loses and doubles nothing."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from noria.apps.monitor.sources import files, mailbox
from noria.apps.monitor.sources.delivery import Delivery
from noria.apps.monitor.sources.entry import Entry, SourceError, keyed, moment_of
from noria.apps.monitor.sources.fetching import Fetcher, backed_off
from noria.apps.monitor.sources.inbox import Inbox
from noria.apps.monitor.sources.listing import FeedSettings, FilesSettings, MailSettings, read_listing
from noria.apps.monitor.sources.watching import Watching
from noria.core.errors import NoriaError
from noria.text.personal_data import mask

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Site:
    """A web server of this machine: path -> what it answers, and what it was asked."""

    url: str = ""
    pages: dict[str, Callable[[Any], Answer]] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def put(self, path: str, body: bytes, status: int = 200, **headers: str) -> None:
        self.pages[path] = lambda request: (status, {k.replace("_", "-"): v for k, v in headers.items()}, body)


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            page = made.pages.get(self.path)
            status, headers, body = page(self) if page else (404, {}, b"")
            if status == 0:  # the page has answered by itself
                return
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}"
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


def rss(*items: str) -> bytes:
    return f"<rss version='2.0'><channel><title>t</title>{''.join(f'<item>{one}</item>' for one in items)}</channel></rss>".encode()


@dataclass
class Monitor:
    """What arrives at a monitor that takes every text once, and may be away."""

    got: list[dict[str, Any]] = field(default_factory=list)
    away: bool = False
    refused: str = "\0"

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.away:
            return httpx.Response(503, headers={"retry-after": "7"})
        if request.url.path.endswith("/sources"):
            return httpx.Response(200, json={"pushed": {"texts": 1, "last": "2026-11-29T00:00:00+00:00"}})
        value = json.loads(request.content)
        if any(self.refused in one["text"] for one in value["texts"]):
            return httpx.Response(422)
        known = {one["id"] for one in self.got}
        aside = [{"id": one["id"], "reason": "repeated"} for one in value["texts"] if one["id"] in known]
        self.got += [one for one in value["texts"] if one["id"] not in known]
        return httpx.Response(200, json={"counted": len(value["texts"]) - len(aside), "set_aside": aside, "alerts": []})


@pytest.fixture
def monitor() -> Monitor:
    return Monitor()


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    made = Inbox(tmp_path / "inbox", lambda text: mask(text)[0])
    yield made
    made.close()


@pytest.fixture
def watch(inbox: Inbox, monitor: Monitor) -> Iterator[Callable[..., Watching]]:
    made: list[Watching] = []

    def watching(*sources: Any, clock: Callable[[], datetime] = lambda: NOW) -> Watching:
        delivery = Delivery("http://monitor", "key", httpx.MockTransport(monitor))
        fetcher = Fetcher(gap=0.0, seconds=20.0)
        made.append(Watching(sources, inbox, delivery, fetcher=fetcher, clock=clock, spread=lambda: 0.5))
        return made[-1]

    yield watching
    for one in made:
        one.close()


def feed(site: Site, path: str = "/feed.xml", **facts: Any) -> FeedSettings:
    return FeedSettings(
        name=facts.pop("name", "feed"), kind="rss", url=site.url + path, **{"allow_private": True, **facts}
    )


def test_a_feed_s_quirks_are_counted_and_told(site: Site, watch: Callable[..., Watching], monitor: Monitor) -> None:
    items = [
        "<title>One</title><link>/a/1</link><guid>g1</guid><pubDate>Mon, 30 Nov 2026 10:00:00 GMT</pubDate><author>anna@mail.com</author><description>打电话 13800138000</description>",
        "<title>Two</title><guid>g1</guid><link>/a/2</link><description>the same id, another text</description>",
        "<title>Two</title><guid>g2</guid><link>/a/2</link><description>the same address and title</description>",
        "<title></title><description>no title and no time</description>",
        "<title></title><description></description>",
        "<title>Old</title><guid>g3</guid><pubDate>Thu, 01 Jan 1970 00:00:00 GMT</pubDate>",
    ]
    site.put("/feed.xml", gzip.compress(rss(*items)), content_encoding="gzip", content_type="text/xml")
    round = watch(feed(site)).round()
    assert (round.taken.new, round.taken.repeated, round.taken.empty, round.taken.undated) == (4, 1, 1, 2)
    by_text = {one["text"].split("\n")[0]: one for one in monitor.got}
    assert by_text["One"]["time"] == "2026-11-30T10:00:00+00:00"
    assert by_text["One"]["link"] == f"{site.url}/a/1"
    assert by_text["One"]["text"] == "One\n打电话 <PHONE>"
    assert len(by_text["One"]["author"]) == 16
    assert "anna" not in json.dumps(monitor.got)
    assert by_text["no title and no time"]["time"] == NOW.isoformat()
    assert by_text["Old"]["time"].startswith("1970")  # the monitor sets it aside, and says why
    assert len({one["id"] for one in monitor.got}) == 4


def test_only_what_is_new_is_asked_for_and_known_entries_are_not_sent_again(
    site: Site, watch: Callable[..., Watching], monitor: Monitor
) -> None:
    one, two = "<title>One</title><guid>1</guid>", "<title>Two</title><guid>2</guid>"

    def page(request: Any) -> Answer:
        if request.headers.get("if-none-match") == '"v1"':
            return 304, {}, b""
        return 200, {"etag": '"v1"', "last-modified": "Mon, 30 Nov 2026 10:00:00 GMT"}, rss(one)

    site.pages["/feed.xml"] = page
    watching = watch(feed(site))
    assert watching.round(everyone=True).taken.new == 1
    second = watching.round(everyone=True)
    assert (second.taken.new, second.taken.repeated, second.failing) == (0, 0, {})
    assert site.asked[1][1]["if-modified-since"] == "Mon, 30 Nov 2026 10:00:00 GMT"
    site.put("/feed.xml", rss(two, one))
    third = watching.round(everyone=True)
    assert (third.taken.new, third.taken.repeated) == (1, 1)
    assert [one["text"] for one in monitor.got] == ["One", "Two"]


@pytest.mark.parametrize(
    ("status", "headers", "least"),
    [
        (429, {"retry_after": "7200"}, 7200),
        (503, {"retry_after": "Mon, 30 Nov 2026 13:00:00 GMT"}, 3600),
        (404, {}, 900),
    ],
)
def test_a_source_that_fails_is_told_and_left_alone_for_a_while(
    site: Site, watch: Callable[..., Watching], inbox: Inbox, status: int, headers: dict[str, str], least: float
) -> None:
    site.put("/feed.xml", b"", status, **headers)
    watching = watch(feed(site))
    assert "HTTP" in str(watching.round().failing["feed"])
    assert inbox.cursor("feed")["due"] - NOW.timestamp() >= least
    asked = len(site.asked)
    assert "feed" in watching.round().failing
    assert len(site.asked) == asked
    site.put("/feed.xml", rss("<title>back</title>"))
    recovered = watching.round(everyone=True)
    assert (recovered.failing, recovered.taken.new) == ({}, 1)


def test_back_off_grows_and_is_bounded() -> None:
    waits = [backed_off(failures, 10, 0, lambda: 0.5) for failures in range(1, 30)]
    assert waits == sorted(waits)
    assert waits[0] == 1200
    assert waits[-1] == 6 * 3600
    assert backed_off(1, 10, 1e9, lambda: 0.5) == 24 * 3600


def endless(request: Any) -> Answer:
    request.send_response(200)
    request.end_headers()
    try:
        for _ in range(100_000):
            request.wfile.write(b"<item>" * 4096)
    except OSError:
        pass
    return 0, {}, b""


def slow(request: Any) -> Answer:
    request.send_response(200)
    request.end_headers()
    try:
        for _ in range(50):
            request.wfile.write(b" ")
            request.wfile.flush()
            time.sleep(0.1)
    except OSError:
        pass
    return 0, {}, b""


def dripping(request: Any) -> Answer:
    try:
        request.wfile.write(b"HTTP/1.0 200 OK\r\n")
        for number in range(50):
            request.wfile.write(f"x-{number}: 1\r\n".encode())
            request.wfile.flush()
            time.sleep(0.1)
    except OSError:
        pass
    return 0, {}, b""


def test_pages_without_an_end_bombs_and_loops_are_refused(site: Site) -> None:
    fetcher = Fetcher(gap=0.0, seconds=1.0)
    site.pages |= {"/endless": endless, "/slow": slow, "/headers": dripping}
    site.put("/bomb", gzip.compress(bytes(64 << 20)), content_encoding="gzip")
    site.put("/loop", b"", 302, location="/loop")
    site.put("/file", b"", 302, location="file:///etc/passwd")
    site.put("/brotli", b"x", content_encoding="br")
    for path in ("/endless", "/slow", "/headers", "/bomb", "/loop", "/file", "/brotli"):
        began = time.monotonic()
        with pytest.raises(SourceError):
            fetcher.get(site.url + path, most_bytes=1 << 20, allow_private=True)
        assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "::ffff:192.168.0.1", "64:ff9b::a00:1"]
)
def test_addresses_of_one_s_own_network_are_refused_also_behind_a_redirect(site: Site, address: str) -> None:
    asked: list[str] = []

    def resolver(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return [address]

    fetcher = Fetcher(gap=0.0, resolver=resolver)
    with pytest.raises(SourceError, match="own network"):
        fetcher.get("http://news.example.com/feed", most_bytes=1000)
    assert asked == ["news.example.com"]
    assert site.asked == []


def test_a_redirect_from_outside_to_inside_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.put("/out", b"", 302, location=f"{site.url}/in")
    port = int(site.url.rsplit(":", 1)[1])
    fetcher = Fetcher(gap=0.0, resolver=lambda host, _: ["127.0.0.1"])
    # The first address passes for a public one; the one that it redirects to is what it is.
    from noria.apps.monitor.sources import fetching

    judged = iter([True, False])
    monkeypatch.setattr(fetching, "is_public", lambda address: next(judged))
    with pytest.raises(SourceError, match="own network"):
        fetcher.get(f"http://news.example.com:{port}/out", most_bytes=1000)
    assert [path for path, _ in site.asked] == ["/out"]


def test_articles_are_read_where_robots_allow_it(site: Site, watch: Callable[..., Watching], monitor: Monitor) -> None:
    words = "The battery of the phone was replaced at no cost, and its buyers were told to wait for another one. "
    page = (
        f"<html><body><nav>menu</nav><article><h1>One</h1><p>{words * 4}</p><p>{words * 3}</p></article></body></html>"
    )
    site.put("/robots.txt", b"User-agent: *\nDisallow: /closed/\n")
    site.put("/open/1", page.encode())
    site.put("/closed/2", page.encode())
    site.put(
        "/feed.xml",
        rss(
            "<title>One</title><link>/open/1</link><description>teaser one</description>",
            "<title>Two</title><link>/closed/2</link><description>teaser two</description>",
        ),
    )
    watching = watch(feed(site, article=True))
    assert watching.round(everyone=True).taken.new == 2
    texts = {one["text"].split("\n")[0]: one["text"] for one in monitor.got}
    assert "replaced at no cost" in texts["One"]
    assert texts["Two"] == "Two\nteaser two"
    assert [path for path, _ in site.asked].count("/closed/2") == 0
    watching.round(everyone=True)
    assert [path for path, _ in site.asked].count("/open/1") == 1  # what is known is not read again


def test_many_sources_are_asked_at_once_and_one_that_breaks_stops_none(
    site: Site, watch: Callable[..., Watching], monitor: Monitor
) -> None:
    together = threading.Barrier(6, timeout=20)

    def late(request: Any) -> Answer:
        together.wait()  # none is answered before six have asked
        return 200, {}, rss(f"<title>text of {request.path}</title>")

    site.pages |= {f"/{n}": late for n in range(12)}
    site.put("/bad", b"no feed at all")
    sources = [feed(site, f"/{n}", name=f"s{n}") for n in range(12)]
    round = watch(feed(site, "/bad", name="bad"), *sources).round()
    assert round.taken.new == 12
    assert list(round.failing) == ["bad"]
    assert "bad" in str(round.line())
    assert "bad" in round.line()["zh"]


def test_the_monitor_may_be_away_and_refuse_a_text(
    site: Site, watch: Callable[..., Watching], monitor: Monitor, inbox: Inbox
) -> None:
    site.put("/feed.xml", rss(*(f"<title>text {n}</title>" for n in range(100)), "<title>a refused one</title>"))
    monitor.away = True
    watching = watch(feed(site))
    round = watching.round()
    assert (round.taken.new, round.waiting) == (101, 101)
    assert "503" in str(round.held_up)
    monitor.away, monitor.refused = False, "refused"
    second = watching.round()
    assert (second.came.counted, second.came.set_aside["refused"], inbox.waiting()) == (100, 1, 0)


def test_silence_and_one_loud_author_are_told(site: Site, watch: Callable[..., Watching]) -> None:
    from noria.apps.monitor.sources.listing import PushSettings

    site.put("/feed.xml", rss(*(f"<title>text {n}</title><author>bot</author>" for n in range(60))))
    times = iter([NOW] * 3 + [NOW + timedelta(hours=30)] * 9)
    watching = watch(feed(site), PushSettings(name="pushed", kind="push"), clock=lambda: next(times))
    first = watching.round(everyone=True)
    assert first.loud is not None
    assert (first.loud[0], first.loud[2]) == ("feed", 60)
    second = watching.round(everyone=True)
    assert set(second.silent) == {"feed", "pushed"}
    assert second.facts()["silent"]["feed"] == 30.0


ROW = '{{"id": "{n}", "内容": "第 {n} 行很好用", "发布时间": "2026-11-30 20:00:00", "作者": "u{n}"}}\n'


def grown(path: Path, **facts: Any) -> Callable[[dict[str, Any]], Any]:
    source = FilesSettings(name="file", kind="file", path=path, zone="Asia/Shanghai", **facts)
    return lambda cursor: files.ask(source, cursor, datetime.now(UTC))


def test_a_file_of_lines_is_read_on_and_half_a_line_waits(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    ask = grown(path)
    path.write_text(ROW.format(n=1) + ROW.format(n=2)[:20], encoding="utf-8")
    first = ask({})
    assert [one.text for one in first.entries] == ["第 1 行很好用"]
    assert first.entries[0].time == NOW
    assert first.entries[0].author == "u1"
    with path.open("a", encoding="utf-8") as stream:
        stream.write(ROW.format(n=2)[20:] + "not json\n")
    second = ask(first.cursor)
    assert ([one.text for one in second.entries], second.unread) == (["第 2 行很好用"], 1)
    assert ask(second.cursor).entries == []
    path.write_text(ROW.format(n=3), encoding="utf-8")  # cut, and begun again
    assert [one.text for one in ask(second.cursor).entries] == ["第 3 行很好用"]


@pytest.mark.parametrize("ending", [".csv", ".xlsx", ".parquet", ".json", ".txt"])
def test_a_folder_holds_files_of_every_format_and_a_row_put_in_above_moves_none(
    tmp_path: Path, inbox: Inbox, ending: str
) -> None:
    from made_files import sheet

    rows = [{"text": f"row number {n} says that all is well", "time": "2026-11-30T12:00:00Z"} for n in range(4)]
    path = tmp_path / "in" / f"rows{ending}"
    path.parent.mkdir()

    def write(rows: list[dict[str, str]]) -> None:
        cells = [["text", "time"], *([row["text"], row["time"]] for row in rows)]
        if ending == ".csv":
            path.write_text("".join(",".join(line) + "\n" for line in cells))
        elif ending == ".json":
            path.write_text(json.dumps(rows))
        elif ending == ".txt":
            path.write_text("".join(row["text"] + "\n" for row in rows))
        elif ending == ".xlsx":
            path.write_bytes(sheet(cells))
        else:
            import pyarrow
            import pyarrow.parquet

            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)

    ask = grown(path.parent)
    write(rows)
    import os

    os.utime(path, (time.time() - 60, time.time() - 60))
    first = ask({})
    assert inbox.take("file", first.entries, lambda _: first.cursor, NOW).new == 4
    write(
        [{"text": "a new row above all others here", "time": ""}, *rows]
        if ending != ".txt"
        else [*rows, {"text": "a new row", "time": ""}]
    )
    os.utime(path, (time.time() - 30, time.time() - 30))
    second = ask(first.cursor)
    taken = inbox.take("file", second.entries, lambda _: second.cursor, NOW)
    assert taken.new == 1


class Post:
    """A mail server that holds letters, as imaplib's class has it."""

    def __init__(self, letters: list[bytes], validity: bytes = b"7") -> None:
        self.letters, self.validity, self.asked = letters, validity, []

    def __enter__(self) -> Post:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def login(self, user: str, password: str) -> None:
        if password != "right":
            raise mailbox.imaplib.IMAP4.error(f"login failed for {password}")

    def select(self, name: str, readonly: bool) -> tuple[str, list[bytes]]:
        assert readonly
        return "OK", [b"2"]

    def response(self, name: str) -> tuple[str, list[bytes]]:
        return name, [self.validity]

    def uid(self, command: str, *facts: str) -> tuple[str, list[Any]]:
        self.asked.append((command, *facts))
        if command == "search":
            first = int(facts[0].split()[1].split(":")[0])
            found = [n for n in range(1, len(self.letters) + 1) if n >= first] or [len(self.letters)]
            return "OK", [" ".join(map(str, found)).encode()]
        return "OK", [(b"1 (BODY[] {9}", self.letters[int(facts[0]) - 1]), b")"]


def test_a_mailbox_is_read_from_where_it_was_left() -> None:
    plain = (
        b"From: Ann <ann@mail.com>\nSubject: =?utf-8?b?5omL5py6?=\nMessage-ID: <1@x>\nDate: Mon, 30 Nov 2026 12:00:00 +0000\nContent-Type: text/plain; charset=gb18030\nContent-Transfer-Encoding: 8bit\n\n"
        + "电池很差".encode("gb18030")
    )
    page = b"Subject: two\nContent-Type: text/html; charset=utf-8\n\n<p>the <b>screen</b> is fine</p><script>x</script>"
    source = MailSettings(name="mail", kind="imap", host="mail.example.com", user="u", password_variable="PW")
    post = Post([plain, page])
    facts: dict[str, Any] = {"connector": lambda host, port: post, "resolver": lambda host, port: ["93.184.216.34"]}
    found = mailbox.ask(source, {}, environ={"PW": "right"}, **facts)
    assert [one.text for one in found.entries] == ["手机\n电池很差", "two\nthe screen is fine"]
    assert (found.entries[0].author, found.entries[0].time) == ("ann@mail.com", NOW)
    assert mailbox.ask(source, found.cursor, environ={"PW": "right"}, **facts).entries == []
    post.validity = b"8"  # the mailbox was made anew
    assert len(mailbox.ask(source, found.cursor, environ={"PW": "right"}, **facts).entries) == 2
    for environ, private in (({}, "1.1.1.1"), ({"PW": "wrong"}, "1.1.1.1"), ({"PW": "right"}, "10.0.0.1")):
        with pytest.raises(SourceError) as raised:
            mailbox.ask(
                source,
                {},
                environ=environ,
                connector=facts["connector"],
                resolver=lambda host, port, private=private: [private],
            )
        assert "wrong" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "zone", "wanted"),
    [
        ("2026-11-30T12:00:00Z", "UTC", NOW),
        ("2026-11-30 20:00", "Asia/Shanghai", NOW),
        ("2026年11月30日 20:00:00", "Asia/Shanghai", NOW),
        ("2026年11月30日20时00分", "Asia/Shanghai", NOW),
        ("2026/11/30 12:00", "UTC", NOW),
        ("Mon, 30 Nov 2026 12:00:00 GMT", "Asia/Shanghai", NOW),
        ("Mon, 30 Nov 2026 07:00:00 EST", "UTC", NOW),
        ("2026-11-30T12:00:00.123456789+00:00", "UTC", NOW + timedelta(microseconds=123456)),
        (str(int(NOW.timestamp())), "UTC", NOW),
        (str(int(NOW.timestamp() * 1000)), "UTC", NOW),
        ("", "UTC", None),
        ("2026-13-45", "UTC", None),
        ("just now", "UTC", None),
        ("99999999999999", "UTC", None),
    ],
)
def test_times_as_people_write_them(text: str, zone: str, wanted: datetime | None) -> None:
    assert moment_of(text, zone) == wanted


def test_keys_know_an_entry_again_though_its_id_or_title_changed() -> None:
    assert set(keyed("g", "/a", "t", "x")) & set(keyed("h", "/a", "t", "y"))
    assert set(keyed("g", "/a", "t", "x")) & set(keyed("g", "/a", "edited", "y"))
    assert not set(keyed("g", "/home", "t", "x", ("g", "/home"))) & set(keyed("g", "/home", "u", "y", ("g", "/home")))


def test_the_inbox_keeps_order_bounds_batches_and_forgets_no_key(tmp_path: Path) -> None:
    folder = tmp_path / "inbox"
    entries = [Entry(f"text {n}", (f"k{n}",), NOW - timedelta(minutes=n)) for n in range(10)]
    first = Inbox(folder, lambda text: text)
    assert first.take("a", entries, lambda taken: {"at": taken.new}, NOW).new == 10
    batch = first.batch(3)
    assert [one.text for one in batch] == ["text 9", "text 8", "text 7"]
    assert len(first.batch(10, most_bytes=1)) == 1
    first.close()  # as a kill: the batch went out, and nobody noted it
    second = Inbox(folder, lambda text: text)
    assert second.batch(3) == batch
    second.delivered(batch)
    assert second.waiting() == 7
    assert second.take("a", entries, lambda taken: {}, NOW + timedelta(days=60)).repeated == 10
    assert second.take("a", entries, lambda taken: {}, NOW + timedelta(days=160)).repeated == 10
    assert second.take("b", entries, lambda taken: {}, NOW).new == 10  # another source's
    assert (folder.stat().st_mode & 0o777, (folder / "secret").stat().st_mode & 0o777) == (0o700, 0o600)
    second.close()


def test_killed_again_and_again_every_text_is_counted_once(tmp_path: Path) -> None:
    from benchmarks.monitor_inbox import FEED, FILE, kill_run

    found = kill_run(tmp_path, kills=4)
    assert (found.kills, found.texts, found.lost, found.doubled) == (4, FEED + FILE, 0, 0)
    assert set(found.set_aside) <= {"repeated"}


LISTING = """
[monitor]
models = ["runs/sentiment"]
[[source]]
name = "phones"
kind = "rss"
url = "https://news.example.com/feed.xml"
article = true
[[source]]
name = "群聊"
kind = "file"
path = "chat"
zone = "Asia/Shanghai"
columns = {text = "正文"}
[[source]]
name = "mail"
kind = "imap"
host = "mail.example.com"
user = "desk"
password_variable = "MAIL_PASSWORD"
[[source]]
name = "app"
kind = "push"
"""


def test_a_list_of_sources_is_read(tmp_path: Path) -> None:
    path = tmp_path / "sources.toml"
    path.write_text(LISTING, encoding="utf-8")
    listing = read_listing(path)
    assert [one.name for one in listing.source] == ["phones", "群聊", "mail", "app"]
    assert listing.monitor.models == (tmp_path / "runs/sentiment",)
    assert listing.source[1].path == tmp_path / "chat"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "[[source]]"),
        ("[[sauce]]\nname='a'", "sauce"),
        ("[[source]]\nname='a'\nkind='rsss'\nurl='https://a.example/'", "rsss"),
        ("[[source]]\nname='a'\nkind='rss'\nurl='ftp://a.example/'", "source a"),
        ("[[source]]\nname='a'\nkind='rss'\nurl='https://a.example/'\nminuts=3", "minutes"),
        ("[[source]]\nname='a'\nkind='push'\n[[source]]\nname='a'\nkind='push'", "share a name"),
        ("[[source]]\nname='a'\nkind='file'\npath='x'\nzone='Mars/Olympus'", "zone"),
    ],
)
def test_a_mistake_in_the_list_is_named(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "sources.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(NoriaError) as raised:
        read_listing(path)
    assert named in str(raised.value)
