"""ONNX Runtime's engine, and two engines in one folder: the logits of torch, one line for a damaged file, the right one of the two."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from encoder_families import make_base
from tiny_models import LABELS, TEXTS, make_encoder

import noria
from noria.core.errors import FolderError, SettingError
from noria.core.folder import new_folder, read_manifest, verify
from noria.infer.brought import model_folder
from noria.infer.choose import best_kind, open_engine
from noria.infer.engine import ENGINES, Engine, answer
from noria.infer.pair import PairedEngine
from noria.infer.unpadded import ranges, smoothing
from noria.make.compress.onnx import export_onnx, make_onnx, write_graph
from noria.make.compress.settings import CompressSettings
from noria.tasks.complete import Sampling

FAMILIES = ("bert", "roberta", "distilbert", "electra", "mpnet", "modernbert")
"""Of which the first is written anew, as e5's and MiniLM's encoders are, and the others are traced."""


def with_graph(folder: Path, target: Path, *, pair: str = "", passed: bool = True) -> Path:
    """Write a copy of a folder with its graph as trained, and where `pair` names an engine for several texts a pair of both."""
    manifest = read_manifest(folder)
    with new_folder(target, kind="model") as made:
        for file in folder.iterdir():
            if file.is_file() and file.name not in ("noria.json", "certificate.json"):
                shutil.copyfile(file, made.path / file.name)
        (made.path / "engine").mkdir()
        export_onnx(folder, made.path / ENGINES["onnx"])
        if pair:
            (made.path / ENGINES["pair"]).write_text(json.dumps({"one": "onnx", "several": pair}))
        (made.path / "certificate.json").write_text(json.dumps({"passed": passed}))
        made.facts.update(manifest.facts)
    return target


def ids_of(engine: Engine) -> list[list[int]]:
    return [engine.task.features(engine.tokenizer, text, engine.max_length).ids for text in TEXTS]


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_encoder(tmp_path_factory.mktemp("onnx") / "m", "classify", LABELS, 2, compiled=False)


@pytest.fixture(scope="module")
def paired(classifier: Path) -> Path:
    return with_graph(classifier, classifier.with_name("pair"), pair="torch")


@pytest.mark.parametrize("task", ["classify", "tag", "embed"])
def test_logits_are_those_of_torch_whatever_the_batch(task: str, tmp_path: Path):
    folder = make_encoder(tmp_path / "m", task, LABELS, 5 if task == "tag" else 2, compiled=False)
    exact, fast = open_engine(folder, threads=1), open_engine(with_graph(folder, tmp_path / "g"), threads=1)
    assert (exact.kind, fast.kind) == ("torch", "onnx")
    batch = ids_of(exact)
    for texts in (batch, batch[:1], [[1, 2]]):
        for one, other in zip(exact.forward(texts), fast.forward(texts), strict=True):
            np.testing.assert_allclose(other, one, atol=1e-3)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_is_written_as_a_graph(name: str, tmp_path: Path):
    with new_folder(tmp_path / "m", kind="model") as made:
        make_base(name, made.path / "base")
        for file in (made.path / "base").iterdir():
            file.rename(made.path / file.name)
        (made.path / "base").rmdir()
        made.facts.update(task="embed", labels=[], max_length=64, pooling="mean", prefix="")
    exact = open_engine(tmp_path / "m", threads=1)
    fast = open_engine(with_graph(tmp_path / "m", tmp_path / "g"), threads=1)
    batch = [ids[:60] for ids in ids_of(exact)]
    for texts in (batch, batch[:1]):
        for one, other in zip(exact.forward(texts), fast.forward(texts), strict=True):
            np.testing.assert_allclose(other, one, atol=1e-3)


def test_what_cannot_be_written_as_a_graph_says_nothing(tmp_path: Path, capfd: pytest.CaptureFixture):
    class Turned(torch.nn.Module):
        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return torch.linalg.svd(ids.float()).S

    with pytest.raises(RuntimeError):
        write_graph(Turned(), {"input_ids": torch.ones(3, 17, dtype=torch.long)}, tmp_path / "g.onnx")
    assert capfd.readouterr() == ("", "")


def test_in_integers_it_is_near(classifier: Path, tmp_path: Path):
    exact = open_engine(classifier, threads=1)
    batch = ids_of(exact)
    scales = smoothing(ranges(exact.model, [batch]))
    for method, given, near in (("int8", (), 0.05), ("int8", scales, 0.05), ("int7", scales, 0.1)):
        name = f"{method}-{len(given)}"
        graph = export_onnx(classifier, tmp_path / f"{name}.onnx", given)
        folder = make_onnx(classifier, tmp_path / name, graph, method, CompressSettings())
        verify(folder)
        assert read_manifest(folder).facts["engine"]["bytes"] == (folder / ENGINES["onnx"]).stat().st_size
        fast = open_engine(folder, threads=1, prefer="onnx")
        for ids in batch:
            np.testing.assert_allclose(fast.forward([ids])[0], exact.forward([ids])[0], atol=near)
        assert (folder / "model.safetensors").read_bytes() == (classifier / "model.safetensors").read_bytes()
        assert best_kind(folder) == "torch", "no certificate yet"


def test_a_damaged_graph_is_one_line(classifier: Path, tmp_path: Path, capfd: pytest.CaptureFixture):
    folder = with_graph(classifier, tmp_path / "g")
    whole = (folder / ENGINES["onnx"]).read_bytes()
    for content in (b"", b"x" * len(whole), whole[: len(whole) // 2], whole[:-1000] + bytes(1000)):
        with new_folder(tmp_path / "cut", kind="model") as made:
            shutil.copytree(folder, made.path, dirs_exist_ok=True)
            (made.path / "noria.json").unlink()
            (made.path / ENGINES["onnx"]).write_bytes(content)
            made.facts.update(read_manifest(folder).facts)
        with pytest.raises(FolderError, match=r"model\.onnx cannot be read|wants unknown inputs") as told:
            open_engine(tmp_path / "cut", threads=1).forward([[1, 2]])
        assert "\n" not in str(told.value)
    assert capfd.readouterr() == ("", "")
    with pytest.raises(FolderError, match=r"holds no engine/model\.onnx"):
        open_engine(classifier, prefer="onnx")
    with pytest.raises(SettingError, match="causal"):
        list(open_engine(folder, threads=1).generate([1], Sampling()))


def test_weights_outside_the_folder_are_not_read(classifier: Path, tmp_path: Path):
    import onnx

    folder = with_graph(classifier, tmp_path / "g")
    file = folder / ENGINES["onnx"]
    graph = onnx.load(file)
    onnx.save_model(graph, tmp_path / "m.onnx", save_as_external_data=True, location="weights.bin", size_threshold=64)
    graph = onnx.load(tmp_path / "m.onnx", load_external_data=False)
    for where in ("../../weights.bin", str(tmp_path / "weights.bin")):
        for tensor in graph.graph.initializer:
            for one in tensor.external_data:
                if one.key == "location":
                    one.value = where
        with new_folder(tmp_path / "led", kind="model") as made:
            shutil.copytree(folder, made.path, dirs_exist_ok=True)
            (made.path / "noria.json").unlink()
            (made.path / ENGINES["onnx"]).write_bytes(graph.SerializeToString())
            made.facts.update(read_manifest(folder).facts)
        with pytest.raises(FolderError, match=r"model\.onnx cannot be read"):
            open_engine(tmp_path / "led", threads=1)


def test_a_graph_that_a_stranger_brings_is_not_run(classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    theirs = tmp_path / "theirs"
    shutil.copytree(with_graph(classifier, tmp_path / "g", pair="torch"), theirs)
    (theirs / "noria.json").unlink()
    folder = model_folder(theirs)
    assert not list(folder.rglob("*.onnx"))
    assert best_kind(folder) == "torch"


def test_of_a_pair_one_answers_a_text_alone_and_the_other_several(paired: Path, classifier: Path):
    assert best_kind(paired) == "pair"
    engine, exact = open_engine(paired, threads=1), open_engine(classifier, threads=1)
    assert isinstance(engine, PairedEngine)
    assert (engine.kind, engine.one.kind, engine.several.kind) == ("pair", "onnx", "torch")
    batch, asked = ids_of(exact), list[tuple[str, int]]()
    for part in (engine.one, engine.several):
        own, kind = part.forward, part.kind
        part.forward = lambda texts, types=None, own=own, kind=kind: (
            asked.append((kind, len(texts))),
            own(texts, types),
        )[1]  # type: ignore[method-assign]
    for texts in (batch, batch[:1], batch[:2]):
        for one, other in zip(exact.forward(texts), engine.forward(texts), strict=True):
            np.testing.assert_allclose(other, one, atol=1e-3)
    assert [kind for kind, _ in asked] == ["torch", "onnx", "torch"]
    known, told = answer(exact, TEXTS), answer(engine, TEXTS)
    assert [row["label"] for row in known] == [row["label"] for row in told]
    with pytest.raises(SettingError, match="causal"):
        list(engine.generate([1], Sampling()))
    engine.close()
    with noria.load(paired, threads=1) as loaded:
        assert loaded.engine == "pair"
        assert loaded(TEXTS[0])["label"] == known[0]["label"]


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"one": "onnx"}', '{"one": "onnx", "several": "onnx"}', '{"one": "llamacpp", "several": "onnx"}'],
)
def test_a_pair_that_names_no_two_engines_is_one_line(content: str, classifier: Path, tmp_path: Path):
    with new_folder(tmp_path / "m", kind="model") as made:
        shutil.copytree(classifier, made.path, dirs_exist_ok=True)
        (made.path / "noria.json").unlink()
        (made.path / "engine").mkdir()
        (made.path / ENGINES["pair"]).write_text(content)
        made.facts.update(read_manifest(classifier).facts)
    with pytest.raises(FolderError, match=r"pair\.json cannot be read"):
        open_engine(tmp_path / "m", prefer="pair")
