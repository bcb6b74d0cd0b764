"""What two servers of one model read of the same conversations: the same ids, or what differs first.

A reader is an endpoint, a model folder as Noria serves it, or a GGUF as llama.cpp itself reads it. Conversations have a system
turn, tools, several turns, Chinese, emoji, code and blanks; a model that completes reads bare texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

from noria.core.errors import NoriaError
from noria.core.figure import Figure, proportion
from noria.core.messages import Message, message
from noria.make.tokens.conversations import CONVERSATIONS, TOOLS, WORDS

from .endpoint import Endpoint, Rendered
from .trained import Reading

Json = dict[str, Any]
ROOM = 4_096
"""Tokens of the longest conversation that llama.cpp reads."""


class Reader(Protocol):
    """What shows what it reads, as far as it does."""

    def rendered(self, messages: Sequence[Json], tools: Sequence[Json] | None = None) -> Rendered:
        """Return what a conversation is read as."""

    def read(self, text: str) -> Rendered:
        """Return what a bare prompt is read as."""


@contextmanager
def file_reader(file: Path, threads: int) -> Iterator[Reader | None]:
    """Yield a GGUF as llama.cpp's own server reads it, by the tokenizer and the template inside; None where it reads none.

    Args:
        file: any GGUF.
        threads: of the server.
    """
    import httpx

    from noria.infer.llamacpp_server import own_server

    with ExitStack() as opened:
        reader: Reader | None = None
        try:
            address, key = opened.enter_context(own_server(file, ROOM, threads))
            headers = {"authorization": f"Bearer {key}"}
            client = httpx.Client(base_url=f"{address}/v1/", headers=headers, timeout=300, trust_env=False)
            reader = Endpoint(opened.enter_context(client))
        except NoriaError:
            pass
        yield reader


def read_alike(
    trained: Reading, reader: Reader, seen: list[Message]
) -> tuple[Figure | None, list[tuple[str, Message]]]:
    """Compare what both read; return the share that is alike, and what differs first: its kind, and how it shows.

    Args:
        trained: the model as it was trained.
        reader: what is compared with it.
        seen: is given how it was looked at, and what is not shown.
    """
    return (_conversations if trained.chats else _bare)(trained, reader, seen)


def _conversations(
    trained: Reading, reader: Reader, seen: list[Message]
) -> tuple[Figure | None, list[tuple[str, Message]]]:
    """Compare what both read of conversations; return the share that is alike, and what differs."""
    same, looked, differences, longer = 0, 0, [], []
    for name, messages in CONVERSATIONS.items():
        tools = TOOLS if name == "tools" else None
        if tools and not trained.knows_tools():
            continue
        mine, other = trained.rendered(messages, tools), reader.rendered(messages, tools)
        if (how := _shown_by(other)) is None:
            continue
        looked += 1
        alike = trained.reads_alike(mine, other)
        same += alike
        if not alike:
            differences.append((name, mine, other))
            longer.append((other.count or len(other.ids or ())) - (mine.count or 0))
        if looked == 1:
            seen.append(how)
    if not looked:
        seen.append(message("verify.nothing_shown"))
        return None, []
    figure = proportion("conversations read alike", same, looked, source="bundled conversations")
    if not differences:
        return figure, []
    name, mine, other = differences[0]
    if other.ids is not None:
        return figure, [_differing(trained, name, mine, other)]
    if other.text is not None and not trained.same_text(mine, other):
        return figure, [("template", _differing_text(trained, name, mine, other))]
    alike_shift = len(set(longer)) == 1 and abs(longer[0]) == 1 and len(differences) == looked
    kind = "special tokens" if alike_shift else "template"
    return figure, [(kind, message("verify.counts_differ", name=name, found=other.count, expected=mine.count))]


def _shown_by(other: Rendered) -> Message | None:
    """Return how an endpoint shows what it reads; None where it does not."""
    if other.ids is not None:
        return message("verify.ids_shown")
    if other.text is not None:
        return message("verify.texts_shown")
    return None if other.count is None else message("verify.counts_shown")


def _differing_text(trained: Reading, name: str, mine: Rendered, other: Rendered) -> Message:
    """Return where two texts of a conversation part."""
    ours, theirs = trained.without_begin(mine.text or ""), trained.without_begin(other.text or "")
    place = next((n for n, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    expected, found = (
        repr(text[place : place + 12]) if place < len(text) else message("verify.no_token") for text in (ours, theirs)
    )
    before = repr(ours[max(0, place - 24) : place])
    return message("verify.text_differs", name=name, place=place, found=found, expected=expected, before=before)


def _differing(trained: Reading, name: str, mine: Rendered, other: Rendered) -> tuple[str, Message]:
    """Return what differs in two readings of a conversation, and the first differing token."""
    ours, theirs = mine.ids or (), other.ids or ()
    place = next((n for n, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    plain = [[one for one in ids if one not in trained.special] for ids in (ours, theirs)]
    kind = "template"
    if plain[0] == plain[1]:
        kind = "special tokens"
    elif other.text is not None and other.text == mine.text:
        kind = "tokenizer"
    expected, found = (
        trained.named(ids[place]) if place < len(ids) else str(message("verify.no_token")) for ids in (ours, theirs)
    )
    before = trained.tokenizer.decode(list(ours[max(0, place - 8) : place]), skip_special_tokens=False)
    return kind, message(
        "verify.token_differs", name=name, place=place, found=found, expected=expected, before=repr(before)
    )


def _bare(trained: Reading, reader: Reader, seen: list[Message]) -> tuple[Figure | None, list[tuple[str, Message]]]:
    """Compare what bare prompts are read as, where no template is at work; arguments and result as of `read_alike`."""
    same, looked, found = 0, 0, []
    for text in WORDS:
        other, mine = reader.read(text), trained.read(text)
        if (how := _shown_by(other)) is None:
            continue
        looked += 1
        if looked == 1:
            seen.append(how)
        name = repr(text[:20])
        if other.ids is not None and other.ids != mine.ids:
            found.append(_differing(trained, name, mine, Rendered(other.count, other.ids, text)))
        elif other.count not in (None, mine.count):
            kind = "special tokens" if abs((other.count or 0) - (mine.count or 0)) == 1 else "tokenizer"
            found.append((kind, message("verify.counts_differ", name=name, found=other.count, expected=mine.count)))
        else:
            same += 1
    if not looked:
        seen.append(message("verify.nothing_shown"))
        return None, []
    return proportion("texts read alike", same, looked, source="bundled texts"), found[:1]
