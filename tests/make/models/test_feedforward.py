"""The net over numbers: it standardises as it was fitted, learns, and comes back from its folder as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from noria.core.errors import FolderError, InputError
from noria.make.models.feedforward import load_net, new_net


def test_columns_are_standardised_whatever_their_scale():
    draw = np.random.default_rng(0)
    rows = draw.normal(0, 1, (200, 3))
    shifted = rows * [1.0, 1e4, 1e-4] + [5.0, -1e5, 0.0]
    plain, scaled = new_net(rows, 2, seed=1), new_net(shifted, 2, seed=1)
    with torch.no_grad():
        left = plain(torch.tensor(rows, dtype=torch.float32)).logits
        right = scaled(torch.tensor(shifted, dtype=torch.float32)).logits
    assert left.shape == (200, 2)
    assert torch.allclose(left, right, atol=1e-2)
    constant = new_net(np.ones((5, 1)), 2)
    assert torch.isfinite(constant(torch.tensor([[7.0]])).logits).all()


def test_it_learns_what_a_line_cannot_tell():
    draw = np.random.default_rng(1)
    rows = draw.uniform(-1, 1, (400, 2))
    labels = torch.tensor((rows[:, 0] * rows[:, 1] > 0).astype(np.int64))
    net = new_net(rows, 2).train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    vectors = torch.tensor(rows, dtype=torch.float32)
    for _ in range(80):
        loss = torch.nn.functional.cross_entropy(net(vectors).logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = net.eval()(vectors).logits.argmax(1)
    assert (found == labels).float().mean() > 0.95


def test_a_folder_gives_the_same_net_back(tmp_path: Path):
    rows = np.random.default_rng(2).normal(3, 2, (50, 4))
    net = new_net(rows, 3, width=16, layers=1)
    net.save_pretrained(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"config.json", "model.safetensors"}
    vectors = torch.tensor(rows, dtype=torch.float32)
    assert torch.equal(net(vectors).logits, load_net(tmp_path)(vectors).logits)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(FolderError, match="another kind"):
        load_net(tmp_path)
    net.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(FolderError, match="cannot be read"):
        load_net(tmp_path)
    with pytest.raises(FolderError, match="holds no net"):
        load_net(tmp_path / "none")
    with pytest.raises(InputError, match="no rows"):
        new_net([], 2)
