"""One way to read a tokenizer: neither padding nor truncation, whoever asks; older files converted, or refused by name."""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import TEXTS, encoder_tokenizer
from tokenizers import Tokenizer

from noria.core.errors import FolderError
from noria.make.tokens.special import extend
from noria.make.tokens.tokenizer import copy_tokenizer, load_tokenizer, train_tokenizer
from noria.tasks.tokenizer import document_of, read_tokenizer, tokenizer_of, write_tokenizer

ROOT = Path(__file__).parents[2]
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "物", "流", "很", "快", "fast", "##er", "."]


@pytest.fixture
def baked(tmp_path: Path) -> Path:
    """Return a folder whose tokenizer fills up to 128 tokens and cuts there."""
    folder = tmp_path / "baked"
    folder.mkdir()
    encoder_tokenizer(folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_padding(length=128)
    tokenizer.enable_truncation(128)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"pad_token": "[PAD]", "cls_token": "[CLS]"}))
    assert len(Tokenizer.from_file(str(folder / "tokenizer.json")).encode("物流很快").ids) == 128
    return folder


def plain(tokenizer: Tokenizer) -> bool:
    """Return whether a tokenizer neither fills up nor cuts."""
    long = "物流很快" * 100
    return len(tokenizer.encode("物流很快").ids) < 20 and len(tokenizer.encode(long).ids) > 128


def test_padding_and_truncation_are_taken_off_wherever_one_is_read_or_written(baked: Path, tmp_path: Path):
    assert plain(read_tokenizer(baked))
    assert plain(load_tokenizer(baked))
    raw = (baked / "tokenizer.json").read_text(encoding="utf-8")
    assert plain(tokenizer_of(raw))
    assert plain(tokenizer_of(json.loads(raw)))
    full = Tokenizer.from_str(raw)
    assert document_of(full)["padding"] is None
    assert document_of(full)["truncation"] is None
    for written in ("copied", "written"):
        target = tmp_path / written
        target.mkdir()
        copy_tokenizer(baked, target) if written == "copied" else write_tokenizer(Tokenizer.from_str(raw), target)
        document = json.loads((target / "tokenizer.json").read_text(encoding="utf-8"))
        assert (document["padding"], document["truncation"]) == (None, None), written
    assert plain(Tokenizer.from_file(str(extend(baked, tmp_path / "extended", mask=True) / "tokenizer.json")))


def test_nothing_in_noria_reads_a_tokenizer_in_another_way():
    ways = re.compile(r"Tokenizer\.from_(file|str|buffer|pretrained)|AutoTokenizer|PreTrainedTokenizerFast\(")
    allowed = {"noria/tasks/tokenizer.py", "noria/make/tokens/older.py"}
    found = {
        str(file.relative_to(ROOT))
        for file in (ROOT / "noria").rglob("*.py")
        if ways.search(file.read_text(encoding="utf-8"))
    }
    assert found == allowed


@pytest.mark.parametrize("kind", ["bert", "distilbert", "electra", "mobilebert", "roformer"])
@pytest.mark.parametrize("lower", [True, False])
def test_a_vocab_txt_alone_is_read_as_transformers_reads_it(tmp_path: Path, kind: str, lower: bool):
    from transformers import AutoTokenizer

    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    (tmp_path / "vocab.txt").write_text("\n".join(PIECES) + "\n", encoding="utf-8")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": lower}))
    wanted = AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)("物流很快 Faster.").input_ids
    if kind == "roformer":
        # RoFormer cuts Chinese words by Python code, which no tokenizer.json holds.
        with pytest.raises(FolderError, match=r"vocab\.txt.*tokenizer\.json"):
            load_tokenizer(tmp_path)
        return
    ids = load_tokenizer(tmp_path).encode("物流很快 Faster.").ids
    assert ids == wanted
    assert ids[1:5] == [5, 6, 7, 8]
    assert (9 in ids) == lower
    copied = tmp_path / "copied"
    copied.mkdir()
    copy_tokenizer(tmp_path, copied)
    assert read_tokenizer(copied).encode("物流很快 Faster.").ids == wanted


def test_vocab_json_and_merges_are_read(tmp_path: Path):
    from transformers import AutoTokenizer

    pieces = ["<s>", "<pad>", "</s>", "<unk>", "a", "b", "ab", "Ġ", "<mask>"]
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "roberta"}))
    (tmp_path / "vocab.json").write_text(json.dumps({piece: number for number, piece in enumerate(pieces)}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b\n")
    ids = load_tokenizer(tmp_path).encode("ab a").ids
    assert ids == AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)("ab a").input_ids
    assert ids[0] == 0
    assert ids[-1] == 2
    assert 6 in ids


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("spiece.model", "xlnet"),
        ("sentencepiece.bpe.model", "xlm-roberta"),
        ("spm.model", "deberta-v2"),
        ("tekken.json", "mistral"),
    ],
)
def test_what_cannot_be_converted_is_refused_by_name_with_the_way(tmp_path: Path, name: str, kind: str):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    (tmp_path / name).write_bytes(b"no such thing")
    with pytest.raises(FolderError) as caught:
        load_tokenizer(tmp_path)
    assert name in str(caught.value)
    assert "save_pretrained" in str(caught.value)


def test_a_folder_without_any_tokenizer_is_refused(tmp_path: Path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(FolderError, match=r"holds no tokenizer\.json"):
        load_tokenizer(tmp_path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tokenizer]:
    """Return a trained tokenizer of each kind."""
    place = tmp_path_factory.mktemp("trained")
    return {
        kind: load_tokenizer(train_tokenizer(TEXTS * 3, 512, place / kind, kind=kind)) for kind in ("bpe", "unigram")
    }


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
@given(
    text=st.text(
        st.one_of(
            st.characters(exclude_categories=["Cs"]),
            st.sampled_from("e\u0301\u212b\uf900\u1100\u1161\u0958①한글é物流 \n\t"),
        ),
        max_size=30,
    )
)
def test_any_text_comes_back_in_composed_form_as_the_help_says(trained: dict[str, Tokenizer], kind: str, text: str):
    tokenizer = trained[kind]
    back = tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False)
    assert back == unicodedata.normalize("NFC", text)
