"""Every engine gives what plain transformers gives: alone, in a batch, step by step."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny_models import TEXTS

from noria.core.errors import FolderError, SettingError
from noria.infer.choose import best_kind, open_engine
from noria.infer.completions import Detokenizer
from noria.infer.engine import answer, batches
from noria.tasks.complete import Sampling


def transformers_logits(folder: Path, task: str, ids: list[int]) -> np.ndarray:
    import torch
    import transformers

    kinds = {"classify": "SequenceClassification", "tag": "TokenClassification", "causal": "CausalLM"}
    auto = getattr(transformers, f"AutoModelFor{kinds[task]}") if task in kinds else transformers.AutoModel
    model = auto.from_pretrained(folder).eval()
    with torch.inference_mode():
        return model(torch.tensor([ids]))[0][0].numpy()


@pytest.mark.parametrize("kind", ["torch", "openvino"])
@pytest.mark.parametrize("name", ["classifier", "tagger", "embedder"])
def test_logits_are_those_of_transformers_whatever_the_batch(name, kind, request):
    folder = request.getfixturevalue(name)
    engine = open_engine(folder, threads=1, prefer=kind)
    assert engine.kind == kind
    batch = [engine.task.features(engine.tokenizer, text, engine.max_length).ids for text in TEXTS]
    assert len({len(ids) for ids in batch}) > 3, "texts of many lengths, or padding is not tested"
    together = engine.forward(batch)
    # OpenVINO computes in bfloat16 where the CPU has it: eight bits of mantissa.
    near = 2e-4 if kind == "torch" else 1e-2
    for ids, logits in list(zip(batch, together, strict=True))[::4]:
        np.testing.assert_allclose(logits, transformers_logits(folder, engine.task.name, ids), atol=near)
    alone = np.concatenate([engine.forward([ids])[0].ravel() for ids in batch])
    np.testing.assert_allclose(np.concatenate([logits.ravel() for logits in together]), alone, atol=near)
    engine.close()


def test_answers_keep_the_order_of_the_texts(classifier):
    engine = open_engine(classifier, threads=1)
    small = answer(engine, TEXTS, batch_tokens=40)
    for one, whole in zip(small, answer(engine, TEXTS), strict=True):
        assert one["score"] == pytest.approx(whole["score"], abs=1e-3)
    order = [one["scores"]["positive"] for one in answer(engine, TEXTS)]
    assert np.corrcoef(order, [one["scores"]["positive"] for one in small])[0, 1] > 0.9


def test_batches_hold_every_text_once_within_their_bound():
    lengths = [3, 50, 7, 7, 90, 1, 20]
    made = list(batches(lengths, 60))
    assert sorted(place for batch in made for place in batch) == list(range(7))
    assert all(len(batch) == 1 or max(lengths[place] for place in batch) * len(batch) <= 60 for batch in made)


def test_a_text_too_long_is_cut_not_refused(tagger):
    engine = open_engine(tagger, threads=1)
    assert answer(engine, ["北京很大，" * 500])[0]["spans"] is not None


def test_decoding_with_kept_keys_is_the_full_forward_pass(writer):
    engine = open_engine(writer, threads=1)
    ids = engine.task.features(engine.tokenizer, "大模型的市场", engine.max_length).ids
    made = list(engine.generate(ids, Sampling(temperature=0, max_tokens=12)))
    assert len(made) == 12
    for place in range(12):
        logits = transformers_logits(writer, "causal", [*ids, *made[:place]])[-1]
        assert logits[made[place]] == pytest.approx(logits.max(), abs=1e-2), "bfloat16 may swap near ties"


def test_a_seed_repeats_and_another_differs(writer):
    engine = open_engine(writer, threads=1)
    draw = [list(engine.generate([5, 6], Sampling(temperature=1.0, max_tokens=16, seed=seed))) for seed in (1, 1, 2)]
    assert draw[0] == draw[1] != draw[2]
    assert all(0 <= token < 400 for token in draw[0])


def test_generation_ends_at_a_stop_token_and_at_the_models_length(writer):
    engine = open_engine(writer, threads=1)
    first = next(engine.generate([5, 6], Sampling(temperature=0, max_tokens=4)))
    assert list(engine.generate([5, 6], Sampling(temperature=0, max_tokens=4), stop=[first])) == []
    made = list(engine.generate([5] * 250, Sampling(temperature=1, max_tokens=99, seed=3)))
    assert len(made) <= engine.max_length - 250


def test_only_a_causal_model_generates(classifier):
    for kind in ("torch", "openvino"):
        with pytest.raises(SettingError, match="causal"):
            list(open_engine(classifier, threads=1, prefer=kind).generate([1], Sampling()))


@pytest.mark.parametrize("certificate", [None, "", "[]", '{"passed": false}', '{"passed": "yes"}'])
def test_no_certificate_no_compiled_engine(classifier, tmp_path, certificate):
    folder = tmp_path / "copy"
    shutil.copytree(classifier, folder)
    assert best_kind(folder) == "openvino"
    (folder / "certificate.json").unlink()
    if certificate is not None:
        (folder / "certificate.json").write_text(certificate)
    assert best_kind(folder) == "torch"


def test_bad_folders_are_plain_errors(classifier, plain_classifier, tmp_path):
    with pytest.raises(FolderError, match="no such folder"):
        open_engine(tmp_path / "none")
    with pytest.raises(FolderError, match=r"engine/model\.xml"):
        open_engine(plain_classifier, prefer="openvino")
    with pytest.raises(SettingError, match="unknown engine"):
        open_engine(classifier, prefer="tflite")
    cut = tmp_path / "cut"
    shutil.copytree(classifier, cut)
    weights = cut / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(FolderError, match=r"model\.safetensors"):
        open_engine(cut)
    coded = tmp_path / "coded"
    shutil.copytree(plain_classifier, coded)
    (coded / "evil.py").write_text("raise SystemExit('run')\n")
    config = {**json.loads((coded / "config.json").read_text()), "auto_map": {"AutoModel": "evil.Model"}}

    def configured(**more: str) -> None:
        (coded / "config.json").write_text(json.dumps({**config, **more}))
        entry = json.loads((coded / "noria.json").read_text())
        entry["files"]["config.json"]["bytes"] = (coded / "config.json").stat().st_size
        (coded / "noria.json").write_text(json.dumps(entry))

    configured(model_type="evil")
    with pytest.raises(FolderError, match="code of its own"):
        open_engine(coded)
    configured()  # transformers has this architecture itself: that is loaded, whatever lies beside the weights
    ids = [[5, 6, 7]]
    assert np.array_equal(open_engine(coded).forward(ids)[0], open_engine(plain_classifier).forward(ids)[0])


def test_speech_gives_whole_characters_and_never_a_stop_string(writer):
    tokenizer = open_engine(writer, threads=1).tokenizer
    text = "大模型 share 增长 STOP after"
    ids = tokenizer.encode(text).ids
    plain, stopped = Detokenizer(tokenizer), Detokenizer(tokenizer, ["ST0P", "STOP"])
    pieces = [plain.add(token) for token in ids]
    assert "".join(pieces) + plain.flush() == text
    assert not any("�" in piece for piece in pieces)
    said = ""
    for token in ids:
        said += stopped.add(token)
        if stopped.stopped:
            break
    assert said == "大模型 share 增长 "
    half = Detokenizer(tokenizer, ["growing!"])
    told = "".join(half.add(token) for token in tokenizer.encode("keeps growing").ids)
    assert told == "keeps "
    assert told + half.flush() == "keeps growing"
