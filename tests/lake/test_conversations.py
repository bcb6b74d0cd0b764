"""Conversations keep their word: each turn once, in its order, through kills; one person at a time; nothing left of who is forgotten."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import wraps
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.core.errors import InputError
from noria.lake import deliveries
from noria.lake.conversation import (
    VISIBLE,
    ConversationError,
    conversations_file,
    counts,
    dialogues,
    forget,
    known,
    queued,
    turns_of,
    unanswered,
)
from noria.lake.conversations import Conversations
from noria.lake.erase import erase_user, keep_days
from noria.lake.outbox import Outbox

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def pass_minutes(self, minutes: float) -> None:
        self.now += timedelta(minutes=minutes)


def in_loop(test):
    """Let pytest run an async test."""

    @wraps(test)
    def run(*given, **named):
        asyncio.run(test(*given, **named))

    return run


@asynccontextmanager
async def opened(lake, clock=None):
    kept = Conversations(lake, clock=clock or Clock())
    try:
        yield kept
    finally:
        kept.close()


async def handed(kept: Conversations, name: str = "chat", user: str = "ann") -> str:
    """Return the id of a conversation that waits for a person."""
    came = await kept.message("shop", name, "我的订单呢？", client="m1", user=user)
    await kept.reply(came.turn, "已转人工", {"action": "handover"}, handover="unsure")
    return came.conversation.id


async def turns(kept: Conversations, conversation: str):
    return await kept.read(lambda connection: turns_of(connection, conversation))


@in_loop
async def test_a_message_sent_again_is_one_message_and_brings_the_same_reply(tmp_path):
    async with opened(tmp_path) as kept:
        conversation = await handed(kept)
        again = await kept.message("shop", "chat", "我的订单呢？", client="m1")
        assert [one.kind for one in again.replies] == ["reply", "handover"]
        assert (again.turn.number, again.conversation.state, again.conversation.length) == (1, "waiting", 3)
        assert await kept.reply(again.turn, "another reply", handover="unsure") == again.replies
        with pytest.raises(ConversationError, match="another text") as told:
            await kept.message("shop", "chat", "something else", client="m1")
        assert told.value.code == "message_id_reused"
        other = await kept.message("another shop", "chat", "hello", client="m1")
        assert other.conversation.id != conversation
        assert len(await turns(kept, conversation)) == 3


@in_loop
async def test_of_two_who_claim_one_wins_and_the_other_is_told_who(tmp_path):
    async with opened(tmp_path) as kept:
        conversation = await handed(kept)
        won = await asyncio.gather(
            *(kept.claim(conversation, f"person {number}", 2) for number in range(8)), return_exceptions=True
        )
        lost = [one for one in won if isinstance(one, ConversationError)]
        assert len(lost) == 7
        holder = next(one.agent for one in won if not isinstance(one, ConversationError))
        assert {(one.code, one.found) for one in lost} == {("claimed", holder)}
        for refused in (
            kept.person(conversation, "somebody", "hi", 2),
            kept.transfer(conversation, "somebody", "", 2),
            kept.resolve(conversation, "somebody"),
        ):
            with pytest.raises(ConversationError, match="somebody else"):
                await refused
        assert (await kept.release(conversation, "somebody")).agent == holder
        await kept.note(conversation, "somebody", "a note needs no claim")
        with pytest.raises(ConversationError, match="no such"):
            await kept.claim("nothing", holder, 2)
        kinds = Counter(one.kind for one in await turns(kept, conversation))
        assert kinds == {"message": 1, "reply": 1, "handover": 1, "claim": 1, "note": 1}


@in_loop
async def test_who_is_not_heard_of_loses_the_claim_and_who_is_keeps_it(tmp_path):
    clock = Clock()
    async with opened(tmp_path, clock) as kept:
        conversation = await handed(kept)
        await kept.claim(conversation, "ben", 2)
        for _ in range(3):
            clock.pass_minutes(1.5)
            assert await kept.release_expired() == []
            assert (await kept.see(conversation, "ben", 2)).agent == "ben"
        await kept.see(conversation, "eve", 2)  # looking on keeps nobody's claim
        clock.pass_minutes(2)
        assert await kept.release_expired() == [conversation]
        waiting = await kept.read(lambda connection: known(connection, conversation))
        assert (waiting.state, waiting.agent, waiting.since) == ("waiting", "", NOON)
        await kept.claim(conversation, "ben", 2)
        clock.pass_minutes(3)
        assert (await kept.claim(conversation, "eve", 2)).agent == "eve"  # before anybody swept
        kinds = [one.kind for one in await turns(kept, conversation)]
        assert kinds[3:] == ["claim", "release", "claim", "release", "claim"]


@in_loop
async def test_what_a_person_has_not_seen_is_counted_and_the_queue_is_in_order(tmp_path):
    clock = Clock()
    async with opened(tmp_path, clock) as kept:
        ids = []
        for name in ("first", "second"):
            ids.append(await handed(kept, name))
            clock.pass_minutes(1)
        await kept.message("shop", "first", "hello?")
        shown = await kept.read(lambda connection: queued(connection, ("waiting",)))
        assert [(one.conversation.name, one.unread, one.last.text) for one in shown] == [
            ("first", 2, "hello?"),
            ("second", 1, "我的订单呢？"),
        ]
        await kept.person(ids[0], "ben", "Hi!", 2, client="r1")
        await kept.person(ids[0], "ben", "Hi!", 2, client="r1")
        await kept.message("shop", "first", "thanks")
        (mine,) = await kept.read(lambda connection: queued(connection, ("claimed",), "ben"))
        assert (mine.unread, mine.last.text) == (1, "thanks")
        assert (await kept.see(ids[0], "ben", 2)).seen == 7
        (mine,) = await kept.read(lambda connection: queued(connection, ("claimed",), "ben"))
        assert mine.unread == 0
        await kept.transfer(ids[0], "ben", "eve", 2)
        await kept.resolve(ids[0], "eve")
        assert await kept.read(counts) == {"resolved": 1, "waiting": 1}
        opened_anew = await kept.message("shop", "first", "one more thing")
        assert opened_anew.conversation.state == "open"


@in_loop
async def test_a_message_that_nobody_replied_to_is_found_after_a_kill(tmp_path):
    clock = Clock()
    async with opened(tmp_path, clock) as kept:
        came = await kept.message("shop", "cut", "hello", client="m1")
        claimed = await kept.message("shop", "taken over", "hello", client="m1")
        await kept.claim(claimed.conversation.id, "ben", 2)
    clock.pass_minutes(5)
    async with opened(tmp_path, clock) as kept:
        found = await kept.read(lambda connection: unanswered(connection, clock()))
        assert found == [came.turn]
        await kept.reply(found[0], "已转人工", handover="unanswered")
        assert await kept.read(lambda connection: unanswered(connection, clock())) == []
        assert (await kept.read(lambda connection: known(connection, came.conversation.id))).state == "waiting"


DEEDS = st.lists(
    st.tuples(
        st.sampled_from(
            ("message", "reply", "claim", "person", "note", "transfer", "resolve", "release", "see", "late")
        ),
        st.sampled_from(("ann", "ben")),
    ),
    max_size=25,
)


@settings(max_examples=25, deadline=None)
@given(DEEDS)
def test_whatever_is_done_turns_have_no_gap_and_one_person_at_a_time_replies(tmp_path_factory, deeds):
    async def done() -> None:
        clock = Clock()
        async with opened(tmp_path_factory.mktemp("lake"), clock) as kept:
            came = await kept.message("shop", "chat", "hello")
            id, refused = came.conversation.id, set()
            for number, (deed, who) in enumerate(deeds):
                try:
                    if deed == "message":
                        came = await kept.message("shop", "chat", f"text {number}", client=str(number))
                    elif deed == "reply":
                        await kept.reply(came.turn, "…", handover="unsure" if who == "ann" else "")
                    elif deed == "late":
                        clock.pass_minutes(3)
                        await kept.release_expired()
                    elif deed in ("person", "note"):
                        more = {"minutes": 2.0} if deed == "person" else {}
                        await getattr(kept, deed)(id, who, f"text {number}", client=str(number), **more)
                    elif deed == "transfer":
                        await kept.transfer(id, who, "eve", 2)
                    elif deed in ("claim", "see"):
                        await getattr(kept, deed)(id, who, 2.0)
                    else:
                        await getattr(kept, deed)(id, who)
                except ConversationError as error:
                    refused.add(error.code)
            found = await turns(kept, id)
            stands = await kept.read(lambda connection: known(connection, id))
            assert [one.number for one in found] == list(range(1, stands.length + 1))
            assert len({one.id for one in found}) == len(found)
            holder = ""
            for turn in found:
                if turn.kind in ("person", "transfer", "resolve"):
                    assert turn.author == holder
                holder = {
                    "claim": turn.author,
                    "transfer": turn.text,
                    "release": "",
                    "resolve": "",
                }.get(turn.kind, holder)
            assert stands.agent == (holder if stands.state == "claimed" else "")
            assert refused <= {"claimed"}
            waits = [one.kind for one in found].count("handover")
            assert waits <= 1 + [one.kind for one in found].count("resolve")

    asyncio.run(done())


WRITER = """
import asyncio, sys
from noria.lake.conversations import Conversations

