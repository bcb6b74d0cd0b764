"""Texts that grow side by side in one causal model: what is kept of each, so that a step computes one token a text.

    cache = open_cache(model, most_tokens=1024)
    row = cache.open()
    logits = cache.read(row, ids)                 # of the token after the last
    cache.step({row: token, other: token})        # row -> logits of the token after

Three kinds, one contract. `SlotCache` keeps keys and values of all texts in one table, so that a step is one forward pass
whatever their lengths; `SingleTextCache` keeps a cache a text, for architectures whose cache is none of keys and values;
`LstmCache` keeps the memory of an LSTM.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicCache

from .adapters import Loras
from .device import place_of
from .nets import Lstm

_FIRST_TOKENS = 256
"""Tokens a row that a table begins with; it doubles as texts grow."""


class KVCache(Protocol):
    """Texts that grow. A row's number stays the same until it is closed."""

    def open(self, adapter: str = "") -> int:
        """Begin a text, which one of the model's LoRAs may change, and return its row."""

    def close(self, row: int) -> None:
        """Forget a text."""

    def go_on(self, row: int, length: int, *, copied: bool) -> int | None:
        """Return a row that holds a text's first tokens: the row itself, cut, or a copy; None where neither can be done."""

    def read(self, row: int, ids: Sequence[int]) -> torch.Tensor:
        """Add ids to a text; return the logits [vocabulary], float32, on the processor, of what follows them."""

    def step(self, tokens: Mapping[int, int]) -> dict[int, torch.Tensor]:
        """Add one token to each of some texts; return the logits of what follows each."""


def open_cache(model: Any, max_tokens: int, loras: Loras | None = None) -> KVCache:
    """Return rows for a causal model: slots where they give what the model gives alone, as a trial on two texts shows.

    Args:
        model: the model.
        max_tokens: of a text.
        loras: beside its matrices; each row may have one.
    """
    if isinstance(model, Lstm):
        return LstmCache(model)
    return SlotCache(model, max_tokens, loras) if _slots_fit(model, max_tokens) else SingleTextCache(model, loras)


class _SlotLayer(CacheLayerMixin):
    """Keys and values of one layer for all rows, each [rows, heads, tokens, width]."""

    def __init__(self, slots: SlotCache) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # transformers
        self._slots = slots

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Make the tables; zeros, for what is masked is still multiplied."""
        size = (self._slots.capacity, key_states.shape[1], self._slots.tokens)
        self.keys = key_states.new_zeros(*size, key_states.shape[3])
        self.values = value_states.new_zeros(*size, value_states.shape[3])
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write what is new where the slots say, and return what the texts at work may see."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        assert self.keys is not None
        assert self.values is not None
        slots = self._slots
        self.keys[slots.at], self.values[slots.at] = (
            one if slots.reading else one[:, :, 0] for one in (key_states, value_states)
        )
        return self.keys[slots.seen], self.values[slots.seen]

    def grow(self, capacity: int, tokens: int) -> None:
        """Make room for more rows, or longer ones."""
        if self.is_initialized:
            self.keys, self.values = (_grown(one, capacity, tokens) for one in (self.keys, self.values))

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return how many keys are seen, and from which on."""
        return self._slots.width, 0

    def get_seq_length(self) -> int:
        """Return how many tokens were there before."""
        return self._slots.width

    def get_max_length(self) -> int:
        """Return -1: there is no bound but the model's."""
        return -1


