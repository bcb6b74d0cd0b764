"""What people bring: folders of other tools, GGUF files, and everything that can be wrong with them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from llama_cpp import LlamaCpp
from tiny_models import TEXTS, causal_tokenizer

import noria
from noria.core.errors import FolderError, NoriaError, ResourceError
from noria.core.folder import read_manifest
from noria.core.packages import package_file
from noria.infer.brought import base_folder, model_folder
from noria.infer.choose import open_engine
from noria.infer.engine import answer, count_weights, read_config, weight_files
from noria.make.models.bundled import SMOLLM2_FILE, SMOLLM2_PACKAGE, SMOLLM2_SHA256
from noria.make.models.load import load
from noria.make.training.finetune.causal import read_base
from noria.tasks.complete import Sampling
from noria.tasks.task import task_for

TEMPLATE = "{% for m in messages %}<|begin|>{{ m.role }}\n{{ m.content }}<|end|>\n{% endfor %}{% if add_generation_prompt %}<|begin|>assistant\n{% endif %}"


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("NORIA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def plain(folder: Path, target: Path, **config: Any) -> Path:
    """A folder of Noria's as another tool would have written it."""
    shutil.copytree(
        folder, target, ignore=shutil.ignore_patterns("noria.json", "engine", "certificate.json", "README.md")
    )
    changed(target / "config.json", **config)
    return target


def changed(file: Path, **values: Any) -> None:
    known = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps({**known, **values}))


def listing(folder: Path) -> list[tuple[str, int, int]]:
    return sorted((str(one), one.stat().st_size, one.stat().st_mtime_ns) for one in folder.rglob("*"))


def qwen(target: Path, **more: Any) -> Path:
    """A Qwen2.5 as the hub has it: biases, tied, bfloat16 in parts, a table longer than the vocabulary, no begin, two ends."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    target.mkdir(parents=True)
    size = causal_tokenizer(target)
    config = Qwen2Config(
        vocab_size=size + 27,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=96,
        max_position_embeddings=128,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=2,
        rope_theta=1_000_000.0,
    )
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(config).to(torch.bfloat16)
    model.save_pretrained(target, max_shard_size="40KB")
    assert (target / "model.safetensors.index.json").is_file()
    given = {"eos_token": "<|end|>", "pad_token": "<|pad|>", "bos_token": None, "chat_template": TEMPLATE}
    changed(target / "tokenizer_config.json", **given)
    changed(target / "generation_config.json", eos_token_id=[2, 5], do_sample=True, temperature=0.7)
    changed(target / "config.json", pad_token_id=None, **more)
    return target


@pytest.mark.parametrize(
    ("fixture", "task", "asked"),
    [
        ("plain_classifier", "classify", TEXTS[0]),
        ("tagger", "tag", TEXTS[5]),
        ("reader", "answer", {"question": "谁？", "context": TEXTS[3]}),
        ("translator", "translate", {"source": TEXTS[1]}),
        ("embedder", "embed", TEXTS[2]),
        ("writer", "complete", None),
    ],
)
def test_a_folder_of_another_tool_answers_as_noria_would_of_its_own(
    fixture: str, task: str, asked: Any, request: pytest.FixtureRequest, tmp_path: Path
):
    ours: Path = request.getfixturevalue(fixture)
    labels = read_manifest(ours).facts.get("labels") or []
    named = {}
    if task == "classify":
        named = {"id2label": {str(number): label for number, label in enumerate(labels)}}
    if task == "tag":
        names = ["O", *(f"{mark}-{label}" for label in labels for mark in "BI")]
        named = {"id2label": {str(number): name for number, name in enumerate(names)}}
    theirs = plain(ours, tmp_path / "theirs", **named)
    before, notes = listing(theirs), []
    folder = model_folder(theirs, note=notes.append)
    assert folder.name == "theirs"
    assert listing(theirs) == before
    assert len(notes) >= 1
    assert task in notes[0]
    engines = [open_engine(ours, threads=1, prefer="torch"), open_engine(folder, threads=1)]
    assert engines[1].kind == "torch"
    assert engines[1].task.name == task
    if asked is None:
        told = [list(one.generate([3, 4, 5], Sampling(temperature=0, max_tokens=6))) for one in engines]
    else:
        told = [answer(one, [asked]) for one in engines]
    assert told[0] == told[1]


def test_a_sentence_folder_pools_as_it_says(embedder: Path, tmp_path: Path):
    theirs = plain(embedder, tmp_path / "theirs")
    (theirs / "1_Pooling").mkdir()
    changed(theirs / "1_Pooling" / "config.json", pooling_mode_cls_token=True, pooling_mode_mean_tokens=False)
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    modules = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in kinds]
    (theirs / "modules.json").write_text(json.dumps(modules))
    changed(theirs / "sentence_bert_config.json", max_seq_length=16)
    engine = open_engine(model_folder(theirs), threads=1)
    assert (engine.task.pooling, engine.max_length) == ("cls", 16)  # type: ignore[attr-defined]


def test_a_qwen_as_the_hub_has_it_chats(tmp_path: Path):
    theirs, notes = qwen(tmp_path / "Qwen2.5-tiny"), []
    folder = model_folder(theirs, note=notes.append)
    engine = open_engine(folder, threads=1)
    assert engine.task.name == "chat"
    assert "chat" in notes[0]
    assert "<|pad|>" in notes[1]
    assert engine.padding.id == engine.tokenizer.token_to_id("<|pad|>")
    assert read_config(folder)["eos_token_id"] == [2, 5]
    row = {"messages": [{"role": "user", "content": "你好 😀"}]}
    ids = engine.task.features(engine.tokenizer, row, engine.max_length).ids
    assert (
        engine.tokenizer.decode(ids, skip_special_tokens=False) == "<|begin|>user\n你好 😀<|end|>\n<|begin|>assistant\n"
    )
    assert len(list(engine.generate(ids, Sampling(temperature=0, max_tokens=4)))) <= 4


def test_the_same_files_are_opened_once_and_changed_ones_again(writer: Path, tmp_path: Path):
    theirs, notes = plain(writer, tmp_path / "theirs"), []
    folder = model_folder(theirs, note=notes.append)
    made = (folder / "noria.json").stat().st_mtime_ns
    told = len(notes)
    assert model_folder(theirs, note=notes.append) == folder
    assert (folder / "noria.json").stat().st_mtime_ns == made
    assert len(notes) == told
    changed(theirs / "tokenizer_config.json", chat_template=TEMPLATE)
    assert read_manifest(model_folder(theirs)).facts["task"] == "chat"
    assert model_folder(writer) == writer
    assert base_folder(theirs) == theirs


def test_weights_that_lie_there_twice_are_read_once(tmp_path: Path):
    theirs = qwen(tmp_path / "Mistral-like")
    parts = sorted(one.name for one in theirs.glob("*.safetensors"))
    shutil.copyfile(theirs / parts[0], theirs / "consolidated.safetensors")
    folder = model_folder(theirs)
    assert sorted(one.name for one in folder.glob("*.safetensors")) == parts
    assert [one.name for one in weight_files(theirs)] == parts


def refused(folder: Path) -> str:
    """What opening says; it must be one line, and nothing may be left behind."""
    with pytest.raises(NoriaError) as caught:
        open_engine(model_folder(folder), threads=1)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
    return str(caught.value)


def with_tensors(folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Change tensors of a folder, all in one file."""
    from safetensors.torch import load_file, save_file

    tensors: dict[str, Any] = {}
    for file in weight_files(folder):
        tensors |= load_file(file)
        file.unlink()
    (folder / "model.safetensors.index.json").unlink(missing_ok=True)
    change(tensors)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


