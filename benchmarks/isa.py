"""`--isa avx2`: the libraries of Noria and of its peers held to AVX2, as on the commonest servers and laptops.

ONNX Runtime and llama.cpp have no such limit and keep what the processor has: beside them a figure under avx2 favours the peer.
"""

from __future__ import annotations

import os
from typing import Any, Literal

from noria.machine import bf16_is_native

Isa = Literal["avx2", "native"]
AVX2 = {
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    # OpenVINO's own kernels, beside the oneDNN inside it, which heeds the first: with one alone it computes nothing.
    "OV_CPU_MAX_ISA": "AVX2",
    # The OpenBLAS of NumPy, SciPy and scikit-learn.
    "OPENBLAS_CORETYPE": "Haswell",
}
"""What torch, MKL, OpenVINO and NumPy read once, as they are loaded; every child inherits it."""


def limit(isa: Isa) -> None:
    """Hold this process, before it loads any of them, and its children to an instruction set."""
    if isa == "avx2":
        os.environ.update(AVX2)


def current() -> Isa:
    """Return what this process is held to."""
    return "avx2" if os.environ.get("ONEDNN_MAX_CPU_ISA") == "AVX2" else "native"


def here(settings: dict[str, Any]) -> dict[str, Any]:
    """Return a peer's best settings for this machine: bf16 only where the processor has it."""
    return settings if bf16_is_native() else {key: value for key, value in settings.items() if key != "bf16"}


def named_here(peer: str) -> str:
    """Return a peer's name with the number type it has here."""
    return peer if bf16_is_native() else peer.replace("bf16", "fp32")
