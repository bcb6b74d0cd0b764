"""Every objective and architecture end to end on Chinese and English: learns, resumes exactly, loads in plain transformers."""

from __future__ import annotations

import io
import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from noria.core.errors import FolderError, Interrupted, SettingError
from noria.core.figure import Figure
from noria.core.folder import verify
from noria.core.progress import Bar, Report
from noria.make.models.load import load
from noria.make.tokens.special import special_tokens
from noria.make.training.loop.budget import Budget
from noria.make.training.pretrain.choice import chosen
from noria.make.training.pretrain.material import prepare
from noria.make.training.pretrain.recipe import pretrain
from noria.make.training.pretrain.setups import setup_for
from noria.make.training.pretrain.start import xavier
from noria.make.training.settings import PretrainSettings

ENGLISH = "The wheel turns, the stream lifts its own water, and the field number {} is green again."
SMALL: dict[str, Any] = {
    "vocab_size": 600,
    "model": {"parameters": 160_000},
    "context": 32,
    "tokens_per_step": 256,
    "steps": 16,
    "evaluations": 2,
    "number_type": "fp32",
}
KINDS: dict[str, dict[str, Any]] = {
    "masked": {"objective": "masked", "model": {"dropout": 0.1}},
    "words": {"objective": "words"},
    "spans": {"objective": "spans", "model": {"parameters": 250_000}},
    "lstm": {"model": {"architecture": "lstm"}},
    "llama": {"model": {"dropout": 0.1, "start": "xavier"}, "optimizer": {"method": "muon"}},
}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, review_lines: list[str]) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    texts = [*review_lines[:160], *(ENGLISH.format(n) for n in range(80))]
    for split, part in (("train", texts[::2]), ("valid", texts[1::4]), ("test", texts[3::4])):
        lines = [json.dumps({"id": str(n), "text": text, "meta": {}}) for n, text in enumerate(part)]
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def models(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {name: pretrain(corpus, folder / name, settings(name), quiet()) for name in KINDS}


def settings(name: str, **more: Any) -> PretrainSettings:
    given = {**SMALL, **KINDS[name], **more}
    models = (SMALL["model"], KINDS[name].get("model", {}), more.get("model", {}))
    return PretrainSettings.make(**given | {"model": {key: value for model in models for key, value in model.items()}})


def quiet() -> Report:
    return Report(stream=io.StringIO())


@pytest.mark.parametrize("name", ["masked", "llama"])
def test_a_share_of_the_test_documents_judges_model_and_baselines_alike(
    name: str, corpus: Path, tmp_path: Path
) -> None:
    given = settings(name)
    given, material = prepare(corpus, tmp_path, given, quiet())
    kind = setup_for(chosen(given, material, tmp_path, Budget(None), quiet()), material)
    model = kind.model()
    whole, part = (kind.figures(model, source="test", share=share) for share in (1.0, 0.25))
    for every, some in ((whole.metrics, part.metrics), (whole.baselines, part.baselines)):
        assert [one.name for one in some] == [one.name for one in every]
        assert all(0 < one.n <= every[0].n // 4 + 1 for one in some)
        assert some[0].value != every[0].value
    assert {one.n for one in part.metrics[:1]} == {one.n for one in part.baselines}


class Stopping(Report):
    """Asks for a stop, as SIGTERM does, after some steps."""

    @contextmanager
    def bar(self, title: str, *, total: float | None = None, unit: str = "") -> Iterator[Bar]:
        with super().bar(title, total=total, unit=unit) as bar:
            if title == "pretrain":
                bar._listener = lambda bar: signal.raise_signal(signal.SIGTERM) if bar.done == 6 else None
            yield bar


@pytest.mark.parametrize("name", KINDS)
def test_it_learns_and_says_so(models: dict[str, Path], name: str) -> None:
    facts = verify(models[name]).facts
    losses = [loss for _, loss in facts["curves"]["train"]]
    assert sum(losses[-3:]) / 3 < losses[0] - 0.1
    for figure in (Figure(**value) for value in facts["metrics"]):
        assert figure.low <= figure.value <= figure.high
        assert figure.n == 60
        assert figure.source.endswith("test split")
    names = [value["name"] for value in facts["metrics"]]
    causal = name in ("lstm", "llama")
    assert names[0] == (
        "bits per byte"
        if causal
        else "loss of a "
        + {"masked": "hidden token", "words": "token of a hidden word", "spans": "token of a cut span"}[name]
    )
    assert facts["baseline"][-1]["value"] == facts["metrics"][0]["baseline"]
    assert ("sample" in facts) == causal


@pytest.mark.parametrize("name", KINDS)
def test_stopped_and_run_again_it_ends_with_the_same_weights(
    models: dict[str, Path], corpus: Path, tmp_path: Path, name: str
) -> None:
    with pytest.raises(Interrupted, match="step 6 of 16"):
        pretrain(corpus, tmp_path / name, settings(name), Stopping(stream=io.StringIO()))
    again = pretrain(corpus, tmp_path / name, settings(name), quiet())
    assert (again / "model.safetensors").read_bytes() == (models[name] / "model.safetensors").read_bytes()
    assert verify(again).facts["metrics"] == verify(models[name]).facts["metrics"]


def test_an_encoder_names_hidden_tokens_in_plain_transformers(models: dict[str, Path]) -> None:
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    model, tokenizer = (
        AutoModelForMaskedLM.from_pretrained(models["words"]),
        AutoTokenizer.from_pretrained(models["words"]),
    )
    ids = tokenizer("酒店<|mask|>不错", return_tensors="pt").input_ids
    assert (ids == tokenizer.mask_token_id).sum() == 1
    assert model(ids).logits.shape == (*ids.shape, len(tokenizer))


def test_an_encoder_decoder_writes_in_plain_transformers(models: dict[str, Path]) -> None:
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    model, tokenizer = (
        AutoModelForSeq2SeqLM.from_pretrained(models["spans"]),
        AutoTokenizer.from_pretrained(models["spans"]),
    )
    ids = tokenizer("The wheel <extra_id_0> its own water", return_tensors="pt").input_ids
    out = model.generate(ids, max_new_tokens=4, do_sample=False)
    assert out[0, 0] == model.config.decoder_start_token_id
    assert len(special_tokens(models["spans"]).sentinels) == 100


def test_an_lstm_loads_and_predicts_each_document_by_itself(models: dict[str, Path]) -> None:
    module, tokenizer = load(models["lstm"], "causal")
    ids = torch.tensor([tokenizer.encode("房间很干净，早餐不错").ids])
    with torch.no_grad():
        alone = module.hidden_states(ids)
        joined = module.hidden_states(torch.cat([ids, ids], 1), torch.tensor([[0] * ids.shape[1] + [1] * ids.shape[1]]))
    assert torch.allclose(joined[:, ids.shape[1] :], alone, atol=1e-6)
    assert module.lm_head.weight is module.embedding.weight


@pytest.mark.parametrize("name", ["masked", "spans", "llama"])
def test_pretraining_goes_on_from_a_base(models: dict[str, Path], corpus: Path, tmp_path: Path, name: str) -> None:
    model = {**KINDS[name].get("model", {}), "base": models[name]}
    out = pretrain(corpus, tmp_path / "more", settings(name, model=model, steps=6), quiet())
    facts, before = verify(out).facts, verify(models[name]).facts
    assert facts["curves"]["train"][0][1] < before["curves"]["train"][0][1] - 0.1
    assert facts["base"] == before["base"]
    assert any(source.name == f"model:{name}" for source in verify(out).sources)


def test_a_mask_is_added_to_a_base_that_has_none(models: dict[str, Path], corpus: Path, tmp_path: Path) -> None:
    from tiny_models import make_encoder

    base = make_encoder(tmp_path / "base", "embed", [], 0, compiled=False)
    out = pretrain(corpus, tmp_path / "out", settings("masked", model={"base": base}, steps=4), quiet())
    module, tokenizer = load(out, "masked")
    assert module.config.vocab_size == tokenizer.get_vocab_size() > load(base, "embedding")[0].config.vocab_size


def test_bytes_need_no_tokenizer(corpus: Path, tmp_path: Path) -> None:
    out = pretrain(
        corpus, tmp_path / "bytes", PretrainSettings.make(**{**SMALL, "vocab_size": 256, "steps": 4}), quiet()
    )
    assert load(out, "causal")[1].encode("水").ids == load(out, "causal")[1].encode("水").ids
    assert len(load(out, "causal")[1].encode("水").ids) == 3


def test_xavier_draws_matrices_and_leaves_the_embedding() -> None:
    from transformers import LlamaForCausalLM

    from noria.make.models.sizes import causal

    module = LlamaForCausalLM(causal(400_000, 600, 32))
    before = module.model.embed_tokens.weight.clone()
    xavier(module)
    weight = module.model.layers[0].mlp.up_proj.weight
    bound = (6 / sum(weight.shape)) ** 0.5
    assert weight.abs().max() <= bound
    assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)
    assert module.model.embed_tokens.weight.equal(before)


def test_settings_that_contradict_each_other_are_one_line(
    corpus: Path, models: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(SettingError, match="an LSTM reads forward only"):
        pretrain(corpus, tmp_path / "a", settings("masked", model={"architecture": "lstm"}), quiet())
    with pytest.raises(SettingError, match="a base brings its own tokenizer"):
        pretrain(
            corpus,
            tmp_path / "b",
            settings("llama", model={"base": models["llama"]}, tokenizer=models["llama"]),
            quiet(),
        )
    with pytest.raises(SettingError, match="context is longer than the base reads"):
        pretrain(corpus, tmp_path / "c", settings("llama", model={"base": models["llama"]}, context=64), quiet())
    with pytest.raises(FolderError, match="is of the wrong kind: for a causal head"):
        pretrain(corpus, tmp_path / "d", settings("llama", model={"base": models["words"]}), quiet())
    with pytest.raises(SettingError, match="objective"):
        PretrainSettings.make(objective="guess")
