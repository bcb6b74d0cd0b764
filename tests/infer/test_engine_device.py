"""What is served on another device is what the processor gives, and a device that is not there is one line.

The other device is one that every machine has (`second_device`): it refuses what was left on the processor.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from second_device import second_device
from tiny_models import TEXTS, causal_tokenizer, make_encoder, pair_tokenizer

import noria
from noria import machine
from noria.core.errors import FolderError, SettingError
from noria.core.folder import new_folder
from noria.infer import child, choose
from noria.infer import torch as engine_torch
from noria.infer.choose import best_kind, open_engine
from noria.infer.device import named, place_of
from noria.infer.engine import answer
from noria.infer.torch import TorchEngine
from noria.infer.wire import Message, Unpacker, packed
from noria.make.evaluate.judge import judge
from noria.tasks.task import task_for
from tests.infer.test_engine_heads import CASES, DECODERS, ROWS, close, folder_of, lstm


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let every device but the processor be the second one, which is no faster in bfloat16."""
    for module in (choose, child):
        monkeypatch.setattr(module, "named", lambda name: "cpu" if name == "cpu" else "meta")
    monkeypatch.setattr(machine, "_speeds_on", lambda place: (1e12, 1e12))
    monkeypatch.setattr(engine_torch, "bf16_is_fast", lambda: False)  # the processor computes in float32, too
    monkeypatch.setattr(engine_torch, "WRITTEN", 8)
    with second_device():
        yield


def opened(folder: Path, device: str) -> TorchEngine:
    engine = open_engine(folder, threads=1, prefer="torch", device=device)
    assert isinstance(engine, TorchEngine)
    assert place_of(engine.model).type == ("cpu" if device == "cpu" else "meta")
    return engine


# One case of every head and of every adapter that is put back.
@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("case", ["pairs", "bert bottleneck", "bert prefix", "t5 prefix"])
def test_answers_are_those_of_the_processor(case: str, tmp_path: Path):
    name, make, adapter = CASES[case]
    task = task_for(name, {"classify": ["same", "other"], "tag": ["person", "place"]}.get(name, ()))
    folder = folder_of(tmp_path / "model", task, pair_tokenizer, make, adapter)
    rows = ROWS[name][: 2 if name == "translate" else 6]
    close(answer(opened(folder, "cuda"), rows), answer(opened(folder, "cpu"), rows))


