"""The table of families in the docs says what the code does with each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from decoder_folders import make_decoder

from noria.infer.gguf.families import FAMILIES
from noria.make.compress.causal import _genai_reads
from noria.make.compress.gguf import fault_of
from noria.make.kernels import decoder
from noria.make.models.adapt import adapt, adapters
from noria.make.models.adapt_settings import AdapterSettings
from noria.make.models.load import load

DOCS = Path(__file__).resolve().parents[3] / "docs"
EXAMPLES = {
    "llama": "SmolLM",
    "mistral": "Mistral",
    "qwen2": "Qwen2",
    "qwen3": "Qwen3",
    "gemma3_text": "Gemma 3",
    "phi3": "Phi-3",
}
WORDS = {
    "decoders.md": ("its own passes", "transformers' passes", "conversations, next tokens, loss, speed"),
    "decoders.zh-CN.md": ("自写的计算", "transformers 的计算", "对话、下一个词元、损失、速度"),
}


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory, quiet: None) -> dict[str, tuple[bool, str, str]]:
    """Family -> whether it has passes of its own in training, adapters that fit it, and engines that run it."""
    found = {}
    for family in FAMILIES:
        folder = make_decoder(EXAMPLES[family.model_type], tmp_path_factory.mktemp("families") / "model")
        config = json.loads((folder / "config.json").read_text())
        assert not fault_of(config)
        fitting = []
        for kind in ("lora", "adalora", "bottleneck", "prefix"):
            module, _ = load(folder, "causal")
            adapt(module, AdapterSettings.make(kind=kind), seed=0)
            if adapters(module):
                fitting.append(kind)
        own = decoder.applies(load(folder, "causal")[0].train())
        engines = "llama.cpp, OpenVINO GenAI, torch" if _genai_reads(config, "8 bits") else "llama.cpp, torch"
        found[family.model_type] = (own, ", ".join(fitting), engines)
    return found


@pytest.mark.parametrize("page", WORDS)
def test_the_table_says_what_the_code_does(page: str, known: dict[str, tuple[bool, str, str]]):
    own_words, their_words, certified = WORDS[page]
    text = (DOCS / page).read_text(encoding="utf-8")
    for family in FAMILIES:
        own, fitting, engines = known[family.model_type]
        row = f"| {family.title} | `{family.model_type}` | {own_words if own else their_words} | {fitting} | {engines} | {certified} |"
        assert row in text, f"docs/{page} lacks: {row}"


@pytest.mark.parametrize("page", ["README.md", "README.zh-CN.md"])
def test_the_first_page_names_every_family(page: str):
    text = (DOCS.parent / page).read_text(encoding="utf-8")
    assert not [family.title for family in FAMILIES if family.title not in text]
