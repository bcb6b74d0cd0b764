"""Maximum likelihood over the logarithms of positive parameters: where it is greatest, and the intervals there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from noria.core.errors import InputError
from noria.core.messages import message

Floats = npt.NDArray[np.float64]


def greatest(
    value: Callable[[Floats], tuple[float, Floats]],
    start: Floats,
    names: Sequence[str],
    source: str,
    model: str,
    found: str,
    users: int,
) -> tuple[Floats, Floats]:
    """Return where a log-likelihood of the logarithms of parameters is greatest, and the covariance there.

    Args:
        value: logarithms of the parameters -> log-likelihood and its gradient.
        start: where to begin.
        names: of the parameters.
        source: the log's; as `model` and `found`, for messages.
        model: name of the model.
        found: how much the log holds.
        users: how many terms the likelihood has.

    Raises:
        InputError: the likelihood has no maximum that these data can tell.
    """

    def loss(logs: Floats) -> tuple[float, Floats]:
        likelihood, gradient = value(logs)
        return -likelihood / users, -gradient / users

    best = minimize(
        loss,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=[(-9.0, 9.0)] * start.size,
        options={"maxiter": 500, "ftol": 1e-13, "gtol": 1e-8},
    )
    at_edge = np.abs(best.x) > 8.9
    curvature = _curvature(lambda logs: loss(logs)[1], best.x) * users
    if at_edge.any() or not np.isfinite(curvature).all() or np.linalg.eigvalsh(curvature).min() <= 0:
        edge = ", ".join(name for name, there in zip(names, at_edge, strict=True) if there)
        raise InputError(
            message("grow.model_cannot", source=source, model=model),
            found=found + (f", no bound on {edge}" if edge else ""),
            hint=message("grow.more_users"),
        )
    return best.x, np.asarray(np.linalg.inv(curvature), dtype=np.float64)


def intervals_on_logs(
    names: Sequence[str], parameters: Floats, covariance: Floats, z: float
) -> dict[str, tuple[float, float]]:
    """Return the interval of each parameter: normal on the logarithm, whose covariance, (P, P), is given."""
    spread = z * np.sqrt(np.diag(covariance))
    return {
        name: (float(value * np.exp(-width)), float(value * np.exp(width)))
        for name, value, width in zip(names, parameters, spread, strict=True)
    }


def _curvature(gradient: object, at: Floats, step: float = 1e-5) -> Floats:
    assert callable(gradient)
    rows = [(gradient(at + move) - gradient(at - move)) / (2 * step) for move in np.eye(at.size) * step]
    hessian = np.array(rows)
    return np.asarray((hessian + hessian.T) / 2, dtype=np.float64)
