"""Tuning a decoder on conversations: which turns are learned, how long rows may be, what is held at rest, how much memory it takes."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from causal_families import build
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tiny_models import causal_tokenizer

from noria.core.errors import InputError, RowError
from noria.core.folder import read_manifest
from noria.core.progress import Report
from noria.make.kernels import decoder
from noria.make.models.load import load
from noria.make.models.packed import Packed
from noria.make.tokens.tokenizer import load_tokenizer
from noria.make.training.finetune.causal import length_for
from noria.make.training.finetune.recipe import BEFORE, finetune
from noria.make.training.settings import FinetuneSettings
from noria.tasks.chat import Chat
from noria.tasks.encode import Features
from noria.tasks.task import Row, task_for

TALK = [
    {"role": "user", "content": "where is it"},
    {"role": "assistant", "content": "on the way"},
    {"role": "user", "content": "when"},
    {"role": "assistant", "content": "tomorrow 明天"},
]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Qwen3, tiny, in bf16 as hubs have it."""
    folder = tmp_path_factory.mktemp("bases") / "base"
    folder.mkdir()
    size = causal_tokenizer(folder)
    build("qwen3", vocab_size=size, max_position_embeddings=256).to(torch.bfloat16).save_pretrained(folder)
    return folder


def _taught(base: Path, talk: list[dict[str, Any]], **options: Any) -> str:
    tokenizer = load_tokenizer(base)
    task = task_for("chat", **options)
    row = task.check({"messages": talk})
    features: Features = task.features(tokenizer, row, 512)
    kept = [number for number, target in zip(features.ids, features.meta["target_ids"], strict=True) if target >= 0]
    return tokenizer.decode(kept)


def test_all_of_the_assistants_turns_the_last_or_those_marked_are_learned(base: Path) -> None:
    every, last = _taught(base, TALK), _taught(base, TALK, turns="last")
    assert "on the way" in every
    assert "tomorrow" in every
    assert "when" not in every
    assert "tomorrow" in last
    assert "on the way" not in last
    for flag in ({"weight": 0}, {"train": False}, {"loss": False}):
        marked = [*TALK[:3], {**TALK[3], **flag}]
        assert "on the way" in _taught(base, marked)
        assert "tomorrow" not in _taught(base, marked)


def test_what_is_not_learned_costs_nothing(base: Path) -> None:
    task = Chat()
    row = task.check({"messages": [TALK[0], {**TALK[1], "weight": 0}, *TALK[2:]]})
    last = Chat(turns="last").check({"messages": TALK})
    one = task.features(load_tokenizer(base), row, 512)
    other = Chat(turns="last").features(load_tokenizer(base), last, 512)
    assert one.ids == other.ids
    assert one.meta["target_ids"] == other.meta["target_ids"]
    assert one.meta["words"] == other.meta["words"]


@pytest.mark.parametrize(
    "talk",
    [
        [TALK[0]],
        [TALK[0], {"role": "assistant", "content": " "}],
        [TALK[0], {**TALK[1], "weight": 0}],
        [TALK[0], {**TALK[1], "weight": 0.5}],
    ],
)
def test_a_row_that_teaches_nothing_is_refused_with_its_line(talk: list[dict[str, Any]]) -> None:
    with pytest.raises(RowError):
        Chat().check({"messages": talk}, line=7)


def _file(folder: Path, count: int, words: int = 12) -> Path:
    rows: list[Row] = [
        {
            "messages": [
                {"role": "user", "content": f"order {number} " + "where is it " * (number % 5)},
                {"role": "assistant", "content": f"parcel {number % 7} " + "comes tomorrow " * (1 + number % words)},
            ]
        }
        for number in range(count)
    ]
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def test_nothing_is_cut_unless_a_length_is_given(base: Path, tmp_path: Path) -> None:
    task = task_for("chat").based_on(base, load_tokenizer(base))
    rows = [json.loads(line) for line in _file(tmp_path, 20).read_text().splitlines()]
    longest = max(len(task.features(load_tokenizer(base), row, 10_000).ids) for row in rows)
    assert length_for(task, base, rows) == longest
    with pytest.raises(InputError, match="1 of 21 rows") as told:
        length_for(task, base, [*rows, {"messages": [TALK[0], {"role": "assistant", "content": "x " * 400}]}])
    assert "--max-length 256" in str(told.value.hint)


LORA = FinetuneSettings.make(
    steps=6, evaluations=2, tokens_per_batch=512, recipe="lora", number_type="fp32", adapter={"rank": 4}
)


def test_a_base_in_bf16_rests_as_it_is_and_is_merged_in_float32(base: Path, tmp_path: Path) -> None:
    out = finetune(task_for("chat"), base, _file(tmp_path, 40), None, tmp_path / "out", LORA, Report())
    facts = read_manifest(out).facts
    assert facts["adapter"]["merged"]
    assert facts["max_length"] > 128
    assert facts["number_type"] == "fp32"
    assert any(BEFORE in str(one) for one in facts["baseline"])
    first, last = (load(folder, "causal")[0].state_dict() for folder in (base, out))
    assert first.keys() == last.keys()
    name = "model.layers.0.mlp.up_proj.weight"
    assert last[name].dtype == torch.float32
    assert not torch.equal(first[name], last[name])
    kept = "model.embed_tokens.weight"
    assert torch.equal(first[kept], last[kept])
    change = last[name] - first[name]
    assert torch.linalg.matrix_rank(change, rtol=1e-3) <= 4
    _merged_as_trained(out)


