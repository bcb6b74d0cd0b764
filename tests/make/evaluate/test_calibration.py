"""What valid rows say of outputs: confidences that are true, spans that are not left out."""

from __future__ import annotations

import numpy as np
import pytest

from noria.make.evaluate.calibration import PENALTIES, fit_outside_penalty, fit_temperature
from noria.tasks.task import Features, task_for


def test_the_temperature_undoes_overconfidence():
    random = np.random.default_rng(0)
    chances = random.dirichlet(np.ones(3), 4000)
    targets = [int(random.choice(3, p=chance)) for chance in chances]
    assert fit_temperature(list(3 * np.log(chances)), targets) == pytest.approx(3, rel=0.1)


@pytest.mark.parametrize("text", ["王明来", "abc"])
def test_a_model_that_names_too_little_is_made_bolder_and_a_right_one_is_left_alone(text: str):
    task = task_for("tag", ["PER"])
    windows = [Features([5, 6, 7], [(0, 1), (1, 2), (2, 3)], {"text": text})] * 2
    rows = [{"text": text, "spans": [{"start": 0, "end": 2, "label": "PER"}]}, {"text": text, "spans": []}]
    shy = [np.log([[0.6, 0.3, 0.1], [0.6, 0.1, 0.3], [0.97, 0.02, 0.01]]), np.log([[0.98, 0.01, 0.01]] * 3)]
    found = fit_outside_penalty(task, rows, windows, [0, 1], shy)
    assert found == min(one for one in PENALTIES if one > np.log(0.6 / 0.3))
    sure = [np.log([[0.1, 0.8, 0.1], [0.1, 0.1, 0.8], [0.97, 0.02, 0.01]]), shy[1]]
    assert fit_outside_penalty(task, rows, windows, [0, 1], sure) == 0
