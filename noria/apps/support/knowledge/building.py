"""Sources -> a knowledge base: what changed is read again, what is gone is forgotten, and what was killed goes on.

    built = build(["handbook/", "faq.xlsx"], "kb")
    built.read, built.removed, built.passages

Each source is one transaction, under the hash of its content; embeddings are kept a batch at a time; postings and vectors are a
folder that is replaced whole, and only then is forgotten what the older one knew. So a run that is killed at any point leaves a base
that answers as it did, and the same command ends it. A large base answers by words alone as soon as these are read, then by embeddings of
the beginnings of its passages, then by those of all that is embedded of them: who has the base open sees it.
"""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from noria.apps.support.faq import read_faq
from noria.core.errors import InputError, ResourceError
from noria.core.folder import clear_partial, new_folder, read_manifest, sha256_file, write_bytes
from noria.core.messages import message
from noria.core.progress import Report
from noria.text.lexical import write_lexical

from .sources import Found, gather, read
from .store import Store, text_hash

READING = 2
"""Changes when sources must be read anew: how they are cut, what is kept of them."""
INDEX, FAQ = "index", "faq.jsonl"
LATER = 2_000
"""Passages that wait for their embeddings from which a base answers without them meanwhile: a minute or two."""
BATCH, WINDOW = 64, 1_024
"""Passages that are embedded between two writes, what a kill costs; and those among which they are taken by their length."""
COMPARED = 16
"""Bundled questions by which a model's cosines are told near from far."""
PROBES = ("How do I return an item?", "怎么退货？", "1 2 3")
"""Texts whose embeddings lie beside those of the passages: who answers from them must embed these alike."""


@dataclass(frozen=True)
class PassageEmbedder:
    """What embeds passages while a base is made."""

    model: str
    """Version of the model: other weights make other vectors."""
    embed: Callable[[Sequence[str]], np.ndarray]
    """Texts -> vectors of length one [texts, width]."""
    probe: Callable[[Sequence[str]], np.ndarray]
    """The same for questions, where a model tells the two apart."""
    brief: PassageEmbedder | None = None
    """The same model reading less of a passage, several times as fast: what a large base answers by until it is embedded."""


@dataclass
class Built:
    """What became of the sources."""

    read: list[str] = field(default_factory=list)
    """Names of those that were new or had changed."""
    same: int = 0
    removed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    """Files that are not in the base, each with the reason."""
    passages: int = 0
    embedded: int = 0
    """Passages embedded by this run."""
    kinds: dict[str, int] = field(default_factory=dict)
    """Kind of source -> how many."""


def build(
    sources: Sequence[str | Path],
    out: str | Path,
    *,
    embedder: PassageEmbedder | None = None,
    link: str = "",
    report: Report | None = None,
) -> Built:
    """Make a knowledge base hold what the sources hold now, and nothing else.

    Args:
        sources: files and folders.
        out: folder of the base.
        embedder: embeds the passages; without one they are found by their words alone.
        link: address under which the files are published.
        report: told of the progress, and of files that are left out.

    Raises:
        InputError: a source is missing, or a file that was named cannot be used.
        RowError: a row of one of them cannot.
        ResourceError: another process makes this base, or the disk is full.
    """
    report = report or Report.silent()
    out = Path(out)
    found, left = gather(sources, link)
    out.mkdir(parents=True, exist_ok=True)
    with _locked(out):
        clear_partial(out)
        store = Store(out, write=True)
        try:
            built = _read_sources(store, found, {Path(source) for source in sources}, report)
            built.left = [f"{path}: {reason}" for path, reason in left] + built.left
            for line in built.left:
                report.note(line)
            if embedder is not None:
                built.embedded = _Embedding(store, embedder, out, report).run()
            _publish(store, out, embedder, report)
            built.passages = store.count()
            for source in store.sources():
                built.kinds[source.kind] = built.kinds.get(source.kind, 0) + 1
        finally:
            store.close()
    return built