class SlotCache:
    """Rows in one table. The rows at work are its first ones, so that a step reads no others."""

    def __init__(self, model: Any, max_tokens: int, loras: Loras | None = None) -> None:
        self._model, self._most, self._last, self._loras = model, max_tokens, _only_last(model), loras
        self._place = place_of(model)
        self.capacity, self.tokens = 1, min(_FIRST_TOKENS, max_tokens)
        layers = int(model.config.get_text_config().num_hidden_layers)
        self._layers = [_SlotLayer(self) for _ in range(layers)]
        self._cache = Cache(layers=list(self._layers))
        self._rows: list[int] = []
        """Row of each place of the table."""
        self._lengths: list[int] = []
        self._adapters: dict[int, str] = {}
        self._number = 0
        # Where a forward pass writes and what it sees; set before each.
        self.at: Any = ()
        self.seen: Any = ()
        self.reading = False
        self.width = 0

    def open(self, adapter: str = "") -> int:
        """Begin a text; see `KVCache`."""
        self._number += 1
        self._rows.append(self._number)
        self._adapters[self._number] = adapter
        self._lengths.append(0)
        if len(self._rows) > self.capacity:
            self._grow(2 * self.capacity, self.tokens)
        return self._number

    @torch.inference_mode()
    def close(self, row: int) -> None:
        """Forget a text; the last one of the table takes its place."""
        place, last = self._rows.index(row), len(self._rows) - 1
        if place < last:
            length = self._lengths[last]
            for layer in self._layers:
                if layer.keys is not None and layer.values is not None:
                    layer.keys[place, :, :length] = layer.keys[last, :, :length]
                    layer.values[place, :, :length] = layer.values[last, :, :length]
            self._rows[place], self._lengths[place] = self._rows[last], length
        self._rows.pop()
        self._lengths.pop()
        del self._adapters[row]

    @torch.inference_mode()
    def go_on(self, row: int, length: int, *, copied: bool) -> int | None:
        """Return a row with a text's first tokens; see `KVCache`."""
        if copied:
            row, other = self.open(self._adapters[row]), row
            place, source = self._rows.index(row), self._rows.index(other)
            for layer in self._layers:
                if layer.keys is not None and layer.values is not None:
                    layer.keys[place, :, :length] = layer.keys[source, :, :length]
                    layer.values[place, :, :length] = layer.values[source, :, :length]
        # What lies beyond is written over before it is seen.
        self._lengths[self._rows.index(row)] = length
        return row

    def read(self, row: int, ids: Sequence[int]) -> torch.Tensor:
        """Add ids to a text; see `KVCache`."""
        place = self._rows.index(row)
        start = self._lengths[place]
        end = start + len(ids)
        self._reach(end)
        self.reading, self.width = True, start
        self.at = (slice(place, place + 1), slice(None), slice(start, end))
        self.seen = (slice(place, place + 1), slice(None), slice(0, end))
        mask = torch.ones(len(ids), end, dtype=torch.bool, device=self._place).tril(start)[None, None]
        places = torch.arange(start, end, device=self._place)[None]
        logits = self._forward([row], torch.tensor([list(ids)], device=self._place), places, mask)
        self._lengths[place] = end
        return logits[0]

    def step(self, tokens: Mapping[int, int]) -> dict[int, torch.Tensor]:
        """Add one token to each of some texts; see `KVCache`."""
        self._to_the_front(tokens)
        count = len(tokens)
        lengths = self._lengths[:count]
        self._reach(max(lengths) + 1)
        places = torch.tensor(lengths, device=self._place)
        self.reading, self.width = False, max(lengths)
        self.at = (torch.arange(count, device=self._place), slice(None), places)
        self.seen = (slice(0, count), slice(None), slice(0, self.width + 1))
        mask = (torch.arange(self.width + 1, device=self._place)[None] <= places[:, None])[:, None, None]
        ids = torch.tensor([[tokens[row]] for row in self._rows[:count]], device=self._place)
        logits = self._forward(self._rows[:count], ids, places[:, None], mask)
        self._lengths[:count] = [length + 1 for length in lengths]
        return dict(zip(self._rows[:count], logits, strict=True))

    def _forward(
        self, rows: Sequence[int], ids: torch.Tensor, places: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        with _chosen(self._loras, [self._adapters[row] for row in rows]), torch.inference_mode():
            output = self._model(
                input_ids=ids,
                position_ids=places,
                attention_mask=mask,
                past_key_values=self._cache,
                use_cache=True,
                **self._last,
            )
        logits: torch.Tensor = output.logits
        return logits[:, -1].float().cpu()

    def _to_the_front(self, rows: Mapping[int, int]) -> None:
        """Swap the rows of a step to the first places."""
        count = len(rows)
        free = [place for place, row in enumerate(self._rows[:count]) if row not in rows]
        for place in range(count, len(self._rows)):
            if self._rows[place] in rows:
                self._swap(free.pop(), place)

    @torch.inference_mode()
    def _swap(self, one: int, other: int) -> None:
        length, places = max(self._lengths[one], self._lengths[other]), torch.tensor([one, other], device=self._place)
        for layer in self._layers:
            for table in (layer.keys, layer.values):
                if table is not None:
                    table[places, :, :length] = table[places.flip(0), :, :length]
        for values in (self._rows, self._lengths):
            values[one], values[other] = values[other], values[one]

    def _reach(self, tokens: int) -> None:
        if tokens > self.tokens:
            self._grow(self.capacity, min(max(2 * self.tokens, tokens), max(self._most, tokens)))

    @torch.inference_mode()
    def _grow(self, capacity: int, tokens: int) -> None:
        self.capacity, self.tokens = capacity, tokens
        for layer in self._layers:
            layer.grow(capacity, tokens)


class SingleTextCache:
    """Rows with a cache each, one forward pass a row: for caches that are none of keys and values."""

    def __init__(self, model: Any, loras: Loras | None = None) -> None:
        self._model, self._last, self._loras, self._place = model, _only_last(model), loras, place_of(model)
        self._caches: dict[int, Any] = {}
        self._adapters: dict[int, str] = {}
        self._number = 0

    def open(self, adapter: str = "") -> int:
        """Begin a text; see `KVCache`."""
        self._number += 1
        self._caches[self._number], self._adapters[self._number] = None, adapter
        return self._number

    def close(self, row: int) -> None:
        """Forget a text."""
        del self._caches[row], self._adapters[row]

    def go_on(self, row: int, length: int, *, copied: bool) -> int | None:
        """Return None: a cache of any kind cannot be cut."""
        return None

    def read(self, row: int, ids: Sequence[int]) -> torch.Tensor:
        """Add ids to a text; see `KVCache`."""
        given = torch.tensor([list(ids)], device=self._place)
        with _chosen(self._loras, [self._adapters[row]]), torch.inference_mode():
            output = self._model(input_ids=given, past_key_values=self._caches[row], use_cache=True, **self._last)
        self._caches[row] = output.past_key_values
        logits: torch.Tensor = output.logits
        return logits[0, -1].float().cpu()

    def step(self, tokens: Mapping[int, int]) -> dict[int, torch.Tensor]:
        """Add one token to each of some texts; see `KVCache`."""
        return {row: self.read(row, [token]) for row, token in tokens.items()}


class LstmCache:
    """Rows of an LSTM: hidden state and memory cell of every layer."""

    def __init__(self, model: Lstm) -> None:
        self._model, self._place = model, place_of(model)
        self._states: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self._number = 0

    def open(self, adapter: str = "") -> int:
        """Begin a text; see `KVCache`. It has no matrices that a LoRA is made for."""
        self._number += 1
        self._states[self._number] = self._model.empty()
        return self._number

    def close(self, row: int) -> None:
        """Forget a text."""
        del self._states[row]

    def go_on(self, row: int, length: int, *, copied: bool) -> int | None:
        """Return None: a state cannot be turned back."""
        return None

    def read(self, row: int, ids: Sequence[int]) -> torch.Tensor:
        """Add ids to a text; see `KVCache`."""
        given = torch.tensor([list(ids)], device=self._place)
        logits, self._states[row] = self._model.further(given, self._states[row])
        return logits[0].cpu()

    def step(self, tokens: Mapping[int, int]) -> dict[int, torch.Tensor]:
        """Add one token to each of some texts; see `KVCache`."""
        rows = list(tokens)
        hidden, memory = (torch.cat([self._states[row][part] for row in rows], dim=1) for part in (0, 1))
        given = torch.tensor([[tokens[row]] for row in rows], device=self._place)
        logits, (hidden, memory) = self._model.further(given, (hidden, memory))
        for place, row in enumerate(rows):
            self._states[row] = (hidden[:, place : place + 1], memory[:, place : place + 1])
        return dict(zip(rows, logits.cpu(), strict=True))


def _chosen(loras: Loras | None, rows: Sequence[str]) -> AbstractContextManager[None]:
    return loras.chosen(rows) if loras else nullcontext()


def _only_last(model: Any) -> dict[str, int]:
    """Return what tells a model to compute the last token's logits only, where it can be told."""
    return {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(model.forward).parameters else {}


def _grown(table: torch.Tensor | None, capacity: int, tokens: int) -> torch.Tensor:
    assert table is not None
    new = table.new_zeros(capacity, table.shape[1], tokens, table.shape[3])
    new[: table.shape[0], :, : table.shape[2]] = table
    return new


def _slots_fit(model: Any, max_tokens: int) -> bool:
    """Say whether two texts of different lengths, side by side, get the logits that each gets alone.

    Architectures differ in what they make of places, masks and caches; what counts is what comes out.
    """
    size = int(model.config.get_text_config().vocab_size)
    room = max(2, min(max_tokens, 24))
    texts = [
        [(7 * place + 3) % size for place in range(room - 1)],
        [(5 * place + 1) % size for place in range(room // 2)],
    ]
    try:
        rows = SlotCache(model, max_tokens)
        numbers = [rows.open() for _ in texts]
        for number, ids in zip(numbers, texts, strict=True):
            rows.read(number, ids[: len(ids) // 2])
            rows.read(number, ids[len(ids) // 2 : -1]) if len(ids) > 3 else None
        found = rows.step({number: ids[-1] for number, ids in zip(numbers, texts, strict=True)})
    except Exception:  # an architecture that takes no such cache says so in its own way
        return False
    for number, ids in zip(numbers, texts, strict=True):
        seen = ids if len(ids) > 3 else [*ids[: len(ids) // 2], ids[-1]]
        given = torch.tensor([seen], device=place_of(model))
        with torch.inference_mode():
            alone = model(input_ids=given, use_cache=True, past_key_values=DynamicCache()).logits[0, -1].float().cpu()
        near = (found[number] - alone).abs().max() <= 0.02 * (1 + alone.abs().max())
        if not bool(near):
            return False
    return True
