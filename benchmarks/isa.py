"""`--isa avx2`: the libraries of Noria and of its peers held to AVX2, as on the commonest servers and laptops.

Most read a variable. ONNX Runtime and llama.cpp read none and ask the processor itself: `avx2.c` answers for it where Linux
lets an Intel processor be asked so (and there is a C compiler); elsewhere a figure under avx2 favours those peers.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
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
SOURCE = Path(__file__).with_name("avx2.c")
PRELOAD = "LD_PRELOAD"


def limit(isa: Isa) -> None:
    """Hold this process, before it loads any of them, and its children to an instruction set."""
    if isa != "avx2":
        return
    os.environ.update(AVX2)
    if library := _held():
        ctypes.CDLL(str(library))
        os.environ[PRELOAD] = " ".join(filter(None, (str(library), os.environ.get(PRELOAD))))
    else:
        print(
            "ONNX Runtime and llama.cpp keep what the processor has: nothing here holds them to AVX2", file=sys.stderr
        )


def _held() -> Path | None:
    """Return the library made of `avx2.c`, None where it would do nothing here."""
    info, compiler = Path("/proc/cpuinfo"), shutil.which("cc")
    if compiler is None or not info.exists() or not re.search(r"^flags\s*:.*\bcpuid_fault\b", info.read_text(), re.M):
        return None
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "noria-benchmarks"
    library = cache / f"avx2-{int(SOURCE.stat().st_mtime)}.so"
    if not library.exists():
        cache.mkdir(parents=True, exist_ok=True)
        part = library.with_suffix(f".{os.getpid()}.part")
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(part), str(SOURCE)], check=True)
        part.replace(library)
    return library


def current() -> Isa:
    """Return what this process is held to."""
    return "avx2" if os.environ.get("ONEDNN_MAX_CPU_ISA") == "AVX2" else "native"


def here(settings: dict[str, Any]) -> dict[str, Any]:
    """Return a peer's best settings for this machine: bf16 only where the processor has it."""
    return settings if bf16_is_native() else {key: value for key, value in settings.items() if key != "bf16"}


def named_here(peer: str) -> str:
    """Return a peer's name with the number type it has here."""
    return peer if bf16_is_native() else peer.replace("bf16", "fp32")