async def main():
    kept = Conversations(sys.argv[1])

    async def customer(name):
        # Sent again after the kill, from the first that was not acknowledged: the client's ids make it one.
        for number in range(int(sys.argv[2]), 10_000):
            came = await kept.message("shop", name, f"question {number}", client=str(number))
            replied = came.replies or await kept.reply(came.turn, f"reply {number}", handover="unsure")
            told = await kept.person(came.conversation.id, "ben", f"answer {number}", 2, client=str(number))
            await kept.resolve(came.conversation.id, "ben")
            print(name, number, came.turn.number, replied[0].number, told.number, flush=True)

    await asyncio.gather(*(customer(f"chat {place}") for place in range(4)))

asyncio.run(main())
"""


def test_kill_at_any_moment_loses_doubles_and_disorders_nothing(tmp_path: Path) -> None:
    acknowledged: dict[str, list[tuple[int, ...]]] = {}
    for seconds in (0.2, 0.3, 0.25):
        # From before the last that was acknowledged: what a client repeats is known by its id.
        first = max(0, min((len(one) for one in acknowledged.values()), default=0) - 1)
        command = [sys.executable, "-c", WRITER, str(tmp_path), str(first)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout
            lines = [process.stdout.readline()]
            timer = threading.Timer(seconds, process.send_signal, [signal.SIGKILL])
            timer.start()
            lines += [*process.stdout]
            timer.cancel()
        for line in lines:
            if line.endswith(b"\n"):  # the last may be cut short
                _, place, *numbers = line.decode().split()
                told = acknowledged.setdefault(f"chat {place}", [])
                number, *places = map(int, numbers)
                assert number <= len(told)
                if number == len(told):
                    told.append(tuple(places))
                else:
                    assert told[number] == tuple(places)  # the same turns, not new ones
    found = {one.name: seen for one, seen in dialogues(tmp_path)}
    assert sum(map(len, acknowledged.values())) > 20
    for name, told in acknowledged.items():
        seen = found[name]
        for number, places in enumerate(told):
            texts = (f"question {number}", f"reply {number}", f"answer {number}")
            assert [(one.text, one.number) for one in seen[3 * number : 3 * number + 3]] == list(
                zip(texts, places, strict=True)
            )
        assert len({(one.kind, one.text) for one in seen}) == len(seen)
        assert all(one.kind in VISIBLE for one in seen)


def test_who_is_forgotten_leaves_no_word_and_others_stay(tmp_path):
    async def fill() -> None:
        async with opened(tmp_path) as kept:
            for user in ("ann", "bob", ""):
                id = await handed(kept, f"chat of {user}", user)
                await kept.note(id, "ben", "青石板路" if user == "ann" else "nothing")

    Outbox(tmp_path).close()
    asyncio.run(fill())
    folder = conversations_file(tmp_path).parent
    words = "青石板路".encode()
    assert any(words in path.read_bytes() for path in folder.iterdir())
    receipt = erase_user(tmp_path, "ann")
    assert receipt.turns == 4
    assert "4 turns of conversations" in receipt.text()
    assert not any(words in path.read_bytes() for path in folder.iterdir())
    assert {one.user for one, _ in dialogues(tmp_path)} == {"bob", ""}
    assert erase_user(tmp_path, "ann").turns == 0


def test_conversations_are_kept_as_long_as_texts_may_be(tmp_path):
    clock = Clock()

    async def fill() -> None:
        async with opened(tmp_path, clock) as kept:
            await handed(kept, "old")
            clock.pass_minutes(3 * 1440)
            await handed(kept, "new")

    Outbox(tmp_path).close()
    asyncio.run(fill())
    assert keep_days(tmp_path, days=400, text_days=30, now=clock()).turns == 0
    assert keep_days(tmp_path, days=400, text_days=2, now=clock()).turns == 3
    assert [one.name for one, _ in dialogues(tmp_path)] == ["new"]
    assert forget(tmp_path) == 0


def test_a_newer_file_is_refused(tmp_path):
    Conversations(tmp_path).close()
    connection = sqlite3.connect(conversations_file(tmp_path))
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(InputError, match="newer"):
        Conversations(tmp_path)


@in_loop
async def test_a_reply_is_delivered_once_in_its_order_by_one_server_at_a_time(tmp_path):
    clock = Clock()
    async with opened(tmp_path, clock) as one, opened(tmp_path, clock) as two:
        came = await one.message("channel shop", "chat", "hi", client="m1", user="ann", facts={"to": {"a": 1}})
        assert await one.read(deliveries.unreplied) == [came.turn]
        await one.message("shop", "chat", "of a key's: nothing to deliver")
        await one.reply(came.turn, "first", {"action": "handover"}, handover="unsure", note="known: nothing")
        await one.person(came.conversation.id, "Li", "second", 2)
        id = came.conversation.id
        assert (await one.read(deliveries.undelivered))[0] == [id]
        first, attempts = await one.write(lambda file: deliveries.begin(file, id, clock()))
        assert (first.text, attempts) == ("first", 1)
        assert await two.write(lambda file: deliveries.begin(file, id, clock())) is None
        clock.pass_minutes(3)  # the first server was killed
        assert await two.read(lambda file: deliveries.retried(file, clock())) == [id]
        again, attempts = await two.write(lambda file: deliveries.begin(file, id, clock()))
        assert (again, attempts) == (first, 2)
        await two.write(lambda file: deliveries.postponed(file, again, clock() + timedelta(minutes=5)))
        assert await one.write(lambda file: deliveries.begin(file, id, clock())) is None
        clock.pass_minutes(6)
        _, attempts = await one.write(lambda file: deliveries.begin(file, id, clock()))
        assert attempts == 3
        await one.write(lambda file: deliveries.delivered(file, again))
        second, attempts = await one.write(lambda file: deliveries.begin(file, id, clock()))
        assert (second.text, attempts) == ("second", 1)
        await one.write(lambda file: deliveries.delivered(file, second))
        found, last = await one.read(deliveries.undelivered)
        assert found == []
        await one.person(id, "Li", "third", 2)
        assert (await one.read(lambda file: deliveries.undelivered(file, last)))[0] == [id]
        assert forget(tmp_path, user="ann") > 0
        await one.write(lambda file: deliveries.delivered(file, second))  # by one who did not hear of it
        assert await one.read(lambda file: file.execute("SELECT count(*) FROM deliveries").fetchone()) == (0,)
