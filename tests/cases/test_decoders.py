"""Inputs for decoders that once gave wrong results: chat tuning, templates, bases without padding, fewer layers."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from causal_families import build
from tiny_models import causal_tokenizer

from noria.core.errors import FolderError, RowError
from noria.core.folder import read_manifest
from noria.core.progress import Report
from noria.make.models.load import load
from noria.make.tokens.batches import IGNORED, Batch
from noria.make.training.finetune.examples import Examples
from noria.make.training.finetune.prepare import prepare_model
from noria.make.training.finetune.recipe import finetune
from noria.make.training.objectives.language_modeling import causal
from noria.make.training.settings import BodySettings, FinetuneSettings, RowSettings
from noria.tasks.task import Row, read_rows, task_for

CASES = Path(__file__).parent / "inputs" / "make"
GROUPED = ("llama", "qwen2", "qwen3", "mistral", "gemma3_text", "phi3")
ONE_STEP = FinetuneSettings(steps=2, evaluations=1, tokens_per_batch=512, max_length=48, number_type="fp32")
NO_SYSTEM = (
    "{% for message in messages %}{% if message['role'] == 'system' %}{{ raise_exception('no system turns') }}{% endif %}"
    "{{ '<|begin|>' + message['role'] + '\\n' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|begin|>assistant\\n' }}{% endif %}"
)
GENERATION = (
    "{% for message in messages %}{% if message['role'] == 'assistant' %}<|begin|>assistant\n{% generation %}"
    "{{ message['content'] }}<|end|>{% endgeneration %}{% else %}<|begin|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|begin|>assistant\n{% endif %}"
)


def base_of(folder: Path, family: str, **settings: Any) -> Path:
    """Write a family's folder, tiny, as other tools write one: no manifest, padding named by tokenizer_config.json alone."""
    folder.mkdir()
    size = causal_tokenizer(folder)
    module = build(
        family, **{"vocab_size": size, "pad_token_id": None, "bos_token_id": None, "eos_token_id": None, **settings}
    )
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(0.3)
    module.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps({key: None if key.endswith("_token_id") else value for key, value in config.items()})
    )
    (folder / "generation_config.json").unlink(missing_ok=True)
    names = {"pad_token": "<|pad|>", "bos_token": "<|begin|>", "eos_token": {"content": "<|end|>"}}
    (folder / "tokenizer_config.json").write_text(json.dumps(names))
    return folder


def rows_file(tmp_path: Path, rows: list[Row]) -> Path:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return file


@pytest.mark.parametrize("family", GROUPED)
def test_changing_tokens_7_to_12_leaves_the_loss_of_tokens_1_to_4(family: str, tmp_path: Path) -> None:
    module, _ = prepare_model(task_for("chat"), base_of(tmp_path / "base", family), ONE_STEP)
    ids = torch.arange(10, 23)[None]
    changed = ids.clone()
    changed[:, 7:] = torch.arange(60, 66)
    targets = torch.full_like(ids, IGNORED)
    targets[:, :4] = ids[:, 1:5]

    def told(given: torch.Tensor) -> float:
        batch = Batch({"input_ids": given, "targets": targets, "documents": torch.zeros_like(given)}, [0], 13)
        return float(causal(module, batch)[0].detach())

    assert told(ids) == pytest.approx(told(changed), rel=1e-5)