def test_what_is_wrong_with_a_folder_is_said_in_one_line(writer: Path, classifier: Path, tmp_path: Path):
    def case(name: str) -> Path:
        return plain(writer, tmp_path / name)

    folder = case("code")
    changed(folder / "config.json", model_type="of_their_own", auto_map={"AutoModel": "m.M"})
    assert "code of its own" in refused(folder)
    folder = case("pickle")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "pytorch_model.bin" in refused(folder)
    folder = case("cut")
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:-100])
    assert "model.safetensors cannot be read" in refused(folder)
    folder = case("shard")
    changed(folder / "model.safetensors.index.json", weight_map={"a": "model-00002-of-00002.safetensors"})
    assert "model-00002-of-00002.safetensors" in refused(folder)
    folder = case("tokenizer")
    changed(folder / "config.json", vocab_size=100)
    assert "does not fit" in refused(folder)
    with_tensors(folder, lambda tensors: tensors.update({name: one[:100].clone() for name, one in tensors.items()}))
    assert "tokenizer in" in refused(folder)
    folder = case("masked")
    changed(folder / "config.json", architectures=["BertForMaskedLM"])
    assert "tune it" in refused(folder)
    folder = case("json")
    (folder / "generation_config.json").write_text("{")
    assert "generation_config.json" in refused(folder)
    folder = case("template")
    changed(folder / "tokenizer_config.json", chat_template="{% for %}")
    assert "chat template" in refused(folder)
    folder = plain(classifier, tmp_path / "labels")
    changed(folder / "config.json", id2label={"0": "O"}, architectures=["BertForTokenClassification"])
    changed(folder / "config.json", id2label={"0": "B-X", "1": "O"})
    assert "B-X, O" in refused(folder)
    assert "nowhere" in refused(tmp_path / "nowhere")