def _merged_as_trained(folder: Path) -> None:
    """The merged weights say what base and adapter said at the end of training, to the rounding of float32."""
    from noria.infer.torch import TorchEngine
    from noria.make.compress.trained import Trained
    from noria.make.training.objectives.apart import read_apart
    from noria.tasks.companion import open_task

    apart, manifest = read_apart(folder / "adapter"), read_manifest(folder)
    assert apart is not None
    engine = TorchEngine(folder, manifest, open_task(folder, manifest), threads=1, number="float32")
    agreement, divergence = Trained(engine).beside_apart(apart, seed=0)
    assert agreement.value == 1
    assert divergence.value < 1e-8 < apart.effect


def test_settings_of_generation_that_contradict_themselves_do_not_end_a_run(base: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    shutil.copytree(base, theirs)
    given = {"do_sample": False, "temperature": 0.7, "pad_token_id": -1, "eos_token_id": [1, 2]}
    (theirs / "generation_config.json").write_text(json.dumps(given))
    told = io.StringIO()
    out = finetune(
        task_for("chat"), theirs, _file(tmp_path, 30), None, tmp_path / "out", LORA, Report("programs", told)
    )
    assert "contradicts itself: pad_token_id, temperature" in told.getvalue()
    kept = json.loads((out / "generation_config.json").read_text())
    assert kept["eos_token_id"] == [1, 2]
    assert "temperature" not in kept


def test_the_layers_may_be_computed_again_and_nothing_changes(base: Path, tmp_path: Path) -> None:
    found = []
    for wanted in ("on", "off"):
        settings = LORA.replace(adapter={**LORA.adapter.model_dump(), "checkpointing": wanted})
        out = finetune(task_for("chat"), base, _file(tmp_path, 30), None, tmp_path / wanted, settings, Report())
        found.append(load(out, "causal")[0].state_dict())
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_a_held_weight_lies_beside_its_change_and_keeps_its_name() -> None:
    from noria.make.models.adapt import adapt, merge
    from noria.make.models.adapt_settings import AdapterSettings

    module = build("qwen2")
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    adapt(module, AdapterSettings(kind="lora", rank=4), seed=0)
    decoder.hold(module, torch.float32)
    held = module.model.layers[0].self_attn.q_proj.weight
    assert (
        held.untyped_storage().data_ptr() == module.model.layers[0].self_attn.v_proj.weight.untyped_storage().data_ptr()
    )
    merge(module)
    assert before.keys() == module.state_dict().keys()
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


@pytest.mark.parametrize(("resting", "most"), [("int8", 0.01), ("int4", 0.1)])
def test_a_base_in_codes_is_trained_on_and_merged_as_it_is(
    base: Path, tmp_path: Path, resting: str, most: float
) -> None:
    settings = LORA.replace(adapter={**LORA.adapter.model_dump(), "resting": resting})
    out = finetune(task_for("chat"), base, _file(tmp_path, 30), None, tmp_path / "out", settings, Report())
    first, last = (load(folder, "causal")[0] for folder in (base, out))
    assert first.state_dict().keys() == last.state_dict().keys()
    assert read_manifest(out).facts["parameters"] > sum(one.numel() for one in first.parameters())
    name = "model.layers.0.mlp.up_proj.weight"
    before, after = first.state_dict()[name], last.state_dict()[name]
    _merged_as_trained(out)
    # What the codes changed and what was learned, together.
    values = torch.linalg.svdvals(after - before)
    assert float(values[4:].norm() / before.norm()) < most


@given(st.integers(1, 40), st.integers(1, 200), st.sampled_from([8, 4]), st.integers(0, 9))
@hypothesis_settings(max_examples=30, deadline=None)
def test_codes_stand_for_what_is_near(rows: int, columns: int, bits: Any, seed: int) -> None:
    weight = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)) * 10.0 ** (seed % 4 - 2)
    found = Packed.of(weight, bits).unpacked(torch.float32)
    assert found.shape == weight.shape
    step = 2 * weight.abs().max() / (254 if bits == 8 else 15)
    assert float((found - weight).abs().max()) <= 0.6 * float(step) + 1e-5


CHILD = """
import json, resource, sys
from pathlib import Path
from noria.core.progress import Report
from noria.make.training.finetune.recipe import finetune
from noria.make.training.settings import FinetuneSettings
from noria.make.training.loop import loop
from noria.make.training.loop.memory import peak
from noria.tasks.task import task_for

seen = {}
result = loop._Run.result
def watched(run):
    seen.update(peak=peak(), foreseen=run.plan.held_bytes + run.plan.memory_bytes)
    return result(run)
loop._Run.result = watched
settings = FinetuneSettings.make(steps=4, evaluations=1, tokens_per_batch=1024, recipe="lora", number_type="fp32")
finetune(task_for("chat"), Path(sys.argv[1]), Path(sys.argv[2]), None, Path(sys.argv[3]), settings, Report())
print(json.dumps(seen))
"""


def test_the_memory_that_a_run_takes_is_foreseen_within_15_percent(tmp_path: Path) -> None:
    folder = tmp_path / "base"
    folder.mkdir()
    size = causal_tokenizer(folder)
    sizes = {
        "hidden_size": 256,
        "intermediate_size": 768,
        "num_hidden_layers": 6,
        "head_dim": 32,
        "layer_types": ["full_attention"] * 6,
    }
    build("qwen2", vocab_size=size, max_position_embeddings=2048, **sizes).save_pretrained(folder)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder), str(_file(tmp_path, 60, words=60)), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    seen = json.loads(re.findall(r"^\{.*\}$", done.stdout, re.MULTILINE)[-1])
    assert seen["foreseen"] == pytest.approx(seen["peak"], rel=0.15)
