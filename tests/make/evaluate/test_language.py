"""Bits per byte: by hand, over windows, and with intervals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

from noria.make.evaluate import language
from noria.make.evaluate.language import bits_per_byte, figures, predict_documents
from noria.make.models.sizes import causal as causal_config


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(causal_config(200_000, 300, 64)).eval()


@pytest.fixture(scope="module")
def documents() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [np.array([1, *random.integers(3, 300, random.integers(1, 30)), 2]) for _ in range(25)]


def alone(model: LlamaForCausalLM, ids: np.ndarray) -> tuple[float, int]:
    """Return bits and correct first choices of one document, the plain way."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor(ids[None, :-1]), use_cache=False).logits[0]
    chances = logits.log_softmax(1)[torch.arange(len(ids) - 1), torch.tensor(ids[1:])]
    return float(-chances.sum() / np.log(2)), int((logits.argmax(1) == torch.tensor(ids[1:])).sum())


def test_every_document_is_predicted_as_if_alone(model: LlamaForCausalLM, documents: list[np.ndarray]) -> None:
    found = predict_documents(model, documents, context=64, tokens_per_batch=100)
    wanted = [alone(model, ids) for ids in documents]
    assert found.bits == pytest.approx([bits for bits, _ in wanted], rel=1e-5)
    assert found.correct.tolist() == [correct for _, correct in wanted]
    assert found.tokens.tolist() == [len(ids) - 1 for ids in documents]


def test_a_long_document_is_read_in_windows_that_overlap(model: LlamaForCausalLM) -> None:
    ids = np.array([1, *np.random.default_rng(1).integers(3, 300, 39), 2])
    (bits,) = predict_documents(model, [ids], context=16).bits
    # Positions 0..15 from the first window; after that each window starts 8 before what is new.
    wanted = alone(model, ids[:17])[0]
    for fresh, stop in ((16, 24), (24, 32), (32, 40)):
        start = fresh - 8
        wanted += alone(model, ids[start : stop + 1])[0] - alone(model, ids[start : fresh + 1])[0]
    assert bits == pytest.approx(wanted, rel=1e-5)


def test_bits_per_byte_and_its_interval() -> None:
    random = np.random.default_rng(3)
    sizes = random.integers(50, 500, 400)
    bits = sizes * random.normal(2.0, 0.1, 400)
    figure = bits_per_byte(bits, sizes, source="made up")
    assert figure.value == pytest.approx(bits.sum() / sizes.sum())
    assert figure.low < 2.0 < figure.high
    assert figure.high - figure.low < 0.06
    assert figure.n == 400


def test_figures_name_the_baseline(model: LlamaForCausalLM, documents: list[np.ndarray]) -> None:
    found = predict_documents(model, documents, context=64)
    first, loss, perplexity, accuracy = figures(found, np.full(25, 40), source="made up", baseline=9.9)
    assert first.baseline == 9.9
    assert loss.value == pytest.approx(found.bits.sum() / found.tokens.sum() * np.log(2))
    assert perplexity.value == pytest.approx(2 ** (found.bits.sum() / found.tokens.sum()))
    assert accuracy.low <= accuracy.value <= accuracy.high <= 1


def test_places_by_parts_are_what_all_logits_say(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = LlamaForCausalLM(causal_config(100_000, 300, 32)).eval()
    random = np.random.default_rng(0)
    documents = [random.integers(0, 300, size) for size in (2, 9, 31, 80)]
    found = language.predict_documents(model, documents, 32)
    monkeypatch.setattr(language.llama, "applies", lambda _: False)
    plain = language.predict_documents(model, documents, 32)
    np.testing.assert_allclose(found.costs, plain.costs, rtol=1e-5)
    np.testing.assert_array_equal(found.correct, plain.correct)
    first = torch.log_softmax(model(torch.from_numpy(documents[1])[None]).logits[0, :-1].detach(), 1)
    wanted = torch.from_numpy(documents[1][1:])
    bits = -first[torch.arange(len(wanted)), wanted].numpy() / np.log(2)
    np.testing.assert_allclose(found.costs[1 : 1 + len(bits)], bits, rtol=1e-4)
    assert found.correct[1] == int((first.argmax(1) == wanted).sum())
