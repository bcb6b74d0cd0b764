"""Alignment: losses beside TRL's on the same batches, rows in the forms people have, rewards, a killed run, and figures that compare."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from causal_families import build
from tiny_models import causal_tokenizer

from noria.core.errors import InputError, Interrupted, NoriaError, RowError, SettingError
from noria.core.folder import read_manifest
from noria.core.progress import Report
from noria.make.models.load import load
from noria.make.models.saved import load_adapter
from noria.make.tokens.batches import IGNORED, Batch
from noria.make.training.align import losses
from noria.make.training.align.json_schema import holds, unknown_keywords
from noria.make.training.align.objectives import preference
from noria.make.training.align.recipe import align
from noria.make.training.align.rewards import reward_for
from noria.make.training.align.rows import LEAST_ASIDE, held_out
from noria.make.training.align.settings import AlignSettings
from noria.make.training.loop import loop
from noria.tasks.preferences import Pairs, Questions, Thumbs

QUICK = AlignSettings.make(
    steps=4,
    accumulate=1,
    evaluations=2,
    tokens_per_batch=512,
    number_type="fp32",
    learning_rate=1e-2,
    max_tokens=6,
    group=4,
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Qwen2, tiny, with a tokenizer that knows the marks of a turn."""
    folder = tmp_path_factory.mktemp("bases") / "base"
    folder.mkdir()
    size = causal_tokenizer(folder)
    build("qwen2", vocab_size=size, max_position_embeddings=256).save_pretrained(folder)
    names = {"pad_token": "<|pad|>", "eos_token": "<|end|>", "tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(names))
    return folder


def _pairs(count: int) -> list[dict[str, Any]]:
    return [
        {
            "prompt": f"where is parcel {number}",
            "chosen": f"on the way {number % 5}",
            "rejected": f"who knows {number % 3} no",
        }
        for number in range(count)
    ]


def _written(folder: Path, rows: list[dict[str, Any]], name: str = "rows.jsonl") -> Path:
    file = folder / name
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return file


def _peer(kind: str, base: Path, folder: Path) -> tuple[Any, dict[str, Any]]:
    """Return TRL's trainer over a peft model whose adapter has learned something, and a batch as its collator makes it."""
    trl, peft, transformers = (pytest.importorskip(name) for name in ("trl", "peft", "transformers"))
    from datasets import Dataset

    torch.manual_seed(0)
    rows = _pairs(4)
    if kind == "kto":
        rows = [
            {"prompt": row["prompt"], "completion": row["chosen"], "label": place % 2 == 0}
            for place, row in enumerate(rows)
        ]
    trainer_of, config_of = getattr(trl, f"{kind.upper()}Trainer"), getattr(trl, f"{kind.upper()}Config")
    common = {
        "use_cpu": True,
        "report_to": [],
        "per_device_train_batch_size": 4,
        "gradient_checkpointing": False,
        "bf16": False,
    }
    trainer = trainer_of(
        transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32),
        args=config_of(str(folder / "trl"), max_length=64, beta=0.1, **common),
        train_dataset=Dataset.from_list(rows),
        processing_class=transformers.AutoTokenizer.from_pretrained(base),
        peft_config=peft.LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"),
    )
    with torch.no_grad():
        for name, parameter in trainer.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.3)
    trainer.model.save_pretrained(folder / "adapter")
    return trainer, next(iter(trainer.get_train_dataloader()))


class _Accelerator:
    """Of one process: whatever is gathered or summed is what was given."""

    num_processes = 1

    def __getattr__(self, name: str) -> Any:
        return lambda one, *_, **__: one


