"""Several LoRAs on one base: each request is written as the model with that LoRA merged writes, whoever is in the same batch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from decoder_folders import make_decoder
from safetensors.torch import load_file, save_file

from noria.core.errors import FolderError, SettingError
from noria.core.folder import read_manifest
from noria.infer.brought import model_folder
from noria.infer.choose import open_engine
from noria.infer.gguf.lora import lora_file
from noria.infer.gguf.reader import read_gguf
from noria.infer.torch import TorchEngine
from noria.make.compress.gguf import write_gguf
from noria.server.http.run import serving
from noria.server.http.settings import ServerSettings
from noria.tasks.companion import open_task
from noria.tasks.complete import Sampling
from noria.tasks.tokenizer import read_tokenizer

PARTS = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.down_proj")
FAMILIES = ("Llama 3", "Qwen3")
"""One whose heads llama.cpp turns, and one that it leaves as they are."""
PROMPTS = ([5, 6, 7, 8, 11], [9, 10, 11])
GREEDY = Sampling(temperature=0, max_tokens=10)


def make_lora(base: Path, target: Path, seed: int, number: torch.dtype = torch.float32, **config: Any) -> Path:
    """A LoRA in peft's layout, its matrices random."""
    random = torch.Generator().manual_seed(seed)
    weights, tensors = load_file(base / "model.safetensors"), {}
    for name, matrix in weights.items():
        path = name.removesuffix(".weight")
        if path.endswith(PARTS):
            rank = 3 if "mlp" in path else 4
            for end, shape in (("A", (rank, matrix.shape[1])), ("B", (matrix.shape[0], rank))):
                made = torch.randn(*shape, generator=random) * 0.3
                tensors[f"base_model.model.{path}.lora_{end}.weight"] = made.to(number)
    target.mkdir()
    save_file(tensors, target / "adapter_model.safetensors")
    told = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "bias": "none", "alpha_pattern": {"q_proj": 2}, **config}
    (target / "adapter_config.json").write_text(json.dumps(told))
    return target


def merged(base: Path, lora: Path, target: Path) -> Path:
    """The base with a LoRA merged by hand."""
    target.mkdir()
    for file in base.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    weights, tensors = load_file(base / "model.safetensors"), load_file(lora / "adapter_model.safetensors")
    for name, down in tensors.items():
        if "lora_A" in name:
            up = tensors[name.replace("lora_A", "lora_B")]
            path = name.removeprefix("base_model.model.").replace(".lora_A", "")
            alpha = 2 if "q_proj" in name else 8
            weights[path] += alpha / len(down) * (up.float() @ down.float())
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
    return target


def opened(place: Path, adapters: dict[str, Path] | None = None) -> Any:
    """The engine of a base, in float32: llama.cpp of a file, torch of a folder."""
    folder = model_folder(place)
    if place.is_file():
        return open_engine(folder, threads=1, adapters=adapters)
    manifest = read_manifest(folder)
    return TorchEngine(folder, manifest, open_task(folder, manifest), threads=1, number="float32", adapters=adapters)


class Made:
    """A base, its LoRAs, and what each of them writes alone."""

    def __init__(self, family: str, there: Path) -> None:
        self.base = make_decoder(family, there / "base")
        self.adapters = {name: make_lora(self.base, there / name, seed) for seed, name in enumerate(("a", "b"))}
        self.alone = {"": self.texts(self.base)}
        for name, lora in self.adapters.items():
            self.alone[name] = self.texts(merged(self.base, lora, there / f"{name}-merged"))
        self.file = there / "base.gguf"
        write_gguf(self.base, self.file, "float32")

    def texts(self, folder: Path) -> list[list[int]]:
        engine = opened(folder)
        return [list(engine.generate(ids, GREEDY)) for ids in PROMPTS]


@pytest.fixture(scope="module")
def llama(quiet: None, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made("Llama 3", tmp_path_factory.mktemp("loras"))


@pytest.fixture(scope="module", params=FAMILIES)
def made(request: pytest.FixtureRequest, llama: Made, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return llama if request.param == "Llama 3" else Made(request.param, tmp_path_factory.mktemp("loras"))


def together(engine: Any, names: list[str]) -> dict[tuple[int, str], list[int]]:
    """What every prompt becomes with every LoRA, all at once."""
    scheduler, found = engine.scheduler(), dict[tuple[int, str], list[int]]()
    for number, ids in enumerate(PROMPTS):
        for name in names:
            found[number, name] = []
            scheduler.begin((number, name), ids, GREEDY, max_tokens=GREEDY.max_tokens, adapter=name)
    while scheduler.busy:
        for key, drawn in scheduler.step():
            assert not isinstance(drawn, Exception), drawn
            found[key] += [drawn.token] if drawn else []
    scheduler.close()
    return found


@pytest.mark.parametrize("kind", ["torch", "llamacpp"])
def test_a_batch_of_several_writes_what_each_writes_alone(made: Made, kind: str):
    engine = opened(made.base if kind == "torch" else made.file, made.adapters)
    assert engine.kind == kind
    names = ["a", "", "b"]
    try:
        found = together(engine, names)
        assert found == {(number, name): made.alone[name][number] for number in range(2) for name in names}
        assert together(engine, ["b", "a"]).items() <= found.items()  # what is remembered of texts is each LoRA's own
    finally:
        engine.close()
    assert made.alone["a"] != made.alone[""] != made.alone["b"]


def test_a_gguf_of_a_lora_is_taken_by_llama_cpp_and_refused_by_torch(llama: Made, tmp_path: Path):
    file = lora_file(llama.adapters["a"], read_gguf(llama.file), tmp_path / "a.gguf")
    engine = opened(llama.file, {"a": file})
    try:
        assert together(engine, ["a"]) == {(number, "a"): llama.alone["a"][number] for number in range(2)}
    finally:
        engine.close()
    with pytest.raises(FolderError, match=r"only llama\.cpp takes"):
        opened(llama.base, {"a": file})


def test_what_does_not_fit_is_one_line(llama: Made, classifier: Path, tmp_path: Path):
    other = make_decoder("Llama 3", tmp_path / "other", hidden_size=32)
    strange = {
        "was made for another model": make_lora(other, tmp_path / "narrow", 0),
        "no plain LoRA": make_lora(llama.base, tmp_path / "dora", 0, use_dora=True),
        "cannot be read": tmp_path / "none",
    }
    cut = make_lora(llama.base, tmp_path / "cut", 0)
    file = cut / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:2_000])
    for place in (llama.base, llama.file):
        for told, lora in [*strange.items(), ("cannot be read", cut)]:
            with pytest.raises(FolderError, match=told) as caught:
                opened(place, {"x": lora})
            assert "\n" not in str(caught.value)
    with pytest.raises(FolderError, match="no plain LoRA"):  # the file of a whole model
        opened(llama.file, {"x": llama.file})
    with pytest.raises(SettingError, match="takes no LoRAs"):
        open_engine(classifier, adapters=llama.adapters)