def test_weights_that_transformers_would_draw_at_random_are_refused(tmp_path: Path):
    def shortened(tensors: dict[str, Any]) -> None:
        tensors["model.embed_tokens.weight"] = tensors["model.embed_tokens.weight"][:-1].clone()

    name = "model.layers.1.mlp.up_proj.weight"
    folder = with_tensors(qwen(tmp_path / "lacking"), lambda tensors: tensors.pop(name))
    assert name in refused(folder)
    with pytest.raises(FolderError, match=name):
        load(folder, "causal")
    folder = with_tensors(qwen(tmp_path / "shortened"), shortened)
    assert "rows in the table of embeddings" in refused(folder)
    with pytest.raises(FolderError, match="does not fit"):
        read_base(task_for("chat"), folder)


def test_code_and_pickles_beside_the_weights_are_left_behind(writer: Path, tmp_path: Path):
    theirs = plain(writer, tmp_path / "theirs", auto_map={"AutoModelForCausalLM": "modeling.M"})
    (theirs / "modeling.py").write_text("raise SystemExit")
    (theirs / "pytorch_model.bin").write_bytes(b"\x80\x02")
    folder = model_folder(theirs)
    assert not {"modeling.py", "pytorch_model.bin"} & {one.name for one in folder.iterdir()}
    assert "auto_map" not in read_config(folder)
    assert open_engine(folder, threads=1).kind == "torch"


def test_a_model_larger_than_memory_is_refused_before_it_is_read(
    writer: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    folder = model_folder(plain(writer, tmp_path / "theirs"))
    weights = count_weights(folder / "model.safetensors")
    assert weights > 10_000
    monkeypatch.setattr("noria.infer.engine.available_memory", lambda: 4 * weights - 1)
    with pytest.raises(ResourceError, match="theirs is larger than the memory"):
        open_engine(folder, threads=1)


def test_a_gguf_larger_than_memory_is_refused_before_it_is_opened(packed: Path, monkeypatch: pytest.MonkeyPatch):
    folder = model_folder(packed)
    monkeypatch.setattr("noria.infer.engine.available_memory", lambda: packed.stat().st_size - 1)
    with pytest.raises(ResourceError, match="larger than the memory"):
        open_engine(folder, threads=1)
    monkeypatch.setattr("noria.infer.gguf.folder.available_memory", lambda: 1_000_000)
    with pytest.raises(ResourceError, match=r"takes .* MB of memory"):
        base_folder(packed)


def test_a_name_of_a_hub_that_is_not_reached_is_said_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(FolderError, match="there is no folder nobody/nothing, and no hub"):
        model_folder("nobody/nothing")


@pytest.fixture(scope="module")
def packed() -> Path:
    return package_file(SMOLLM2_PACKAGE, SMOLLM2_FILE, SMOLLM2_SHA256)


def test_a_gguf_is_served_as_it_is_with_the_tokens_of_its_own(packed: Path):
    notes: list[str] = []
    folder = model_folder(packed, note=notes.append)
    assert folder.name == "SmolLM2-135M-Instruct.Q4_1"
    engine = open_engine(folder, threads=1)
    assert (engine.kind, engine.task.name, engine.max_length) == ("llamacpp", "chat", 8192)
    row = {"messages": [{"role": "user", "content": "Say 你好 and 😀."}]}
    ids = engine.task.features(engine.tokenizer, row, engine.max_length).ids
    ours = list(engine.generate(ids, Sampling(temperature=0, max_tokens=24)))
    engine.close()
    with LlamaCpp(packed) as peer:
        theirs = peer.written(ids, 24)
    assert ours == [one for one in theirs if one not in engine.ends]


def test_a_gguf_is_a_base_with_its_weights_unpacked(packed: Path):
    folder = base_folder(packed)
    assert read_manifest(folder).facts["parameters"] == 134_515_008
    assert (folder / "model.safetensors").is_file()
    assert base_folder(packed) == folder


def test_a_plain_folder_is_served_over_http_under_its_own_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    theirs = qwen(tmp_path / "Qwen2.5-tiny")
    with noria.serve(theirs, port=0, background=True, lake=tmp_path / "lake") as server:
        asked = {"model": "Qwen2.5-tiny", "messages": [{"role": "user", "content": "你好"}], "max_tokens": 3}
        reply = httpx.post(f"{server.url}/v1/chat/completions", headers=server.headers, json=asked, timeout=60)
    assert reply.status_code == 200, reply.text
    assert reply.json()["usage"]["completion_tokens"] <= 3
    assert "Qwen2.5-tiny is served and compressed as a model for: chat" in capsys.readouterr().err
