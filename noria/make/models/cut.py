"""A model cut down to its lowest layers, and the proof that what will be written of a model can be read again."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from noria.core.errors import SettingError
from noria.core.messages import message

from . import anatomy

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_NOT_BY_LAYER = ("token", "architectures", "limit", "multipliers", "shape", "size_range")
"""In the names of lists that may happen to be as long as there are layers."""


def keep_lowest(module: PreTrainedModel, count: int) -> None:
    """Cut an encoder or a decoder down to its lowest layers, in place; its configuration with it.

    Whatever the configuration says of each layer (kinds of attention, of feed-forward, window) is cut alike.

    Raises:
        SettingError: it has no single stack of layers, not as many, or would not be read again after the cut.
    """
    layers = anatomy.only_stack(module)
    if layers is None or not 1 <= count <= len(layers):
        allowed = f"1 to {len(layers)}" if layers is not None else message("make.layers_cut")
        raise SettingError(message("make.layers_beyond"), found=count, allowed=allowed)
    before = len(layers)
    if count == before:
        return
    del layers[count:]
    try:
        _describe_lowest(module.config.get_text_config(decoder=True), count, before)
        with torch.no_grad():
            module(input_ids=torch.arange(4)[None])
        fault = cannot_be_read_again(module, numbers=True)
    except Exception as error:  # whatever a family's own code raises where its layers hang on each other
        fault = _last_line(error)
    if fault:
        name = getattr(module.config, "model_type", type(module).__name__)
        raise SettingError(
            message("make.layers_cannot", name=name),
            found=fault,
            allowed=message("make.all_layers_2", before=before),
            hint=message("make.leave_out"),
        )


def _describe_lowest(config: Any, count: int, before: int) -> None:
    for name, value in list(vars(config).items()):
        kept = _of_lowest(name, value, count, before)
        if kept is not value:
            setattr(config, name, kept)
    if "decoder_layers" in vars(config):  # a decoder that was half of a pair
        config.decoder_layers = count
    config.num_hidden_layers = count
    if getattr(config, "attention_types", None) and hasattr(
        config, "attention_layers"
    ):  # GPT-Neo derives one from the other
        config.attention_types = [[[kind], 1] for kind in config.attention_layers]


def _of_lowest(name: str, value: Any, count: int, before: int) -> Any:
    """Return what a setting says of the lowest layers alone: one entry a layer, or numbers of layers."""
    if isinstance(value, list | tuple):
        if len(value) == before and not any(word in name for word in _NOT_BY_LAYER):
            return value[:count]
        numbers = [one for one in value if isinstance(one, int) and not isinstance(one, bool) and 0 <= one < before]
        if value and len(numbers) == len(value) and ("layer" in name or "idx" in name or "indices" in name):
            return type(value)(one for one in value if one < count)
    if (
        isinstance(value, dict)
        and value
        and "layer" in name
        and all(str(key).isdigit() and int(key) < before for key in value)
    ):
        return {key: one for key, one in value.items() if int(key) < count}
    return value


def cannot_be_read_again(module: nn.Module, *, numbers: bool = False) -> str:
    """Return what is wrong with a model's configuration as a file, by making the model of it again; empty: nothing.

    The model is made without memory for its weights, so this costs a fraction of a second for any size. What has no
    configuration of transformers' is not looked at. `numbers`: those that the parts compute with are compared too.
    """
    from transformers import PreTrainedConfig

    config = getattr(module, "config", None)
    if not isinstance(config, PreTrainedConfig):
        return ""
    try:
        with tempfile.TemporaryDirectory() as folder:
            config.save_pretrained(folder)
            again = type(config).from_pretrained(folder)
        again._attn_implementation = config._attn_implementation
        with torch.device("meta"), torch.random.fork_rng(devices=[]), torch.no_grad():
            copy = type(cast("PreTrainedModel", module))(again)
            with suppress(AttributeError, TypeError, NotImplementedError):  # a part that only its whole can draw
                for part in copy.modules():
                    copy._init_weights(part)
    except Exception as error:  # whatever a configuration's own checks raise
        return _last_line(error)
    shapes = {name: tuple(one.shape) for name, one in module.state_dict().items()}
    others = {name: tuple(one.shape) for name, one in copy.state_dict().items()}
    odd = sorted(name for name in shapes.keys() | others.keys() if shapes.get(name) != others.get(name))
    if odd:
        return f"{len(odd)} weights that it would not hold, the first {odd[0]}"
    parts = dict(copy.named_modules())
    for name, part in module.named_modules() if numbers else ():
        for key, value in vars(part).items():
            # A number that the depth decides (MiniCPM scales what a layer adds by it) must be that of the file.
            other = vars(parts[name]).get(key, value) if name in parts else value
            if type(value) in (int, float) and other != value and key not in ("training", "p"):
                return f"{key} of {name}, {value:.4g} here and {other:.4g} there"
    return ""


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