@pytest.fixture(params=["dpo", "kto"])
def beside(request: pytest.FixtureRequest, base: Path, tmp_path: Path) -> Iterator[tuple[str, float, float]]:
    """A method, TRL's loss, and ours of the same batch under the same adapter."""
    kind: str = request.param
    trainer, batch = _peer(kind, base, tmp_path)
    theirs = float(trainer.compute_loss(trainer.model, dict(batch)).detach())
    module, _ = load(base, "causal")
    load_adapter(module, tmp_path / "adapter")

    def given(prefix: str = "") -> tuple[torch.Tensor, torch.Tensor]:
        ids, scored = batch[f"{prefix}input_ids"], batch[f"{prefix}completion_mask"].bool()
        targets = torch.full_like(ids, IGNORED)
        targets[:, :-1] = torch.where(scored[:, 1:], ids[:, 1:], IGNORED)
        return ids, targets

    parts = [given()] if kind == "dpo" else [given(), given("KL_")]
    width = max(ids.shape[1] for ids, _ in parts)
    padded = [
        [
            torch.nn.functional.pad(one, (0, width - one.shape[1]), value=filler)
            for one, filler in zip(pair, (0, IGNORED), strict=True)
        ]
        for pair in parts
    ]
    tensors = {name: torch.cat([pair[place] for pair in padded]) for place, name in enumerate(("input_ids", "targets"))}
    if kind == "kto":
        tensors["liked"] = torch.as_tensor(batch["label"])
    total, count = preference(kind, QUICK)(module, Batch(tensors, [0, 1, 2, 3], 0))
    return kind, theirs, float(total.detach()) / count


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_losses_of_pairs_and_thumbs_are_those_of_trl(beside: tuple[str, float, float]) -> None:
    kind, theirs, ours = beside
    assert ours == pytest.approx(theirs, abs=1e-5), kind


def test_the_loss_of_drawn_answers_is_that_of_trl() -> None:
    trl = pytest.importorskip("trl")
    from types import SimpleNamespace

    torch.manual_seed(0)
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 0, 0]])
    policy, before, reference = (-torch.rand(4, 4) for _ in range(3))
    advantages = losses.advantages_of(torch.tensor([1.0, 0.0, 3.0, 2.0]), 2)
    metrics: Any = {"train": __import__("collections").defaultdict(list)}
    peer = SimpleNamespace(
        _get_per_token_logps_and_entropies=lambda *_, **__: (policy, torch.zeros(4, 4), None),
        aux_loss_enabled=False,
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        importance_sampling_level="token",
        beta=0.04,
        epsilon_low=0.2,
        epsilon_high=0.2,
        loss_type="bnpo",
        use_vllm=False,
        model=SimpleNamespace(training=True),
        args=SimpleNamespace(use_bias_correction_kl=False, delta=None, steps_per_generation=1),
        accelerator=_Accelerator(),
        current_gradient_accumulation_steps=1,
        _entropy_bonus_enabled=False,
        _metrics=metrics,
        _log_loss_parts=False,
    )
    inputs = {
        "prompt_ids": torch.zeros(4, 1, dtype=torch.long),
        "prompt_mask": torch.ones(4, 1, dtype=torch.long),
        "completion_ids": torch.zeros(4, 4, dtype=torch.long),
        "completion_mask": mask,
        "advantages": advantages,
        "old_per_token_logps": before,
        "ref_per_token_logps": reference,
    }
    theirs = trl.GRPOTrainer._compute_loss(peer, None, inputs)
    own = mask.bool()
    ours = losses.grpo(policy[own], before[own], advantages[own.nonzero()[:, 0]], reference[own], beta=0.04).mean()
    assert float(ours) == pytest.approx(float(theirs), abs=1e-5)


