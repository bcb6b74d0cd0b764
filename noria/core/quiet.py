"""Libraries kept quiet: none tells its makers of each use, and none writes bars and remarks between ours."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


def forbid_telemetry() -> None:
    """Keep OpenVINO and NNCF from sending usage data; to be called before either is imported.

    Both send through the package `openvino_telemetry`, OpenVINO at the mere import, and do without where it is missing.
    A name that maps to None is to Python a package that is missing.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep transformers' bars and its remarks on new heads off the terminal inside the block."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
