"""Sessions: a cookie opens what its signature says and for as long as it says; a token opens once."""

from __future__ import annotations

import pytest

from noria.console.session import LIFETIME_SECONDS, TOKEN_SECONDS, Forbidden, Session, Sessions, require
from noria.console.sign_in import local_path
from noria.server.http.keys import PEOPLE, Role


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def test_a_cookie_is_read_back_until_it_expires() -> None:
    clock = Clock()
    sessions = Sessions(clock=clock)
    cookie = sessions.start("a1b2", "tenant", "agent")
    session = sessions.read(cookie)
    assert session is not None
    assert (session.key, session.tenant, session.role) == ("a1b2", "tenant", "agent")
    clock.now += LIFETIME_SECONDS - 1
    assert sessions.read(cookie) == session
    clock.now += 1
    assert sessions.read(cookie) is None


def test_two_sessions_of_one_key_are_told_apart() -> None:
    sessions = Sessions()
    first, second = (sessions.read(sessions.start("a", "t", "viewer")) for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.nonce != second.nonce


@pytest.mark.parametrize("cookie", [None, "", ".", "a.b", "e30.", "…", "\ud800", "x" * 10_000])
def test_what_was_never_signed_opens_nothing(cookie: str | None) -> None:
    assert Sessions().read(cookie) is None


def test_a_session_that_ended_is_worth_nothing_and_no_other_ends_with_it() -> None:
    clock = Clock()
    sessions = Sessions(clock=clock)
    mine, other = sessions.start("a", "t", "viewer"), sessions.start("a", "t", "viewer")
    session = sessions.read(mine)
    assert session is not None
    sessions.end(session)
    assert sessions.read(mine) is None
    assert sessions.read(other) is not None


@pytest.mark.parametrize("role", PEOPLE)
@pytest.mark.parametrize("need", PEOPLE)
def test_a_role_does_what_those_below_it_may(role: Role, need: Role) -> None:
    session = Session("a", "t", role, 0.0, "n")
    if PEOPLE.index(role) >= PEOPLE.index(need):
        require(session, need)
    else:
        with pytest.raises(Forbidden) as refused:
            require(session, need)
        assert refused.value.text("zh") != refused.value.text("en")


def test_a_changed_payload_or_another_server_s_cookie_opens_nothing() -> None:
    sessions = Sessions()
    payload, _, signature = sessions.start("a", "t", "viewer").partition(".")
    for place in range(0, len(payload), 7):
        changed = payload[:place] + ("A" if payload[place] != "A" else "B") + payload[place + 1 :]
        assert sessions.read(f"{changed}.{signature}") is None
    assert Sessions().read(f"{payload}.{signature}") is None


def test_a_token_opens_once_and_within_its_time() -> None:
    clock = Clock()
    sessions = Sessions(clock=clock)
    token, late = (sessions.one_time("link", "t", "admin") for _ in range(2))
    cookie = sessions.redeem(token)
    assert sessions.read(cookie) is not None
    assert sessions.redeem(token) is None
    assert sessions.redeem("guess") is None
    clock.now += TOKEN_SECONDS
    assert sessions.redeem(late) is None


@pytest.mark.parametrize(
    ("onward", "path"),
    [
        ("/models", "/models"),
        ("/console/models", "/models"),
        ("/console", "/"),
        ("/", "/"),
        ("", "/"),
        ("//evil.example/x", "/"),
        ("https://evil.example", "/"),
        ("/\\evil.example", "/"),
        ("models", "/"),
        ("/a\r\nset-cookie: x", "/aset-cookie%3A%20x"),
        ("/模型", "/%E6%A8%A1%E5%9E%8B"),
    ],
)
def test_a_redirect_stays_in_the_console(onward: str, path: str) -> None:
    assert local_path(onward) == path