def test_rows_are_read_in_the_forms_people_have() -> None:
    turns = [{"role": "user", "content": "hi"}]
    pair = {"messages": turns, "chosen": "hello", "rejected": "what"}
    for row in (
        {"prompt": "hi", "chosen": "hello", "rejected": "what"},
        {"prompt": turns, "chosen": "hello", "rejected": [{"role": "assistant", "content": "what"}]},
        {name: [*turns, {"role": "assistant", "content": pair[name]}] for name in ("chosen", "rejected")},
    ):
        assert Pairs().check(row) == pair
    thumb = {"messages": turns, "completion": "hello", "label": True}
    for row in (
        {"prompt": "hi", "completion": "hello", "label": True},
        {"messages": [*turns, {"role": "assistant", "content": "hello"}], "value": 1},
        {"question": "hi", "completion": "hello", "thumb": "up"},
    ):
        assert Thumbs().check(row) == thumb
    assert Questions().check({"messages": [*turns, {"role": "assistant", "content": "42"}]})["answer"] == "42"


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "hi", "chosen": "same", "rejected": "same"},
        {"prompt": "hi", "chosen": "a", "rejected": " "},
        {"chosen": "a", "rejected": "b"},
        {"prompt": [{"role": "assistant", "content": "hi"}], "chosen": "a", "rejected": "b"},
        {
            "prompt": "hi",
            "chosen": [{"role": "user", "content": "no"}, {"role": "assistant", "content": "a"}],
            "rejected": "b",
        },
    ],
)
def test_a_pair_that_compares_nothing_is_refused(row: dict[str, Any]) -> None:
    with pytest.raises(RowError):
        Pairs().check(row, line=3)


def test_rewards_of_every_kind(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "def short(row, text):\n    return -len(text)\n\ndef none(row, text):\n    return None\n"
    )
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer", "minimum": 1}},
        "required": ["n"],
        "additionalProperties": False,
    }
    (tmp_path / "s.json").write_text(json.dumps(schema))
    assert reward_for(f"{tmp_path}/own.py:short")({}, "abc") == -3
    held = reward_for(f"schema:{tmp_path}/s.json")
    assert [held({}, text) for text in ('{"n": 2}', '{"n": 0}', '{"n": 2, "m": 1}', "n", "[" * 5000)] == [1, 0, 0, 0, 0]
    assert reward_for("match")({"answer": "Ｐａｒｉｓ"}, "It is  paris.") == 1
    assert reward_for(r"match:^\d+$")({}, "42") == 1
    for name in ("own", "match:(", "http://127.0.0.1:1/v1", f"{tmp_path}/own.py:absent", "schema:/absent.json"):
        with pytest.raises((SettingError, InputError)):
            reward_for(name)
    with pytest.raises(InputError):
        reward_for(f"{tmp_path}/own.py:none")({}, "")
    with pytest.raises(InputError):
        reward_for("http://127.0.0.1:1/v1#good")({}, "x")


@pytest.mark.parametrize(
    ("schema", "right", "wrong"),
    [
        ({"enum": [1, "a"]}, "a", "b"),
        ({"type": ["string", "null"]}, None, 1),
        ({"type": "integer"}, 1, True),
        ({"type": "array", "items": {"type": "number"}, "minItems": 1}, [1.5], []),
        ({"anyOf": [{"type": "string"}, {"type": "boolean"}]}, False, 1),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"pattern": "^x"}}}, "xy", "y"),
        ({"not": {"const": 3}}, 4, 3),
        ({"oneOf": [{"minimum": 2}, {"maximum": 3}]}, 5, 2.5),
    ],
)
def test_values_are_held_to_a_schema(schema: dict[str, Any], right: Any, wrong: Any) -> None:
    assert holds(schema, right)
    assert not holds(schema, wrong)
    assert unknown_keywords({**schema, "allOf": [{"dependentRequired": {}}]}) == ["dependentRequired"]


def _aligned(base: Path, rows: list[dict[str, Any]], folder: Path, **more: Any) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    out = align(base, _written(folder, rows), folder / "out", QUICK.replace(**more), Report())
    return {"weights": load(out, "causal")[0].state_dict(), **read_manifest(out).facts}


