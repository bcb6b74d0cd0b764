"""One dial: the count is what transformers counts, and it comes near what was asked."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.core.errors import SettingError
from noria.make.models.sizes import causal, count


@pytest.mark.parametrize(("parameters", "vocab_size"), [(300_000, 1_000), (5_000_000, 8_192)])
def test_the_count_is_that_of_transformers(parameters: int, vocab_size: int):
    from transformers import LlamaForCausalLM

    config = causal(parameters, vocab_size, 256)
    assert LlamaForCausalLM(config).num_parameters() == count(config.hidden_size, config.num_hidden_layers, vocab_size)


@given(st.integers(2_000_000, 10_000_000_000))
@settings(max_examples=60, deadline=None)
def test_the_model_is_about_as_large_as_asked(parameters: int):
    config = causal(parameters, 8_192, 512)
    assert count(config.hidden_size, config.num_hidden_layers, 8_192) == pytest.approx(parameters, rel=0.25)
    assert config.num_attention_heads * config.head_dim == config.hidden_size
    assert 20 <= config.hidden_size / config.num_hidden_layers <= 200


def test_numbers_out_of_range_are_refused():
    with pytest.raises(SettingError, match="parameters is out of range"):
        causal(10, 8_192, 512)
    with pytest.raises(SettingError, match="context is out of range"):
        causal(5_000_000, 8_192, 4)
    with pytest.raises(SettingError, match="vocabulary alone is larger"):
        causal(1_000_000, 100_000, 512)
