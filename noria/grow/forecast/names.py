"""What people read for each forecasting model."""

from __future__ import annotations

from collections.abc import Mapping

from noria.core.messages import Message, message

BASELINE = "persistence"
"""The bar: values stay, give or take changes like those of now; what forecasts where nothing beats it."""
LAST = "last-value"
"""The other bar: the plain last value, a point forecast without a density."""

NAMES: Mapping[str, Message] = {
    "persistence": message("forecast.names.persistence"),
    "last-value": message("forecast.names.last_value"),
    "drift": message("forecast.names.drift"),
    "attraction": message("forecast.names.attraction"),
    "structural": message("forecast.names.structural"),
    "rivalry": message("forecast.names.rivalry"),
    "bass": message("forecast.names.bass"),
    "generalised": message("forecast.names.generalised"),
    "gompertz": message("forecast.names.gompertz"),
    "logistic": message("forecast.names.logistic"),
    "lotka-volterra": message("forecast.names.lotka_volterra"),
    "norton-bass": message("forecast.names.norton_bass"),
    "cohorts": message("forecast.names.cohorts"),
    "blend": message("forecast.names.blend"),
}
"""Name -> what people read."""


_PARAMETERS: Mapping[str, Message] = {
    "p": message("forecast.parameters.p"),
    "q": message("forecast.parameters.q"),
    "rate": message("forecast.parameters.rate"),
    "inflection": message("forecast.parameters.inflection"),
    "ceiling": message("forecast.parameters.ceiling"),
}


def parameter_name(name: str) -> Message:
    """Return what people read for a growth curve's parameter; the others are effects of covariates."""
    return _PARAMETERS.get(name) or message("forecast.effect", name=name.removeprefix("effect of "))


def name_of(model: str) -> Message:
    """Return a model's name."""
    return NAMES[model]