def test_pairs_thumbs_and_a_reward_give_a_folder_with_figures_beside_the_model_before(
    base: Path, tmp_path: Path
) -> None:
    pairs = _pairs(24)
    thumbs = [
        {"prompt": row["prompt"], "completion": row[name], "label": name == "chosen"}
        for row in pairs
        for name in ("chosen", "rejected")
    ]
    (tmp_path / "own.py").write_text("def low(row, text):\n    return sum(map(ord, text)) % 7\n")
    runs = {
        "dpo": _aligned(base, pairs, tmp_path / "dpo", learning_rate=3e-2),
        "kto": _aligned(base, thumbs, tmp_path / "kto"),
        "grpo": _aligned(base, pairs, tmp_path / "grpo", method="grpo", reward=f"{tmp_path}/own.py:low", steps=2),
    }
    before = load(base, "causal")[0].state_dict()
    for method, found in runs.items():
        names = {one["name"] if isinstance(one["name"], str) else one["name"]["code"] for one in found["metrics"]}
        assert found["task"] == "chat"
        assert found["method"] == method
        assert any("divergence" in name for name in names), names
        assert found["weights"].keys() == before.keys()
        for one in found["metrics"]:
            assert one["low"] <= one["value"] <= one["high"]
            assert one["n"] > 1
    curve = [score for _, score in runs["dpo"]["curves"]["valid"]]
    assert max(curve) > curve[0]


def test_a_killed_run_ends_as_one_never_killed(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own.py").write_text("def low(row, text):\n    return len(text) % 5\n")
    more = {"method": "grpo", "reward": f"{tmp_path}/own.py:low", "steps": 3, "beta": 0.1}
    whole = _aligned(base, _pairs(12), tmp_path / "whole", **more)
    step, taken = loop._Run._step, [0]

    def killed(run: Any) -> dict[str, float]:
        taken[0] += 1
        if taken[0] == 3:
            run._save()
            raise Interrupted("killed")
        return step(run)

    monkeypatch.setattr(loop._Run, "_step", killed)
    with pytest.raises(Interrupted):
        _aligned(base, _pairs(12), tmp_path / "killed", **more)
    monkeypatch.setattr(loop._Run, "_step", step)
    resumed = _aligned(base, _pairs(12), tmp_path / "killed", **more)
    assert all(torch.equal(whole["weights"][name], resumed["weights"][name]) for name in whole["weights"])


def test_what_cannot_be_aligned_is_told_in_one_line(base: Path, tmp_path: Path) -> None:
    liked = [{"prompt": "hi", "completion": f"a {number}", "label": True} for number in range(9)]
    for rows, more in (
        (liked, {}),
        ([{"prompt": f"hi {number}"} for number in range(9)], {}),
        ([{"prompt": f"hi {number}"} for number in range(9)], {"method": "grpo"}),
        (_pairs(9), {"adapter": {"kind": "none"}}),
        ([{**row, "chosen": "x " * 400} for row in _pairs(9)], {}),
    ):
        with pytest.raises(NoriaError) as told:
            _aligned(base, rows, tmp_path, **more)
        assert "\n" not in str(told.value.what)


@pytest.mark.parametrize("count", [4, 8, 24, 400])
def test_of_few_rows_some_judge_and_no_question_stands_on_both_sides(count: int) -> None:
    rows = [{"messages": [{"role": "user", "content": f"order {number // 2}"}]} for number in range(count)]
    for seed in range(20):
        learned, judging = held_out(rows, 0.15, seed=seed, file=Path("rows.jsonl"))
        assert len(learned) + len(judging) == count
        assert len(judging) >= min(2 * LEAST_ASIDE, count // 2)
        asked = [{row["messages"][0]["content"] for row in side} for side in (learned, judging)]
        assert not asked[0] & asked[1]
    assert count < 400 or len(judging) == 60


def test_advantages_compare_within_a_group() -> None:
    found = losses.advantages_of(torch.tensor([1.0, 3.0, 5.0, 5.0]), 2)
    assert np.allclose(found, [-0.7071, 0.7071, 0, 0], atol=1e-3)