@pytest.mark.parametrize("family", ["qwen2", "gemma2", "gpt2"])
def test_the_valid_loss_that_chat_tuning_tells_is_that_of_plain_transformers(family: str, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    base = base_of(tmp_path / "base", family)
    talks = [json.loads(line)["messages"] for line in (CASES / "talks-sys.jsonl").read_text("utf-8").splitlines()]
    file = rows_file(tmp_path, [{"messages": talk} for talk in talks])
    out = finetune(task_for("chat"), base, file, file, tmp_path / "out", ONE_STEP, Report())
    facts = read_manifest(out).facts
    told = -dict(map(tuple, facts["curves"]["valid"]))[facts["best_step"]]

    task = task_for(**{key: value for key, value in facts.items() if key in ("template", "begin", "end")}, name="chat")
    module, tokenizer = AutoModelForCausalLM.from_pretrained(out).eval(), load(out, "causal")[1]
    examples = Examples.of(task, tokenizer, read_rows(file, task), ONE_STEP.length)
    total = count = 0.0
    for features, target in zip(examples.features, examples.targets, strict=True):
        with torch.no_grad():
            labels = torch.tensor([target])
            scored = int((labels[:, 1:] != IGNORED).sum())
            total += float(module(input_ids=torch.tensor([features.ids]), labels=labels).loss) * scored
            count += scored
    assert told == pytest.approx(total / count, rel=1e-3)


@pytest.mark.parametrize("family", ["qwen2", "llama", "gpt2", "gemma3_text", "phi3"])
def test_rows_csv_trains_a_decoder_whose_config_names_no_padding(family: str, tmp_path: Path) -> None:
    out = finetune(
        task_for("classify"),
        base_of(tmp_path / "base", family),
        CASES / "rows.csv",
        CASES / "rows.csv",
        tmp_path / "out",
        ONE_STEP,
        Report(),
    )
    assert json.loads((out / "config.json").read_text())["pad_token_id"] == 0


@pytest.mark.parametrize(
    ("names", "generation", "wanted"),
    [({"eos_token": "<|end|>"}, {}, 0), ({"pad_token": "<|end|>"}, {}, 2), ({}, {"pad_token_id": 1}, 1), ({}, {}, 0)],
)
def test_padding_is_taken_from_wherever_the_folder_says_it(
    names: dict[str, str], generation: dict[str, int], wanted: int, tmp_path: Path
) -> None:
    base = base_of(tmp_path / "base", "qwen2")
    (base / "tokenizer_config.json").unlink()
    (base / "special_tokens_map.json").write_text(json.dumps(names))
    (base / "generation_config.json").write_text(json.dumps(generation))
    assert load(base, "sequence", ["a", "b"])[0].config.pad_token_id == wanted


@pytest.mark.parametrize("family", ["qwen2", "gpt2", "gemma3_text", "mistral"])
def test_fewer_layers_are_written_and_read_again(family: str, tmp_path: Path) -> None:
    settings = ONE_STEP.model_copy(update={"body": BodySettings(layers=1)})
    base = base_of(tmp_path / "base", family)
    out = finetune(
        task_for("classify"), base, CASES / "rows.csv", CASES / "rows.csv", tmp_path / "out", settings, Report()
    )
    assert load(out, "sequence")[0].config.num_hidden_layers == 1


def test_talks_sys_jsonl_names_the_line_that_the_template_refuses(tmp_path: Path) -> None:
    base = base_of(tmp_path / "base", "qwen2")
    (base / "chat_template.jinja").write_text(NO_SYSTEM)
    file, out = CASES / "talks-sys.jsonl", tmp_path / "out"
    with pytest.raises(RowError, match=r"talks-sys\.jsonl, line 21.*no system turns"):
        finetune(task_for("chat"), base, file, file, out, ONE_STEP, Report())
    told: list[str] = []
    report = Report()
    report.note = lambda text, **_: told.append(text)  # type: ignore[method-assign]
    finetune(task_for("chat"), base, file, file, out, ONE_STEP, report, reading=RowSettings(skip_bad_rows=True))
    assert any("1 bad rows skipped" in text and "line 21" in text for text in told)
    task = task_for("chat", template=NO_SYSTEM)
    assert len(read_rows(file, task, skip_bad=True)) == 29


@pytest.mark.parametrize("where", ["jinja", "config", "list", "json", "more"])
def test_a_template_with_generation_marks_is_read_from_wherever_it_lies(where: str, tmp_path: Path) -> None:
    base = base_of(tmp_path / "base", "qwen2")
    known = json.loads((base / "tokenizer_config.json").read_text())
    if where == "jinja":
        (base / "chat_template.jinja").write_text(GENERATION)
    elif where == "json":
        (base / "chat_template.json").write_text(json.dumps({"chat_template": GENERATION}))
    elif where == "more":
        (base / "additional_chat_templates").mkdir()
        (base / "additional_chat_templates" / "default.jinja").write_text(GENERATION)
    else:
        given = GENERATION if where == "config" else [{"name": "default", "template": GENERATION}]
        (base / "tokenizer_config.json").write_text(json.dumps({**known, "chat_template": given}))
    _, tokenizer = load(base, "causal")
    task = task_for("chat").based_on(base, tokenizer)
    assert task.template == GENERATION
    talk = [("user", "好"), ("assistant", "好"), ("user", "再见"), ("assistant", "再会")]
    features = task.features(tokenizer, {"messages": [{"role": role, "content": said} for role, said in talk]}, 64)
    scored = [number for number in features.meta["target_ids"] if number != IGNORED]
    assert tokenizer.decode(scored, skip_special_tokens=False) == "好<|end|>再会<|end|>"
    assert [features.meta["text"][left:right] for left, right in features.meta["words"]] == ["好", "再会"]
    assert features.meta["text"].count("<|begin|>") == 4


def test_code_beside_an_architecture_that_transformers_has_is_not_run(tmp_path: Path) -> None:
    base = base_of(tmp_path / "base", "qwen2")
    config = json.loads((base / "config.json").read_text())
    (base / "modeling_own.py").write_text("raise SystemExit('run')\n")
    (base / "configuration_own.py").write_text("raise SystemExit('run')\n")
    code = {"AutoConfig": "configuration_own.Own", "AutoModelForCausalLM": "modeling_own.Own"}
    (base / "config.json").write_text(json.dumps({**config, "auto_map": code}))
    assert type(load(base, "causal")[0]).__name__ == "Qwen2ForCausalLM"
    (base / "config.json").write_text(json.dumps({**config, "model_type": "own", "auto_map": code}))
    with pytest.raises(FolderError, match="code of its own"):
        load(base, "causal")


def test_tokens_beyond_the_table_get_rows_and_it_is_told(tmp_path: Path) -> None:
    base = base_of(tmp_path / "base", "qwen2")
    tokenizer = load(base, "causal")[1]
    rows = tokenizer.get_vocab_size()
    tokenizer.add_special_tokens(["<|one|>", "<|two|>"])
    tokenizer.save(str(base / "tokenizer.json"))
    report = Report(stream=io.StringIO())
    out = finetune(
        task_for("classify"), base, CASES / "rows.csv", CASES / "rows.csv", tmp_path / "out", ONE_STEP, report
    )
    assert "2 added tokens had no row" in report.stream.getvalue()  # type: ignore[attr-defined]
    assert json.loads((out / "config.json").read_text())["vocab_size"] == rows + 2
