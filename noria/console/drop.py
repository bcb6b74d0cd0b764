"""Where a file is dropped: it is streamed to the server's disk, and the page is told what came of it, or why nothing did."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from nicegui import events, ui

from noria.server.http.data import MOST_BYTES

from .data_files import FILE_HEADER, FILES
from .words import Words

_NAMED = f"files => [{{name: '{FILE_HEADER}', value: encodeURIComponent(files[0].name)}}]"
_ANSWER = "info => emit(info.xhr.responseText)"


class Drop:
    """A place for files in one browser tab.

    Args:
        words: of the page.
        mark: what tells it from others of its page, an attribute of its element.
        done: called with what the server answered.
        inform: says that a file is on its way.
        wrong: says why one was not taken.
    """

    def __init__(
        self,
        words: Words,
        mark: str,
        done: Callable[[dict[str, Any]], None],
        inform: Callable[[str], None],
        wrong: Callable[[str], None],
    ) -> None:
        self.words, self.done, self.inform, self.wrong = words, done, inform, wrong
        self.element = ui.upload(max_file_size=MOST_BYTES, auto_upload=True, label=words("data.drop"))
        self.element.props(f'flat bordered send-raw :headers="{_NAMED}" {mark}').classes("data-drop")
        self.element.on("uploaded", self.uploaded, js_handler=_ANSWER)
        self.element.on("failed", self.failed, js_handler=_ANSWER)
        self.element.on("rejected", self.rejected, js_handler="() => emit()")
        self.element.on("uploading", self.uploading, js_handler="() => emit()")

    def address(self, below: str = "", **asked: str) -> None:
        """Say where the next file goes: a path below that of files, and what stands behind its question mark."""
        self.element.props["url"] = f"{FILES}{below}?{urlencode(asked)}"
        self.element.update()

    def uploading(self) -> None:
        """Say that a file is on its way."""
        self.inform(self.words("data.reading"))

    def uploaded(self, event: events.GenericEventArguments) -> None:
        """Hand on what came of a file."""
        self.element.reset()
        self.done(json.loads(event.args))

    def failed(self, event: events.GenericEventArguments) -> None:
        """Say why a file was not taken."""
        self.element.reset()
        try:
            text = json.loads(event.args)["error"]
            text = text["message"] if isinstance(text, dict) else text
        except (ValueError, KeyError, TypeError):
            text = self.words("data.broke_off")
        self.wrong(text)

    def rejected(self) -> None:
        """Say that a file is too large to be sent at all."""
        self.wrong(self.words("data.too_large", gib=MOST_BYTES >> 30))