def watch(
    sources: Sequence[str | Path], changed: Callable[[], Built], *, seconds: float = 2.0, rounds: int | None = None
) -> Iterator[Built]:
    """Yield what became of the sources each time that one of them changes, until the caller stops.

    Args:
        sources: files and folders that are looked at.
        changed: makes the base anew.
        seconds: between two looks.
        rounds: looks; without end where not given.
    """
    before = _looks(sources)
    while rounds is None or rounds > 0:
        time.sleep(seconds)
        now = _looks(sources)
        if now != before:
            before = now
            yield changed()
        rounds = None if rounds is None else rounds - 1


def _looks(sources: Sequence[str | Path]) -> dict[str, tuple[int, int]]:
    looks = {}
    for source in map(Path, sources):
        for path in source.rglob("*") if source.is_dir() else [source]:
            try:
                status = path.stat()
            except OSError:
                continue  # gone between two looks: the next one sees it so
            looks[str(path)] = (status.st_mtime_ns, status.st_size)
    return looks


def _read_sources(store: Store, found: Sequence[Found], named: set[Path], report: Report) -> Built:
    built = Built()
    known = {source.name: source for source in store.sources()}
    for name in known.keys() - {one.name for one in found}:
        with store.changing():
            store.remove(name)
        built.removed.append(name)
    with report.bar("read", total=len(found), unit="file") as bar:
        for one in found:
            version = f"{READING}:{sha256_file(one.path)}:{one.link}"
            if one.name in known and known[one.name].version == version:
                built.same += 1
            else:
                _replace(store, one, version, named, built)
            bar.advance()
    built.removed.sort()
    return built


def _replace(store: Store, one: Found, version: str, named: set[Path], built: Built) -> None:
    try:
        content = read(one)
        with store.changing():
            store.replace(one.name, str(one.path), content.kind, version, content.passages, content.rows)
    except InputError as error:
        if one.path in named:
            raise
        # A file of a folder that cannot be used is left out, and its older version with it: what it said is no longer so.
        with store.changing():
            store.remove(one.name)
        built.left.append(str(error))
    else:
        built.read.append(one.name)
        built.left += [f"{one.name}: {note}" for note in content.notes]


def _publish(store: Store, out: Path, embedder: PassageEmbedder | None, report: Report, *, early: bool = False) -> None:
    """Write what is answered from, of all passages; then forget what only the older one knew."""
    _write_index(store, out, embedder, report, embedder.brief if embedder and early else None)
    _write_faq(store, out)
    store.forget_gone()


def _write_index(
    store: Store, out: Path, embedder: PassageEmbedder | None, report: Report, brief: PassageEmbedder | None
) -> None:
    """Write the postings and vectors of all passages, unless those that are there are of these and of this model; where a brief one is
    given, its vectors stand in for those that there are not."""
    ids = store.ids()
    model = brief.model if brief else embedder.model if embedder else ""
    state = text_hash(f"{READING}:{model}:{ids.tobytes().hex()}").hex()
    if _holds(out / INDEX, state):
        return
    report.note(message("work.postings", passages=len(ids)))
    with new_folder(out / INDEX, kind="knowledge-index", settings={"passages": state}) as folder:
        np.save(folder.path / "ids.npy", ids, allow_pickle=False)
        write_lexical(folder.path, ((one.searched, one.language) for one in store.passages()), len(ids))
        if embedder is not None:
            _write_vectors(store, folder.path, embedder, brief, len(ids))


def _write_vectors(
    store: Store, folder: Path, embedder: PassageEmbedder, brief: PassageEmbedder | None, count: int
) -> None:
    probes = np.asarray(embedder.probe(PROBES), dtype=np.float32)
    np.save(folder / "probes.npy", probes, allow_pickle=False)
    shape = (count, probes.shape[1])
    matrix = np.lib.format.open_memmap(folder / "vectors.npy", mode="w+", dtype=np.float16, shape=shape)
    briefly = 0
    for row, passage in enumerate(store.passages()):
        key = text_hash(passage.searched)
        vector = store.vector(embedder.model, key)
        if vector is None and brief is not None:
            vector, briefly = store.vector(brief.model, key), briefly + 1
        matrix[row] = vector
    matrix.flush()
    used = brief if brief is not None and 2 * briefly > count else embedder
    np.save(folder / "cosines.npy", _cosines(used), allow_pickle=False)


