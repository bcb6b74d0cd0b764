"""The exported graph gives torch's logits for any batch and length, and nothing is said or sent on the way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import LABELS, make_causal, make_encoder

from noria.core.errors import SettingError
from noria.make.compress.quantize import export, save
from noria.make.models.load import Head, load


@pytest.mark.parametrize(("task", "head"), [("classify", "sequence"), ("tag", "token"), ("embed", "embedding")])
def test_logits_are_those_of_torch_for_any_shape(task: str, head: Head, tmp_path: Path):
    from openvino import compile_model

    folder = make_encoder(tmp_path / task, task, LABELS, 3, compiled=False)
    graph = compile_model(export(folder, head), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    module, _ = load(folder, head)
    for rows, width in ((1, 1), (1, 9), (4, 30), (2, 128)):
        ids = torch.randint(0, 300, (rows, width))
        mask = torch.ones_like(ids)
        mask[-1, width // 2 + 1 :] = 0
        with torch.no_grad():
            exact = module(input_ids=ids, attention_mask=mask)[0].numpy()
        found = graph({"input_ids": ids.numpy(), "attention_mask": mask.numpy()})["logits"]
        shown = mask.numpy().astype(bool) if exact.ndim == 3 else slice(None)
        np.testing.assert_allclose(found[shown], exact[shown], atol=2e-5)


def test_a_saved_graph_is_as_large_as_its_files(tmp_path: Path):
    folder = make_encoder(tmp_path / "m", "classify", LABELS, 2, compiled=False)
    size = save(export(folder, "sequence"), tmp_path / "engine" / "model.xml")
    assert size == sum(file.stat().st_size for file in (tmp_path / "engine").iterdir())


def test_a_causal_model_is_refused(tmp_path: Path):
    with pytest.raises(SettingError, match="causal"):
        export(make_causal(tmp_path / "c"), "causal")


def test_nothing_is_sent_or_left_in_the_home(tmp_path: Path):
    code = (
        "import noria.infer.openvino, sys\n"
        "from noria.make.compress.quantize import silent\n"
        "with silent():\n    import nncf\n"
        "assert sys.modules['openvino_telemetry'] is None\n"
        "from openvino.tools.ovc import telemetry_utils\n"
        "assert telemetry_utils.tm.__name__.endswith('telemetry_stub')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={"HOME": str(tmp_path)}
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not [path for path in tmp_path.rglob("*") if "intel" in path.name.lower()]
