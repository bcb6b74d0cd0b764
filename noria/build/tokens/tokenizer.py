"""Train and load a tokenizer: byte-level BPE that is bounded on Chinese as on English.

A text is first cut into runs, and a token never crosses a cut: each digit alone; Han characters by at most 16; letters of
other scripts with the space before them; punctuation by at most 8. Chinese has no spaces, so without the second rule
whole sentences would count as words of their own, and time and memory would grow with the corpus. On 17,410 reviews and
19,484 newspaper paragraphs a cut at 16 costs 0.6 % of the tokens of no cut at all; a cut at 4 costs 7 %.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from noria.core.errors import FolderError, InputError, SettingError
from noria.core.figure import Figure
from noria.core.folder import Source, new_folder, write_json
from noria.core.progress import Report

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PAD, BEGIN, END = "<|pad|>", "<|begin|>", "<|end|>"
"""Ids 0, 1, 2. END stands after every document; none is put in by `encode`."""
RUNS = r"\p{N}|\p{Han}{1,16}| ?[\p{L}\p{M}&&[^\p{Han}]]{1,32}| ?[^\s\p{L}\p{M}\p{N}]{1,8}|\s{1,16}"  # Oniguruma
HELD_OUT_EVERY = 20
HELD_OUT_MOST = 2_000


def train_tokenizer(
    texts: Iterable[str],
    vocab_size: int,
    target: str | Path,
    report: Report | None = None,
    *,
    sources: list[Source] | None = None,
) -> Path:
    """Train a byte-level BPE tokenizer and write its folder: any text encodes, and decodes to itself after NFC.

    Every 20th text, up to 2,000, is kept out of training; `facts["figures"]` tells characters and bytes per token on
    those, by language.

    Args:
        texts: documents; read once.
        vocab_size: tokens wanted, 512 to 1,000,000; a small corpus gives fewer.
        target: the folder to write.
        report: where progress goes.
        sources: lineage of the texts.

    Raises:
        SettingError: `vocab_size` is out of range.
        InputError: there is no text.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    if not 512 <= vocab_size <= 1_000_000:
        raise SettingError("vocab_size is out of range", found=vocab_size, allowed="512 to 1,000,000")
    report = report or Report()
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(RUNS), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])  # fmt: skip
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, min_frequency=2, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[AddedToken(name, special=True, normalized=False) for name in (PAD, BEGIN, END)],
    )  # fmt: skip
    split = _Split(texts)
    with report.bar("tokenizer", unit="texts") as bar:
        tokenizer.train_from_iterator(split.training(bar.advance), trainer)
    if not split.trained:
        raise InputError("no text to train a tokenizer on", hint="give at least one document that is not empty")
    figures = density(tokenizer, split.held_out or split.first, "held-out texts" if split.held_out else "its own text")
    with new_folder(target, kind="tokenizer", settings={"vocab_size": vocab_size}, sources=sources) as folder:
        tokenizer.save(str(folder.path / "tokenizer.json"))
        write_json(folder.path / "tokenizer_config.json", {
            "tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False,
            "bos_token": BEGIN, "eos_token": END, "pad_token": PAD,
            "model_input_names": ["input_ids", "attention_mask"],
        })  # fmt: skip
        folder.facts.update(
            vocab_size=tokenizer.get_vocab_size(), texts=split.trained, characters=split.characters,
            figures=[figure.as_dict() for figure in figures],
        )  # fmt: skip
    report.ledger(f"tokenizer: {tokenizer.get_vocab_size():,} tokens; " + "; ".join(one.text() for one in figures))
    return Path(target)


def load_tokenizer(folder: str | Path) -> Tokenizer:
    """Return the tokenizer of a model or tokenizer folder.

    Raises:
        FolderError: `tokenizer.json` is missing or cannot be read.
    """
    from tokenizers import Tokenizer

    file = Path(folder) / "tokenizer.json"
    if not file.is_file():
        raise FolderError(f"{folder} holds no tokenizer.json", hint="it is not a model or tokenizer folder")
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises a bare Exception for every fault of the file
        raise FolderError(f"{file} cannot be read", found=str(error)) from None


@dataclass
class _Split:
    """Texts on their way to training, a few of them held out."""

    texts: Iterable[str]
    held_out: list[str] = field(default_factory=list)
    first: list[str] = field(default_factory=list)
    trained: int = 0
    characters: int = 0

    def training(self, advance: object) -> Iterator[str]:
        for index, text in enumerate(text for text in self.texts if text.strip()):
            if index % HELD_OUT_EVERY == HELD_OUT_EVERY - 1 and len(self.held_out) < HELD_OUT_MOST:
                self.held_out.append(text)
                continue
            if not self.first:
                self.first.append(text)
            self.trained += 1
            self.characters += len(text)
            if self.trained % 1_000 == 0:
                advance(1_000)  # type: ignore[operator]
            yield text


def language(text: str) -> str:
    """Return zh where at least three letters in ten are Han, en where the rest is mostly Latin, else other.

    >>> language("大模型 LLM"), language("a large model"), language("большая")
    ('zh', 'en', 'other')
    """
    letters = [letter for letter in text if letter.isalpha()]
    han = sum("\u3400" <= letter <= "\u9fff" for letter in letters)
    latin = sum(letter < "\u0250" for letter in letters)
    if han and han >= 0.3 * len(letters):
        return "zh"
    return "en" if latin > 0.5 * len(letters) else "other"


def density(tokenizer: Tokenizer, texts: Iterable[str], source: str) -> list[Figure]:
    """Return characters and UTF-8 bytes per token, by language; more of either means shorter sequences.

    The interval is that of a ratio of sums over texts (Cochran 1977, "Sampling Techniques", 6.19), at 95 %.
    """
    groups: dict[str, list[tuple[int, int, int]]] = {}
    texts = list(texts)
    for text, encoding in zip(texts, tokenizer.encode_batch(texts, add_special_tokens=False), strict=True):
        groups.setdefault(language(text), []).append((len(text), len(text.encode()), len(encoding.ids)))
    figures = []
    for name, rows in sorted(groups.items(), reverse=True):
        for column, unit in ((0, "characters/token"), (1, "bytes/token")):
            value, half = _ratio([row[column] for row in rows], [row[2] for row in rows])
            figures.append(Figure(name, value, n=len(rows), low=value - half, high=value + half, unit=unit,
                                  source=source))  # fmt: skip
    return figures


def _ratio(tops: list[int], bottoms: list[int]) -> tuple[float, float]:
    import numpy as np

    top, bottom = np.array(tops, float), np.array(bottoms, float)
    value = top.sum() / max(bottom.sum(), 1.0)
    if len(top) < 2:
        return float(value), 0.0
    spread = np.std(top - value * bottom, ddof=1) / (np.sqrt(len(top)) * max(bottom.mean(), 1e-9))
    return float(value), float(1.96 * spread)