@pytest.fixture(scope="module")
def compressed(quiet: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An embedder with an engine of the processor, whose file is never read here."""
    folder = make_encoder(tmp_path_factory.mktemp("models") / "vectors", "embed", [], 2, compiled=False)
    (folder / "engine").mkdir()
    (folder / "engine" / "model.xml").write_text("")
    (folder / "certificate.json").write_text('{"passed": true}')
    assert best_kind(folder) == "openvino"
    return folder


def test_embeddings_are_those_of_the_processor_and_openvino_is_passed_over(elsewhere: None, compressed: Path):
    with noria.load(compressed, engine="torch", device="cpu") as here, noria.load(compressed, device="cuda:1") as there:
        assert there.engine == "torch"
        assert there.embed(TEXTS) == pytest.approx(here.embed(TEXTS), abs=1e-5)
    with pytest.raises(SettingError, match=r"processor only.*openvino, meta"):
        noria.load(compressed, engine="openvino", device="cuda")
    with pytest.raises(FolderError, match=r"model\.xml"):  # what was asked for, on the processor
        noria.load(compressed, engine="openvino")


def recurrent(target: Path) -> Path:
    return folder_of(target, task_for("complete"), causal_tokenizer, lstm)


def with_prefix(target: Path) -> Path:
    return folder_of(target, task_for("complete"), causal_tokenizer, *DECODERS["llama prefix"])


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("make", [None, with_prefix, recurrent])
def test_texts_written_together_are_those_of_the_processor(
    make: Callable[[Path], Path] | None, writer: Path, tmp_path: Path
):
    folder = make(tmp_path / "model") if make else writer
    prompts = [text[: 4 + 3 * place] for place, text in enumerate(TEXTS[:2])]
    found = []
    for device in ("cpu", "auto"):
        with noria.load(folder, engine="torch", device=device, threads=1) as model:
            greedy = model(prompts, temperature=0, max_tokens=6)
            found.append(
                [
                    greedy,
                    model(prompts, seed=5, max_tokens=6, top_p=0.9, frequency_penalty=0.5),
                    model(prompts, temperature=0, max_tokens=6, stop=[greedy[0]["text"][1:3]]),
                    model(prompts[:1], temperature=0, max_tokens=4, logprobs=2),
                ]
            )
    close_numbers(found[1], found[0])
    assert found[0][2][0]["text"] == found[0][0][0]["text"][: found[0][0][0]["text"].index(found[0][0][0]["text"][1:3])]
    assert found[0][1] != found[0][0]


def close_numbers(told: Any, wanted: Any) -> None:
    """Compare as `close` does, tuples too."""
    plain = lambda one: [plain(each) for each in one] if isinstance(one, list | tuple) else one  # noqa: E731
    close(plain(told), plain(wanted))


def test_an_architecture_without_slots_is_stepped_there(elsewhere: None, writer: Path, monkeypatch: pytest.MonkeyPatch):
    from noria.infer import kv_cache

    monkeypatch.setattr(kv_cache, "_slots_fit", lambda *given: False)
    caches = [kv_cache.open_cache(opened(writer, device).model, 64) for device in ("cpu", "cuda")]
    for cache in caches:
        assert isinstance(cache, kv_cache.SingleTextCache)
    rows = [cache.open() for cache in caches]
    for ids in ([3, 4, 5], [6]):
        here, there = (cache.read(row, ids) for cache, row in zip(caches, rows, strict=True))
        torch.testing.assert_close(there, here, atol=1e-4, rtol=1e-4)


def test_a_file_of_llama_cpp_alone_is_unpacked_for_it(elsewhere: None, writer: Path, tmp_path: Path):
    """What was brought as a GGUF is served by torch there, with the weights that it packs."""
    from noria.make.compress.gguf import write_gguf

    with new_folder(tmp_path / "packed", kind="model") as folder:
        for one in writer.iterdir():
            if one.suffix == ".json" and one.name != "noria.json":
                (folder.path / one.name).write_bytes(one.read_bytes())
        (folder.path / "engine").mkdir()
        write_gguf(writer, folder.path / "engine" / "model.gguf", "float32")
        folder.facts.update(task="complete", labels=[], max_length=64)
    assert best_kind(tmp_path / "packed") == "llamacpp"
    with noria.load(tmp_path / "packed", device="cuda") as there, noria.load(writer, device="cpu") as here:
        assert there.complete("今天", temperature=0, max_tokens=6) == here.complete("今天", temperature=0, max_tokens=6)


def told_by(folder: Path, device: str, *asked: Message) -> list[Message]:
    """Run a model's process in this one, for some requests, and return all that it says."""
    ours, theirs = socket.socketpair()
    told: list[Message] = []

    def listen() -> None:
        unpacker = Unpacker()
        with ours, suppress(ConnectionResetError):  # it is gone with what it was asked unread
            while len(told) <= len(asked) and (content := ours.recv(1 << 16)):
                told.extend(unpacker.feed(content))

    for one in asked:
        ours.sendall(packed(one))
    thread = threading.Thread(target=listen)  # torch hands operators over to the second device in this one alone
    thread.start()
    child.main([str(folder), str(theirs.detach()), "1", "4096", device, "{}"])
    thread.join()
    return told


@pytest.fixture
def _signals() -> Iterator[None]:
    """Keep Ctrl-C as it is: the process of a model turns it off."""
    import gc
    import signal

    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)
    gc.unfreeze()


@pytest.mark.usefixtures("_signals")
def test_the_process_of_a_model_says_where_it_computes(elsewhere: None, compressed: Path, plain_classifier: Path):
    ready, answered = told_by(compressed, "cuda", {"id": 1, "texts": TEXTS[:2]})
    assert (ready["engine"], ready["device"], ready["passed_over"]) == ("torch", "meta", "openvino")
    assert len(answered["answers"]) == 2
    assert "passed_over" not in told_by(plain_classifier, "cuda")[0]
    assert not told_by(plain_classifier, "cpu")[0].keys() & {"device", "passed_over"}


@pytest.mark.usefixtures("_signals")
@pytest.mark.skipif(torch.accelerator.is_available(), reason="there is an accelerator here")
def test_a_device_that_is_not_there_is_refused_in_one_line(plain_classifier: Path, tmp_path: Path):
    assert named("auto") == "cpu"
    (refused,) = told_by(plain_classifier, "cuda:3")
    assert "no such device" in refused["refused"]
    assert "\n" not in refused["refused"]
    with pytest.raises(SettingError, match="no such device"):
        noria.load(plain_classifier, device="mps")
    with (
        pytest.raises(FolderError, match=r"sentiment does not load: there is no such device here.*cuda:3"),
        noria.serve(plain_classifier, port=0, device="cuda:3", background=True, lake=tmp_path / "lake"),
    ):
        pass
    with pytest.raises(SettingError, match="device"):
        noria.serve(plain_classifier, device="gpu")


def test_figures_are_those_of_the_processor(
    elsewhere: None, plain_classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import json

    from noria.core.progress import Report
    from noria.make.evaluate import judge as judging

    monkeypatch.setattr(judging, "chosen", lambda name: torch.device("cpu" if name == "cpu" else "meta"))
    rows = tmp_path / "rows.jsonl"
    labels = ["negative", "positive"]
    rows.write_text(
        "".join(json.dumps({"text": text, "label": labels[n % 2]}) + "\n" for n, text in enumerate(TEXTS)),
        encoding="utf-8",
    )
    here, there = (judge(plain_classifier, rows, Report.silent(), device=device) for device in ("cpu", "cuda"))
    assert [one.value for one in there] == pytest.approx([one.value for one in here])
