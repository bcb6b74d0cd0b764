"""Adapters: what learns, what it changes, switching, saving, merging back, and what each method promises."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from noria.core.errors import FolderError, SettingError
from noria.make.models import anatomy
from noria.make.models.adapt import adapt, adapters, after_step, base_state, freeze, merge, parts, ranks, use
from noria.make.models.adapt_settings import AdapterSettings
from noria.make.models.saved import load_adapter, save_adapter, write_adapter
from tests.make.models.adapted_models import MODELS, bert, learn, model, question, told

KINDS = {
    "lora": AdapterSettings(kind="lora", rank=4),
    "adalora": AdapterSettings(kind="adalora", rank=2, initial_rank=4),
    "bottleneck": AdapterSettings(kind="bottleneck", width=8, places="houlsby"),
    "prefix": AdapterSettings(kind="prefix", tokens=5),
}
# peft 0.21 asks transformers 5 by an older name.
OLD_NAME = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")
CASES = [(name, kind) for name in MODELS for kind in KINDS]


def adapted(name: str, kind: str, *, steps: int = 12) -> torch.nn.Module:
    module = model(name)
    adapt(module, KINDS[kind], seed=1)
    learn(module, after_step(module), steps=steps)
    return module


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_only_adapters_and_heads_learn_and_all_of_them_do(name: str, kind: str):
    module = model(name)
    before = {key: tensor.clone() for key, tensor in module.state_dict().items()}
    first = told(module)
    adapt(module, KINDS[kind], seed=1)
    if kind != "prefix":
        torch.testing.assert_close(told(module), first)
    learn(module, steps=2)
    module(**question(module)).logits.square().sum().backward()
    inside = {f"{path}." for path, _ in parts(module)}
    heads = tuple(f"{path}." for path in anatomy.heads(module))
    learning = {key: p for key, p in module.named_parameters() if p.requires_grad}
    assert inside
    for key, parameter in learning.items():
        assert any(key.startswith(path) for path in inside) or key.startswith(heads), key
        # Padded positions and first tokens leave no part of an adapter without a gradient.
        assert parameter.grad is not None, key
        assert parameter.grad.abs().sum() > 0, key
    after = base_state(module)
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed == {key for key in before if key.startswith(heads)}
    assert not torch.allclose(told(module), first, atol=1e-3)


@pytest.mark.parametrize(("name", "kind"), [case for case in CASES if case[1] in ("lora", "adalora")])
def test_merged_weights_give_the_same(name: str, kind: str):
    module = adapted(name, kind)
    expected = told(module)
    merge(module)
    torch.testing.assert_close(told(module), expected, atol=1e-5, rtol=1e-5)
    plain = MODELS[name]()
    assert module.state_dict().keys() == plain.state_dict().keys()
    plain.load_state_dict(module.state_dict())
    assert all(type(one) is type(two) for one, two in zip(module.modules(), plain.modules(), strict=True))
    torch.testing.assert_close(told(plain.eval()), expected, atol=1e-5, rtol=1e-5)
    assert all(parameter.requires_grad for parameter in module.parameters())


@pytest.mark.parametrize("kind", ["bottleneck", "prefix"])
def test_what_cannot_be_merged_says_so(kind: str):
    module = adapted("bert", kind, steps=1)
    expected = told(module)
    with pytest.raises(SettingError, match=f"cannot be merged into weights: found '?{kind}'?; allowed lora, adalora"):
        merge(module)
    assert torch.equal(told(module), expected)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_saved_adapter_gives_the_same_on_a_fresh_base(name: str, kind: str, tmp_path: Path):
    module = adapted(name, kind)
    save_adapter(module, tmp_path / "adapter")
    assert {path.name for path in (tmp_path / "adapter").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    fresh = model(name)
    load_adapter(fresh, tmp_path / "adapter")
    torch.testing.assert_close(told(fresh), told(module), atol=1e-5, rtol=1e-5)


def test_several_adapters_on_one_base_switch_with_their_heads(tmp_path: Path):
    expected = {}
    for number, kind in enumerate(KINDS):
        module = model("bert")
        adapt(module, KINDS[kind], seed=number)
        learn(module, after_step(module), steps=6 + number)
        save_adapter(module, tmp_path / kind)
        expected[kind] = told(module)
    module = model("bert")
    for kind in KINDS:
        load_adapter(module, tmp_path / kind, kind)
    assert list(adapters(module)) == list(KINDS)
    for kind in [*KINDS, *reversed(KINDS)]:
        use(module, kind)
        torch.testing.assert_close(told(module), expected[kind], atol=1e-5, rtol=1e-5)
        assert all(
            kind in key or key.startswith(("classifier", "bert.pooler"))
            for key, parameter in module.named_parameters()
            if parameter.requires_grad
        )
    with pytest.raises(SettingError, match="did you mean prefix"):
        use(module, "prefixx")
    use(module, "lora")
    merge(module)
    torch.testing.assert_close(told(module), expected["lora"], atol=1e-5, rtol=1e-5)


def test_a_second_adapter_leaves_the_first_as_it_was():
    module = adapted("bert", "lora")
    expected = told(module)
    adapt(module, KINDS["bottleneck"], seed=3, name="second")
    learn(module)
    assert not torch.allclose(told(module), expected, atol=1e-2)
    use(module, "default")
    assert torch.equal(told(module), expected)
    with pytest.raises(SettingError, match="has an adapter of that name: found 'second'"):
        adapt(module, KINDS["lora"], seed=3, name="second")


@OLD_NAME
@pytest.mark.parametrize("kind", ["lora", "adalora"])
@pytest.mark.parametrize("name", ["bert", "llama", "t5"])
def test_plain_peft_gives_the_same_logits(name: str, kind: str, tmp_path: Path):
    peft = pytest.importorskip("peft")
    module = adapted(name, kind, steps=20)
    save_adapter(module, tmp_path / "adapter")
    other = peft.PeftModel.from_pretrained(model(name), tmp_path / "adapter").eval()
    torch.testing.assert_close(told(other), told(module), atol=1e-5, rtol=1e-5)


@OLD_NAME
def test_a_lora_of_peft_is_loaded(tmp_path: Path):
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(
        r=3, lora_alpha=5, target_modules=["query", "value"], task_type="SEQ_CLS", init_lora_weights=False
    )
    other = peft.get_peft_model(model("bert"), config).eval()
    other.save_pretrained(tmp_path)
    module = model("bert")
    load_adapter(module, tmp_path)
    torch.testing.assert_close(told(module), told(other), atol=1e-5, rtol=1e-5)
    document = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps({**document, "use_dora": True}))
    with pytest.raises(FolderError, match="layout not known here: found 'use_dora'"):
        load_adapter(model("bert"), tmp_path)


def test_gradients_are_those_of_the_side_path():
    module = model("bert")
    adapt(module, KINDS["lora"], seed=1)
    learn(module, steps=3)
    layer = module.bert.encoder.layer[1].intermediate.dense
    part = layer.adapters["default"]
    x = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(0), requires_grad=True)
    slope = torch.randn(2, 5, 64, generator=torch.Generator().manual_seed(1))
    wanted = torch.nn.functional.linear(x, layer.weight, layer.bias) + part.scale * (x @ part.down.T) @ part.up.T
    expected = torch.autograd.grad(wanted, (x, part.up, part.down), slope)
    found = layer(x)
    torch.testing.assert_close(found, wanted)
    for one, two in zip(torch.autograd.grad(found, (x, part.up, part.down), slope), expected, strict=True):
        torch.testing.assert_close(one, two)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = layer(x)
    assert rounded.dtype == torch.bfloat16
    torch.testing.assert_close(rounded.float(), wanted, atol=0.05, rtol=0.05)


def test_ranks_of_adalora_fall_to_the_budget_and_differ():
    module = model("bert")
    adapt(module, AdapterSettings(kind="adalora", rank=2, initial_rank=5), seed=1)
    after, seen = after_step(module), []

    def watched(step: int, steps: int) -> None:
        after(step, steps)
        seen.append(sum(ranks(module).values()))

    learn(module, watched, steps=40)
    matrices = len(ranks(module))
    assert matrices == 3 * 6
    assert seen[0] == 5 * matrices
    assert all(one >= two for one, two in pairwise(seen))
    assert len(set(seen)) > 5
    assert seen[-1] == seen[30] == 2 * matrices
    assert len(set(ranks(module).values())) > 1
    for _, part in parts(module):
        assert int((part.values != 0).sum()) == part.rank
        assert torch.linalg.matrix_rank(part.delta()) == part.rank
        product = part.left.T @ part.left
        torch.testing.assert_close(product, torch.eye(len(product)), atol=0.1, rtol=0)


def test_adalora_keeps_what_matters():
    # Only one layer's change can matter: the target is the same model with that layer changed by a matrix of rank 2.
    from torch import nn

    from noria.make.models.lora import Triplets, allocator

    random = torch.Generator().manual_seed(0)
    plain = [nn.Linear(16, 16) for _ in range(3)]
    useful = torch.randn(16, 2, generator=random) @ torch.randn(2, 16, generator=random)
    some = [Triplets(linear, 4, 1.0, random) for linear in plain]
    after = allocator(some, 1)
    optimizer = torch.optim.Adam([p for part in some for p in part.parameters()], lr=3e-2)
    for step in range(200):
        x = torch.randn(64, 16, generator=random)
        loss = sum(
            (x @ part.delta().T - x @ (useful.T if place == 1 else 0 * useful)).square().mean()
            for place, part in enumerate(some)
        )
        loss.backward()
        optimizer.step()
        after(step + 1, 200)
        optimizer.zero_grad()
    assert [part.rank for part in some][1] >= 2
    assert sum(part.rank for part in some) == 3


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_prefix_matters(name: str):
    module = model(name)
    adapt(module, KINDS["prefix"], seed=1)
    expected = told(module)
    found = list(parts(module))
    both = 2 * (2 if name != "bert" else 3)
    assert len(found) == {"t5": 6, "marian": 6}.get(name, both // 2)
    for path, part in found:
        for tensor in (part.key, part.value):
            for place in range(5):
                kept = tensor.detach().clone()
                tensor.data[:, place] += 1.0
                assert not torch.allclose(told(module), expected, atol=1e-7, rtol=0), (path, place)
                tensor.data.copy_(kept)
    assert torch.equal(told(module), expected)


def test_a_prefix_is_what_words_before_the_text_would_give():
    module = model("llama")
    adapt(module, KINDS["prefix"], seed=1)
    ids = torch.randint(120, (1, 5), generator=torch.Generator().manual_seed(1))
    plain = model("llama")
    cache = plain(input_ids=ids, use_cache=True).past_key_values
    for layer, (_, part) in zip(cache.layers, parts(module), strict=True):
        torch.testing.assert_close(part.key, layer.keys[0])
        torch.testing.assert_close(part.value, layer.values[0])


def test_prefixes_survive_another_attention_and_generation_uses_them():
    module = adapted("llama", "prefix")
    expected = told(module)
    module.set_attn_implementation("eager")
    torch.testing.assert_close(told(module), expected)
    ids = torch.tensor([[5, 9, 14]])
    with torch.no_grad():
        step = module(input_ids=ids).logits[0, -1]
        cached = module(input_ids=ids[:, :2], use_cache=True)
        last = module(input_ids=ids[:, 2:], past_key_values=cached.past_key_values).logits[0, -1]
    torch.testing.assert_close(step, last, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("name", ["bert", "llama", "marian"])
def test_frozen_layers_get_no_adapter_and_no_gradient(name: str, kind: str):
    module = model(name)
    freeze(module, 1)
    adapt(module, KINDS[kind], seed=1)
    assert not any(".0." in path for path, _ in parts(module))
    assert any(".1." in path for path, _ in parts(module))
    kept = []
    layer = next(iter(anatomy.layers(module).values()))
    layer.register_forward_hook(lambda *args: kept.append(args[2] if torch.is_tensor(args[2]) else args[2][0]))
    module(**question(module))
    assert not kept[0].requires_grad


def test_freezing_alone_stops_lower_layers_and_embeddings():
    module = model("bert")
    freeze(module, 2)
    resting = {key.split(".layer.")[-1].split(".")[0] for key, p in module.named_parameters() if not p.requires_grad}
    assert {"0", "1"} < resting
    assert "2" not in resting
    assert not module.bert.embeddings.word_embeddings.weight.requires_grad
    assert module.classifier.weight.requires_grad
    assert module.bert.pooler.dense.weight.requires_grad
    with pytest.raises(SettingError, match="beyond the model's layers: found 4; allowed 0 to 3"):
        freeze(module, 4)
    freeze(module, 3)
    with pytest.raises(SettingError, match="no layer is left to adapt"):
        adapt(module, KINDS["lora"], seed=0)


@pytest.mark.parametrize("targets", ["attention", "feed_forward"])
def test_targets_choose_the_matrices(targets: str):
    module = model("llama")
    adapt(module, AdapterSettings(kind="lora", targets=targets), seed=0)
    names = {path.rpartition(".")[2] for path, _ in parts(module)}
    wanted = {
        "attention": {"q_proj", "k_proj", "v_proj", "o_proj"},
        "feed_forward": {"gate_proj", "up_proj", "down_proj"},
    }
    assert names == wanted[targets]


def test_frozen_weights_are_rounded_once_and_again_when_they_change():
    module = model("bert")
    adapt(module, KINDS["bottleneck"], seed=1)
    linear = module.bert.encoder.layer[0].attention.self.query
    x = torch.randn(3, 32, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        one = linear(x)
        first = linear._rounded[1]
        linear(x)
        assert linear._rounded[1] is first
        linear.weight.mul_(2)
        assert not torch.equal(linear(x), one)
        plain = torch.nn.functional.linear(x, linear.weight, linear.bias)
        assert torch.equal(linear(x), plain)


def test_wrong_bases_and_folders_are_plain_errors(tmp_path: Path):
    with pytest.raises(FolderError, match="holds no adapter"):
        load_adapter(model("bert"), tmp_path)
    module = adapted("bert", "lora", steps=1)
    save_adapter(module, tmp_path / "lora")
    with pytest.raises(FolderError, match="adapter for another base"):
        load_adapter(model("llama"), tmp_path / "lora")
    from transformers import BertConfig, BertForSequenceClassification

    wide = BertForSequenceClassification(
        BertConfig(vocab_size=9, hidden_size=64, num_hidden_layers=3, num_attention_heads=2, intermediate_size=64)
    )
    with pytest.raises(FolderError, match="adapter for another base"):
        load_adapter(wide, tmp_path / "lora")
    assert not adapters(wide)
    broken = shutil.copytree(tmp_path / "lora", tmp_path / "broken")
    weights = (broken / "adapter_model.safetensors").read_bytes()
    (broken / "adapter_model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(FolderError, match="cannot be read"):
        load_adapter(model("bert"), broken)
    with pytest.raises(SettingError, match="no layers found to adapt or freeze"):
        adapt(torch.nn.LSTM(3, 3), KINDS["lora"], seed=0)
    with pytest.raises(SettingError, match="initial_rank must not be below rank"):
        AdapterSettings.make(kind="adalora", rank=16)


def test_none_leaves_the_model_alone():
    module = bert()
    adapt(module, AdapterSettings(), seed=0)
    assert after_step(module) is None
    assert all(parameter.requires_grad for parameter in module.parameters())


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_written_model_folder_loads_with_its_adapter(kind: str, tmp_path: Path):
    from tiny_models import LABELS, make_encoder

    from noria.core.folder import new_folder
    from noria.make.models.load import load

    base = make_encoder(tmp_path / "base", "classify", LABELS, 2, compiled=False)
    module, tokenizer = load(base, "sequence", LABELS)
    adapt(module, KINDS[kind], seed=1)
    learn(module, after_step(module))
    expected = told(module)
    with new_folder(tmp_path / "out", kind="model") as folder:
        folder.facts["adapter"] = write_adapter(module, folder.path)
        module.save_pretrained(folder.path, state_dict=base_state(module))
        tokenizer.save(str(folder.path / "tokenizer.json"))
    assert folder.facts["adapter"]["kind"] == kind
    assert folder.facts["adapter"]["merged"] == (kind in ("lora", "adalora"))
    again, _ = load(tmp_path / "out", "sequence", LABELS)
    torch.testing.assert_close(told(again), expected, atol=1e-5, rtol=1e-5)
    assert bool(adapters(again)) == (kind in ("bottleneck", "prefix"))
    # The adapter beside a merged model still fits the base it was trained on.
    fresh, _ = load(base, "sequence", LABELS)
    load_adapter(fresh, tmp_path / "out" / "adapter")
    torch.testing.assert_close(told(fresh), expected, atol=1e-5, rtol=1e-5)
    # Other labels: the head starts anew, the adapter stays.
    other, _ = load(tmp_path / "out", "sequence", ["a", "b", "c"])
    assert told(other).shape[-1] == 3


@pytest.mark.parametrize("kind", ["bottleneck", "prefix"])
def test_an_exported_graph_has_the_adapter_in_it(kind: str, tmp_path: Path):
    from openvino import compile_model
    from tiny_models import LABELS, make_encoder

    from noria.core.folder import new_folder
    from noria.make.compress.quantize import export
    from noria.make.models.load import load

    module, tokenizer = load(make_encoder(tmp_path / "base", "classify", LABELS, 2, compiled=False), "sequence", LABELS)
    adapt(module, KINDS[kind], seed=1)
    learn(module)
    with new_folder(tmp_path / "out", kind="model") as folder:
        folder.facts["adapter"] = write_adapter(module, folder.path)
        module.save_pretrained(folder.path, state_dict=base_state(module))
        tokenizer.save(str(folder.path / "tokenizer.json"))
    graph = compile_model(export(tmp_path / "out", "sequence"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for seed in range(2):
        asked = {name: tensor.numpy() for name, tensor in question(module, seed).items()}
        torch.testing.assert_close(torch.from_numpy(graph(asked)["logits"]), told(module, seed), atol=1e-4, rtol=1e-4)
