"""Nothing phones home: libraries that would tell their makers of each use are kept from it."""

from __future__ import annotations

import sys


def forbid_telemetry() -> None:
    """Keep OpenVINO and NNCF from sending usage data; to be called before either is imported.

    Both send through the package `openvino_telemetry`, OpenVINO at the mere import, and do without where it is missing.
    A name that maps to None is to Python a package that is missing.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