@pytest.mark.parametrize("number", [torch.float16, torch.bfloat16])
def test_short_numbers_are_read(llama: Made, tmp_path: Path, number: torch.dtype):
    lora = make_lora(llama.base, tmp_path / "short", 4, number)
    expected = llama.texts(merged(llama.base, lora, tmp_path / "merged"))
    assert together(opened(llama.base, {"short": lora}), ["short"]) == {
        (place, "short"): ids for place, ids in enumerate(expected)
    }


def test_a_client_chooses_by_the_models_name(llama: Made, tmp_path: Path):
    given = tuple(f"{name}={path}" for name, path in llama.adapters.items())
    settings = ServerSettings(lake=tmp_path / "lake", port=0, threads=1, adapters=(",".join(given),))
    with (
        serving(settings, [model_folder(llama.file)]) as server,
        httpx.Client(base_url=f"{server.url}/v1", headers=server.headers, timeout=60) as client,
    ):
        models = client.get("/models").json()["data"]
        assert [(one["id"], one["parent"]) for one in models] == [("base", None), ("a", "base"), ("b", "base")]
        versions = {one["id"]: one["version"] for one in models}
        assert len(set(versions.values())) == 3
        assert versions["a"].startswith(versions["base"])
        tokenizer = read_tokenizer(llama.base)
        for name, own in (("base", ""), ("a", "a"), ("b", "b")):
            body = {"prompt": PROMPTS[0], "temperature": 0, "max_tokens": 10, "model": name}
            told = client.post("/completions", json=body).json()
            assert told["choices"][0]["text"] == tokenizer.decode(llama.alone[own][0])
        chat = {"messages": [{"role": "user", "content": "水"}], "temperature": 0, "max_tokens": 10}
        told = [
            client.post("/chat/completions", json=chat | more).json()["choices"][0]["message"]["content"]
            for more in ({}, {"model": "base"}, {"model": "a"})
        ]
        assert told[0] == told[1] != told[2]
        assert client.post("/chat/completions", json=chat | {"model": "c"}).status_code == 404
        root = {"url": f"{server.url}/versions/a", "headers": server.headers}
        changed = client.post(**root, json={"action": "roll_back"})
        assert changed.status_code == 400
        assert "with its base" in changed.json()["error"]["message"]


def test_loras_need_one_base_and_names_of_their_own(llama: Made, classifier: Path, tmp_path: Path):
    def serve(models: list[Path], *adapters: str) -> None:
        with serving(ServerSettings(lake=tmp_path / "lake", port=0, adapters=adapters), models):
            pass

    with pytest.raises(SettingError, match="exactly one served model"):
        serve([classifier], f"a={llama.adapters['a']}")
    with pytest.raises(SettingError, match="share a name"):
        serve([model_folder(llama.file)], f"base={llama.adapters['a']}")
    for wrong in ("a", "=b", "a=b,a=c"):
        with pytest.raises(ValueError, match="NAME=FOLDER"):
            ServerSettings(adapters=(wrong,))


def test_numbers_of_a_lora_file_are_the_format_own(llama: Made, tmp_path: Path):
    """The file says what llama.cpp's own converter says: down and up by matrix, its scale in them."""
    file = lora_file(llama.adapters["b"], read_gguf(llama.file), tmp_path / "b.gguf")
    opened = read_gguf(file)
    assert opened.facts["general.type"] == "adapter"
    tensors = load_file(llama.adapters["b"] / "adapter_model.safetensors")
    path = "base_model.model.model.layers.1.mlp.down_proj.lora_"
    np.testing.assert_array_equal(opened.array("blk.1.ffn_down.weight.lora_a"), tensors[f"{path}A.weight"].numpy())
    up = tensors[f"{path}B.weight"].numpy() * np.float32(8 / 3)
    np.testing.assert_array_equal(opened.array("blk.1.ffn_down.weight.lora_b"), up)
