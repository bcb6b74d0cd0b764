"""The loss of every causal family of the installed transformers: its own, blind to later tokens and to neighbours in a row."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import torch
from causal_families import CANNOT, ENCODERS, REFUSED, VOCABULARY, build, names

from noria.core.errors import FolderError, SettingError
from noria.make.models.cut import keep_lowest
from noria.make.models.load import model_kind, quiet_transformers
from noria.make.tokens.batches import IGNORED, Batch
from noria.make.training.objectives.causality import form_of
from noria.make.training.objectives.language_modeling import causal

pytestmark = pytest.mark.filterwarnings("ignore")  # of the library's own forwards
LENGTHS = ((9, 15), (24,), (5, 6, 13))
"""Documents of each row: longer and shorter than the tiny windows of attention."""
BY_LOGITS = {
    "bart",
    "bigbird_pegasus",
    "blenderbot",
    "blenderbot-small",
    "marian",
    "mbart",
    "mvp",
    "pegasus",
    "plbart",
    "trocr",
    "whisper",  # the library compares their logits with labels that the caller has shifted
    "git",  # takes a picture's logits off, be there one or not
}
"""Families whose own loss is taken from their logits, each compared with the next token."""
TRAINED = sorted(set(names()) - set(CANNOT) - set(REFUSED))


def tried(name: str, attention: str) -> torch.nn.Module:
    """Return a family with a form of attention; skip one that it has not."""
    settings = {"is_decoder": True} if name in ENCODERS else {}
    try:
        module = build(name, attention=attention, **settings)
    except ValueError as error:
        if "does not support an attention implementation" not in str(error):
            raise
        pytest.skip(f"{name} has no {attention}")
    return module


def rows(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids and documents, (rows, 24) each."""
    random = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, VOCABULARY, (len(LENGTHS), sum(LENGTHS[0])), generator=random)
    documents = torch.stack(
        [torch.cat([torch.full((length,), number) for number, length in enumerate(row)]) for row in LENGTHS]
    )
    return ids, documents


def batch(ids: torch.Tensor, documents: torch.Tensor, scored: torch.Tensor | None = None) -> Batch:
    """Return a batch that scores every next token of a document, or those of `scored`."""
    targets = torch.full_like(ids, IGNORED)
    targets[:, :-1] = torch.where(documents[:, 1:] == documents[:, :-1], ids[:, 1:], IGNORED)
    if scored is not None:
        targets = torch.where(scored, targets, IGNORED)
    return Batch({"input_ids": ids, "targets": targets, "documents": documents}, [0], ids.numel())


def told(module: torch.nn.Module, *given: torch.Tensor) -> tuple[float, int]:
    with torch.no_grad():
        loss, count = causal(module, batch(*given))
    return float(loss), count


def own(module: torch.nn.Module, ids: torch.Tensor) -> float:
    """Return transformers' own loss of one document, summed."""
    given = {"use_cache": False} if "use_cache" in inspect.signature(module.forward).parameters else {}
    with torch.no_grad():
        if module.config.model_type in BY_LOGITS:
            logits = module(input_ids=ids[None], **given).logits[0, :-1]
            return float(torch.nn.functional.cross_entropy(logits, ids[1:], reduction="sum"))
        return float(module(input_ids=ids[None], labels=ids[None], **given).loss) * (len(ids) - 1)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("name", TRAINED)
def test_the_loss_is_the_models_own_and_sees_neither_later_tokens_nor_neighbours(name: str, attention: str) -> None:
    module = tried(name, attention)
    ids, documents = rows()
    parts = [
        ids[row][documents[row] == number]
        for row, row_lengths in enumerate(LENGTHS)
        for number in range(len(row_lengths))
    ]
    single = [own(module, part) for part in parts]
    for part, wanted in zip(parts, single, strict=True):
        assert told(module, part[None], torch.zeros_like(part[None]))[0] == pytest.approx(wanted, rel=2e-4)
    together, count = told(module, ids, documents)
    assert count == ids.numel() - len(parts)
    assert together == pytest.approx(sum(single), rel=2e-4)

    later = torch.arange(ids.shape[1]) >= 16
    changed = torch.where(later, (ids - 5 + 37) % (VOCABULARY - 5) + 5, ids)
    early = (torch.arange(ids.shape[1]) < 15).expand_as(ids)
    assert told(module, changed, documents, early)[0] == pytest.approx(told(module, ids, documents, early)[0], rel=1e-4)

    other = torch.where(documents == 0, (ids - 5 + 11) % (VOCABULARY - 5) + 5, ids)
    kept = documents > 0
    assert told(module, other, documents, kept)[0] == pytest.approx(told(module, ids, documents, kept)[0], rel=1e-4)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_cannot_be_trained_is_refused_by_name(name: str) -> None:
    with pytest.raises(FolderError, match=f"a {name} model .*{REFUSED[name]}"):
        form_of(build(name))


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_that_is_no_decoder_is_refused_by_name(name: str) -> None:
    module = build(name)
    assert model_kind(module.config) == "encoder" or name == "bert-generation"  # which has no head for hidden words
    with pytest.raises(FolderError, match=f"a {name} model .*see later ones"):
        form_of(module)


@pytest.mark.parametrize("name", sorted({*TRAINED, *REFUSED} - {"mllama"}))
def test_the_lowest_layer_alone_is_written_and_read_again_or_refused_by_name(name: str, tmp_path: Path) -> None:
    module = build(name, **({"is_decoder": True} if name in ENCODERS else {}))
    try:
        keep_lowest(module, 1)
    except SettingError:  # before a step is taken; its words name the family or what is allowed
        return
    with quiet_transformers():
        module.save_pretrained(tmp_path)
        again = type(module).from_pretrained(tmp_path).eval()
    ids = torch.arange(5, 17)[None]
    with torch.no_grad():
        wanted, found = (one.eval()(input_ids=ids).logits[..., 1:] for one in (module, again))  # row 0 is padding's
    assert torch.allclose(wanted, found, atol=1e-5)


def test_how_many_families_are_tried() -> None:
    # What the library adds is tried by its own; what it takes away, or what comes to be built, leaves the lists.
    assert set(CANNOT) | set(REFUSED) | set(ENCODERS) <= set(names())
    assert len(TRAINED) >= 170
