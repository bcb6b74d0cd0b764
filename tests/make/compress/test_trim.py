"""Trimming: same tokens, same hidden states, fewer parameters; other text still tokenises."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from noria.core.errors import FolderError, InputError
from noria.core.folder import read_manifest
from noria.make.compress.trim import trim
from noria.make.models.load import load
from noria.make.tokens.tokenizer import load_tokenizer

ENGLISH = (
    "The film was great and I would gladly watch it again.",
    "She opened the window because the room was too warm.",
)
OTHER_TEXT = ("昨日の天気はどうでしたか", "Привет, мир", "囍龘", "😀 ok")


def test_the_corpus_keeps_its_tokens(e5_full: Path, e5_base: Path, review_lines: list[str]):
    whole, cut = load_tokenizer(e5_full), load_tokenizer(e5_base)
    for text in review_lines:
        before, after = whole.encode("query: " + text), cut.encode("query: " + text)
        assert before.tokens == after.tokens
        assert before.offsets == after.offsets


def test_hidden_states_are_unchanged(e5_full: Path, e5_base: Path, review_lines: list[str]):
    (whole, tokenizer), (cut, cut_tokenizer) = load(e5_full, "embedding"), load(e5_base, "embedding")
    with torch.no_grad():
        for text in review_lines[:3]:
            before = whole(torch.tensor([tokenizer.encode("query: " + text).ids])).last_hidden_state
            after = cut(torch.tensor([cut_tokenizer.encode("query: " + text).ids])).last_hidden_state
            torch.testing.assert_close(before, after)
    assert cut.num_parameters() < 25_000_000 < 117_000_000 < whole.num_parameters()


def test_any_character_of_everyday_chinese_and_ascii_stays_known(e5_full: Path, e5_base: Path):
    whole, cut = load_tokenizer(e5_full), load_tokenizer(e5_base)
    level_one = bytes(byte for row in range(0xB0, 0xD8) for cell in range(0xA1, 0xFF) for byte in (row, cell))
    characters = level_one.decode("gb2312", "ignore")
    assert len(characters) == 3_755
    unknown = [character for character in characters if "<unk>" in cut.encode(character).tokens]
    # The few that the whole vocabulary knows only as part of longer pieces, or not at all.
    assert len(unknown) < 40
    assert not [character for character in unknown if whole.token_to_id(character) is not None]
    printable = "".join(map(chr, range(0x21, 0x7F)))
    assert "<unk>" not in cut.encode(printable + "，。！？《》“”、；：…").tokens


def test_other_text_still_tokenises(e5_base: Path):
    tokenizer = load_tokenizer(e5_base)
    size = tokenizer.get_vocab_size()
    for text in OTHER_TEXT:
        encoding = tokenizer.encode(text)
        assert all(index < size for index in encoding.ids)
        assert encoding.offsets[-2][1] == len(text)


def test_facts_lineage_and_the_estimate_for_new_text(e5_full: Path, tmp_path: Path, review_lines: list[str]):
    half = trim(e5_full, review_lines[:300], tmp_path / "half")
    manifest = read_manifest(half)
    assert manifest.sources[0].sha256 == read_manifest(e5_full).identity()
    assert manifest.facts["pooling"] == "mean"
    assert manifest.facts["trim"]["pieces_before"] == 250_002
    assert manifest.facts["parameters"] == load(half, "embedding")[0].num_parameters()
    encodings = load_tokenizer(e5_full).encode_batch(review_lines[300:], add_special_tokens=False)
    tokens = [encoding.tokens for encoding in encodings]
    known = load_tokenizer(half).get_vocab()
    cut = np.mean([token not in known for text in tokens for token in text])
    assert 0.3 * cut < manifest.facts["trim"]["new_text_cut"] < 3 * cut


def test_ids_of_special_tokens_follow(e5_base: Path):
    config = json.loads((e5_base / "config.json").read_text())
    tokenizer = load_tokenizer(e5_base)
    assert tokenizer.token_to_id("<mask>") == config["vocab_size"] - 1
    assert tokenizer.encode("书").ids[0] == config["bos_token_id"] == tokenizer.token_to_id("<s>")
    assert config["pad_token_id"] == tokenizer.token_to_id("<pad>")


def test_bad_input_is_plain_errors(e5_base: Path, tmp_path: Path):
    with pytest.raises(InputError, match="no text"):
        trim(e5_base, ["", " "], tmp_path / "out")
    with pytest.raises(FolderError, match=r"no tokenizer\.json"):
        trim(tmp_path, ["text"], tmp_path / "out")
    folder = shutil.copytree(e5_base, tmp_path / "words")
    document = json.loads((folder / "tokenizer.json").read_text())
    document["model"] = {"type": "WordLevel", "vocab": {}, "unk_token": "x"}
    (folder / "tokenizer.json").write_text(json.dumps(document))
    with pytest.raises(FolderError, match="of this kind cannot be trimmed: found 'WordLevel'; allowed Unigram"):
        trim(folder, ["text"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def bpe_model(tmp_path_factory: pytest.TempPathFactory, review_lines: list[str]) -> Path:
    """A Llama-style model with a byte-level BPE of reviews and English."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from noria.make.tokens.tokenizer import train_tokenizer

    folder = train_tokenizer([*review_lines, *ENGLISH * 40], 6_000, tmp_path_factory.mktemp("bpe") / "model")
    config = LlamaConfig(
        vocab_size=6_016,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=[2],
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def wordpiece_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled English encoder."""
    from noria.core.errors import PackageError
    from noria.make.models.bundled import minilm

    try:
        return minilm(tmp_path_factory.mktemp("minilm") / "minilm")
    except PackageError as error:
        pytest.skip(str(error))


TRICKY = ["the unaffable foxes", "ok 中文 über naïve", "qwzxv" * 30, "x\u4e00\u9fa5龘囍", "😀 12,345.67", "ﬁﬀ"]


@pytest.mark.parametrize("name", ["bpe_model", "wordpiece_model"])
def test_bpe_and_wordpiece_keep_the_tokens_of_the_corpus(
    request: pytest.FixtureRequest, tmp_path: Path, review_lines: list[str], name: str
):
    folder = request.getfixturevalue(name)
    texts = [*review_lines[:60], *ENGLISH, *TRICKY]
    small = trim(folder, texts, tmp_path / "small")
    whole, cut = load_tokenizer(folder), load_tokenizer(small)
    assert cut.get_vocab_size() < 0.9 * whole.get_vocab_size()
    for text in texts:
        before, after = whole.encode(text), cut.encode(text)
        assert before.tokens == after.tokens
        assert before.offsets == after.offsets
    head = "causal" if name == "bpe_model" else "embedding"
    (old, _), (new, _) = load(folder, head), load(small, head)
    with torch.no_grad():
        for text in (texts[0], ENGLISH[1]):
            wide = old(torch.tensor([whole.encode(text).ids]))[0]
            narrow = new(torch.tensor([cut.encode(text).ids]))[0]
            if head == "causal":
                wide = wide[..., [whole.token_to_id(cut.id_to_token(index)) for index in range(cut.get_vocab_size())]]
            torch.testing.assert_close(narrow, wide)


def test_bpe_still_writes_any_text(bpe_model: Path, tmp_path: Path):
    cut = load_tokenizer(trim(bpe_model, ["很好"], tmp_path / "small"))
    for text in ("昨日の天気", "Привет 龘 😀", "def f(x):\n    return x"):
        assert cut.decode(cut.encode(text).ids) == text
    config = json.loads((tmp_path / "small" / "config.json").read_text())
    assert [config["pad_token_id"], config["bos_token_id"], config["eos_token_id"]] == [0, 1, [2]]
    whole = load_tokenizer(bpe_model)
    for character in "的一是了我不人在他有":
        assert len(cut.encode(character).ids) == len(whole.encode(character).ids)