def _cosines(embedder: PassageEmbedder) -> np.ndarray:
    """Return a model's mean cosine of a question and another's answer, and of one and its own: on this scale models can be compared."""
    entries = read_faq().entries[:COMPARED]
    means = []
    for language in ("zh", "en"):
        asked = np.asarray(embedder.probe([entry.questions[language][0] for entry in entries]))
        cosines = asked @ np.asarray(embedder.embed([entry.answers[language] for entry in entries])).T
        own = float(np.trace(cosines))
        means.append(((cosines.sum() - own) / (cosines.size - len(entries)), own / len(entries)))
    return np.asarray(np.mean(means, axis=0))


def _write_faq(store: Store, out: Path) -> None:
    """Write the questions and answers of all sources as one file, ids of two sources kept apart; none where there are none."""
    lines, several = [], len({name for name, _ in store.rows("faq")}) > 1
    for name, value in store.rows("faq"):
        key = next((one for one in ("id", "编号", "序号") if value.get(one) not in (None, "")), None)
        if several and key is not None:
            value[key] = f"{name}#{value[key]}"
        lines.append(json.dumps(value, ensure_ascii=False))
    if lines:
        write_bytes(out / FAQ, ("\n".join(lines) + "\n").encode())
    else:
        (out / FAQ).unlink(missing_ok=True)


class _Embedding:
    """Embeds the passages that the model has not embedded yet; where they are many, the base answers meanwhile from what there is."""

    def __init__(self, store: Store, embedder: PassageEmbedder, out: Path, report: Report) -> None:
        self.store, self.embedder, self.out, self.report = store, embedder, out, report
        self.wanted: dict[bytes, int] = {}
        """Hash of a text -> the first passage that has it."""
        for number, passage in zip(store.ids(), store.passages(), strict=True):
            self.wanted.setdefault(text_hash(passage.searched), int(number))

    def run(self) -> int:
        """Return how many passages were embedded."""
        done = self.store.known_vectors(self.embedder.model)
        lacking = [key for key in self.wanted if key not in done]
        if len(lacking) > LATER:
            brief = self.embedder.brief
            begun = self.store.known_vectors(brief.model) if brief else set()
            first = [key for key in lacking if key not in begun]
            if 2 * len(first) > len(self.wanted):
                _publish(self.store, self.out, None, self.report)
                self.report.note(message("knowledge.words_first", count=len(lacking), out=str(self.out)))
            if brief:
                self._keep(brief, first, 4 * BATCH)
                _publish(self.store, self.out, self.embedder, self.report, early=True)
                self.report.note(message("knowledge.beginnings", count=len(lacking), out=str(self.out)))
        self._keep(self.embedder, lacking, BATCH)
        self.store.forget_vectors(self.embedder.model, done - self.wanted.keys())
        return len(lacking)

    def _keep(self, embedder: PassageEmbedder, keys: Sequence[bytes], at_once: int) -> None:
        """Embed passages and keep their vectors, so many between two writes; those of one length together, for that is faster."""
        with self.report.bar("embed", total=len(keys), unit="passage") as bar:
            for window in _parts(keys, WINDOW):
                held = self.store.chosen([self.wanted[key] for key in window])
                texts = {key: held[self.wanted[key]][1].searched for key in window}
                for part in _parts(sorted(window, key=lambda key: len(texts[key])), at_once):
                    self.store.keep_vectors(embedder.model, part, embedder.embed([texts[key] for key in part]))
                    bar.advance(len(part))


def _parts(keys: Sequence[bytes], most: int) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(keys), most):
        yield keys[start : start + most]


def _holds(folder: Path, state: str) -> bool:
    try:
        return read_manifest(folder).settings.get("passages") == state
    except Exception:
        return False


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    with (out / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ResourceError(message("knowledge.another"), found=str(out)) from None
        yield
