"""Any family of transformers made tiny: its own default configuration with small sizes, and weights under which every path matters."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

Sizes = Sequence[tuple[str, int]]
"""Names that families give to a size, as patterns, and the tiny one."""
Fixed = Callable[[str, Any], dict[str, Any] | None]
"""Name and value of a setting -> what stands for it whatever its size; None where its size decides."""
LAYERS = 2


def shrunken(document: Mapping[str, Any], sizes: Sizes, fixed: Fixed) -> dict[str, Any]:
    """Return the sizes of a configuration made tiny; what is listed a layer keeps one layer of each kind, `LAYERS` at most."""
    layers = document.get("num_hidden_layers") or document.get("n_layer") or -1
    given: dict[str, Any] = {}
    for name, value in document.items():
        if (told := fixed(name, value)) is not None:
            given |= told
        elif isinstance(value, int) and not isinstance(value, bool):
            size = next((size for pattern, size in sizes if re.fullmatch(pattern, name)), None)
            if size is not None and value > size:
                given[name] = size
        elif isinstance(value, list) and len(value) == layers:
            kinds = {str(one): one for one in reversed(value)}
            given[name] = [kinds[kind] for kind in dict.fromkeys(map(str, value))][:LAYERS]
            given[name] += [value[-1]] * (LAYERS - len(given[name]))
    return given


def config_of(name: str, sizes: Sizes, fixed: Fixed, overrides: Mapping[str, dict[str, Any]], **more: Any) -> Any:
    """Return a family's configuration made tiny, that of its parts too.

    Args:
        name: the model type.
        sizes: what is made small.
        fixed: tokens, and what else is not a matter of size.
        overrides: model type -> what small sizes alone do not give it.
        more: settings of this one.
    """
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    kind = CONFIG_MAPPING[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        document = kind().to_dict()
        given = shrunken(document, sizes, fixed)
        for part in kind.sub_configs or {}:
            if isinstance(document.get(part), dict):
                own = {key: document[part][key] for key in ("model_type",) if key in document[part]}
                more_of_it = overrides.get(document[part].get("model_type", ""), {})
                given[part] = {**shrunken(document[part], sizes, fixed), **own, **more_of_it}
        return kind(**{**given, **overrides.get(name, {}), **more})


@contextmanager
def drawn(seed: int) -> Iterator[Callable[[Any], None]]:
    """Give what draws a module's matrices, large enough that every path through it matters; the same for a seed."""
    import torch

    def draw(module: Any) -> None:
        with torch.no_grad():
            for parameter in module.parameters():
                if parameter.ndim >= 2:
                    parameter.normal_(0, min(0.3, 1.5 * parameter.shape[-1] ** -0.5))

    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        yield draw
