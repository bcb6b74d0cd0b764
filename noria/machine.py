"""What this machine has and does fast: cores, memory, instructions, number type, speed. The one place that is asked.

    machine = measure("auto")              # once a process; bf16 where its products are measured clearly faster, else fp32
    with computing(machine.number_type):   # matrix products inside are in that type: training, judging and last figures alike
        ...
    cores(), available_memory(), isa()     # of the control group where that allows less; without torch

Nothing else decides a number type: on a processor without instructions for bf16 a product in it is emulated, and takes a
hundred times as long. So the measurement begins with a product so small that even an emulated one takes a millisecond, and
ends there where bf16 is slower. What must not load torch to be asked goes by the instructions (`bf16_is_native`).
"""

from __future__ import annotations

import math
import os
import platform
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from noria.core.messages import Message, message

Chosen = Literal["bf16", "fp32"]
NumberType = Literal["auto", Chosen]
PAYS = 1.5
"""Products in bf16 must be so many times as fast: below that, converting eats the gain."""
HOPELESS = 1 / 3
"""A small product in bf16 that is slower than this is emulated; where it is not, calling it costs less than that."""
SMALL, MIDDLE = 128, 512
"""Width of the square matrices by which the number type is chosen; the second only where the first was not hopeless."""
SECONDS = 0.1
"""Longest time for each of the two speeds that the record shows."""
UNITS = ("none", "AVX2", "AVX-512", "AVX512-VNNI", "AVX512-BF16", "AMX")
"""Instructions that matter here, the later ones on top of those before."""
_FLAGS = {
    "avx2": "AVX2",
    "avx512bw": "AVX-512",
    "avx512_vnni": "AVX512-VNNI",
    "avx512_bf16": "AVX512-BF16",
    "amx_bf16": "AMX",
}
"""A flag of /proc/cpuinfo, and what it stands for."""
_LIMITS = {
    "ONEDNN_MAX_CPU_ISA": {
        "SSE41": "none",
        "AVX": "none",
        "AVX2": "AVX2",
        "AVX2_VNNI": "AVX2",
        "AVX2_VNNI_2": "AVX2",
        "AVX512_CORE": "AVX-512",
        "AVX512_CORE_VNNI": "AVX512-VNNI",
        "AVX512_CORE_BF16": "AVX512-BF16",
        "AVX512_CORE_FP16": "AVX512-BF16",
        "AVX10_1_512": "AVX512-BF16",
    },
    "ATEN_CPU_CAPABILITY": {"DEFAULT": "none", "AVX2": "AVX2"},
    "MKL_ENABLE_INSTRUCTIONS": {"SSE4_2": "none", "AVX": "none", "AVX2": "AVX2"},
}
"""Variables by which libraries are held to fewer instructions, and what each of their values leaves."""


@dataclass(frozen=True)
class Machine:
    """What was measured before a run, and what was chosen by it."""

    number_type: Chosen
    threads: int
    bf16_flops: float
    """Speed of a bf16 matrix product, in operations a second; where bf16 is emulated, that of a small product on one thread."""
    fp32_flops: float
    workers: int = 1
    """Processes that train together, each on as many threads."""
    device: str = "cpu"
    """What they compute on."""

    def text(self) -> Message:
        """Return device, threads, number type and speeds in a few words."""
        in_bf16 = f"{self.bf16_flops / 1e12:.2f}" if self.bf16_flops > 5e9 else f"{self.bf16_flops / 1e12:.4f}"
        return message(
            "work.machine.line",
            processes=message("work.machine.processes", processes=self.workers) if self.workers > 1 else "",
            where=message("work.machine.threads", threads=self.threads) if self.device == "cpu" else self.device,
            number_type=self.number_type,
            bf16=in_bf16,
            fp32=self.fp32_flops / 1e12,
        )


def measure(number_type: NumberType = "auto", device: str = "cpu") -> Machine:
    """Return what this machine does fast, and the number type asked for, or the faster one where it is left open.

    The choice is measured once a process, the speeds once for a number of threads, in about 0.3 s where nothing else runs.

    Args:
        number_type: wanted.
        device: where it will be computed, as torch names it (`noria.infer.device`).
    """
    import torch

    if device != "cpu":
        bf16, fp32 = _speeds_on(device)
        better: Chosen = "bf16" if bf16 > PAYS * fp32 else "fp32"
        return Machine(better if number_type == "auto" else number_type, torch.get_num_threads(), bf16, fp32, 1, device)
    if torch.get_num_threads() > cores():  # a container is given less than the machine that torch looks at
        torch.set_num_threads(cores())
    fast = bf16_is_fast()
    bf16, fp32 = _speeds(torch.get_num_threads())
    chosen: Chosen = number_type if number_type != "auto" else ("bf16" if fast else "fp32")
    return Machine(chosen, torch.get_num_threads(), bf16, fp32)


def bf16_is_fast() -> bool:
    """Return whether products in bf16 are measured clearly faster than in fp32 here."""
    return bf16_is_native() and _bf16()[0]


def bf16_is_native() -> bool:
    """Return whether there are instructions for products in bf16, or that is not known; whether they pay is measured."""
    return UNITS.index(isa()) >= UNITS.index("AVX512-BF16") if _flags() else True


def has_vnni() -> bool:
    """Return whether sums of products of 8-bit integers are known to be exact: elsewhere two of them overflow 16 bits."""
    found = isa()
    return found in UNITS and UNITS.index(found) >= UNITS.index("AVX512-VNNI")


def cores(root: Path = Path("/")) -> int:
    """Return how many cores this process may use, by its affinity and by what its control group is given of their time.

    Args:
        root: where `proc` and `sys` lie.
    """
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    shares = [share for group in _groups(root, "cpu") for share in _shares(root / "sys/fs/cgroup", group)]
    return max(1, min([found, *map(math.ceil, shares)]))


def isa(environment: Mapping[str, str] = os.environ, flags: frozenset[str] | None = None) -> str:
    """Return the best of `UNITS` that the processor has and that no library is kept from; "unknown" where it does not say.

    >>> isa({}, frozenset({"avx2", "avx512bw"})), isa({"ONEDNN_MAX_CPU_ISA": "AVX2"}, frozenset({"avx2", "amx_bf16"}))
    ('AVX-512', 'AVX2')
    """
    flags = _flags() if flags is None else flags
    if not flags:
        return "unknown"
    has = max((unit for flag, unit in _FLAGS.items() if flag in flags), key=UNITS.index, default="none")
    limits = [left[value] for name, left in _LIMITS.items() if (value := environment.get(name, "").upper()) in left]
    return min([has, *limits], key=UNITS.index)


def processor() -> str:
    """Return the processor's name."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE) if info.exists() else None
    return found[1].strip() if found else platform.processor() or platform.machine()


def process_seconds() -> float:
    """Return for how long this process has run; 0 where the system does not say."""
    # The 22nd field, in ticks since the machine started (proc_pid_stat(5)); the second, a name, may hold spaces.
    fields, uptime = _text(Path("/proc/self/stat")).rpartition(")")[2].split(), _text(Path("/proc/uptime")).split()
    return max(0.0, float(uptime[0]) - int(fields[19]) / os.sysconf("SC_CLK_TCK")) if fields and uptime else 0.0


def allowed_here(number_type: str, device: str = "cpu") -> Chosen:
    """Return the number type that something was made with, or fp32 where that is bf16 and a device here would emulate it."""
    if number_type != "bf16":
        return "fp32"
    fast = bf16_is_fast() if device == "cpu" else measure(device=device).number_type == "bf16"
    return "bf16" if fast else "fp32"


@contextmanager
def computing(number_type: str) -> Iterator[None]:
    """Compute matrix products inside in that number type, on the processor and on an accelerator where there is one."""
    import torch

    with ExitStack() as stack:
        for kind in _kinds():
            stack.enter_context(torch.autocast(kind, torch.bfloat16, enabled=number_type == "bf16"))
        yield


@cache
def _kinds() -> tuple[str, ...]:
    """Return what products may be computed on here: the processor, and an accelerator where there is one."""
    import torch

    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return ("cpu", found.type) if found else ("cpu",)


@cache
def _bf16() -> tuple[bool, float]:
    """Return whether bf16 pays, and where it is slower than fp32 the speed of a small product in it, else 0."""
    import torch

    # On one thread: where others use the machine, waiting for a second thread would be most of a small product's time.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found = small = _square(SMALL)
        if small[torch.bfloat16] >= HOPELESS * small[torch.float32]:
            found = _square(MIDDLE)
    finally:
        torch.set_num_threads(threads)
    bf16, fp32 = found[torch.bfloat16], found[torch.float32]
    return bf16 > PAYS * fp32, small[torch.bfloat16] if bf16 < fp32 else 0.0


@cache
def _speeds(threads: int) -> tuple[float, float]:
    """Return the speeds of products in bf16 and in fp32 on so many threads, those set now, in operations a second."""
    import torch

    _, slow = _bf16()
    return slow or _flops(torch.bfloat16), _flops(torch.float32)


@cache
def _speeds_on(device: str) -> tuple[float, float]:
    """Return the speeds of large products in bf16 and in fp32 on a device that is not the processor."""
    import torch

    return tuple(_flops(one, rows=8192, width=2048, device=device) for one in (torch.bfloat16, torch.float32))  # type: ignore[return-value]


def _square(width: int, rounds: int = 3) -> dict[Any, float]:
    """Return the speed of a square product in both types, the best of rounds in turns."""
    import torch

    pairs = {one: torch.ones(width, width, dtype=one) for one in (torch.float32, torch.bfloat16)}
    best = dict.fromkeys(pairs, float("inf"))
    for _ in range(rounds):
        for dtype, matrix in pairs.items():
            start = time.perf_counter()
            matrix @ matrix
            best[dtype] = min(best[dtype], time.perf_counter() - start)
    return {dtype: 2 * width**3 / seconds for dtype, seconds in best.items()}


def _flops(dtype: Any, rows: int = 2048, width: int = 512, device: str = "cpu") -> float:
    """Return the speed of a product on all threads, the best of a few, since other work on the machine only slows."""
    import torch

    # Shapes like those of a small model's layers.
    left = torch.ones(rows, width, dtype=dtype, device=device)
    right = torch.ones(width, width, dtype=dtype, device=device)
    best, begin = float("inf"), time.perf_counter()
    while time.perf_counter() - begin < SECONDS:
        start = time.perf_counter()
        product = left @ right
        if device != "cpu":
            product[0, 0].item()  # it is only begun until something of it is asked for
        best = min(best, time.perf_counter() - start)
    return 2 * rows * width * width / best


def available_memory(root: Path = Path("/")) -> int:
    """Return the bytes this process may still take: what the machine has free, or what its control group or its own limits leave.

    Without /proc (not Linux) nothing is known: more than any machine has.

    Args:
        root: where `proc` and `sys` lie.
    """
    found = re.search(r"^MemAvailable:\s+(\d+) kB", _text(root / "proc/meminfo"), re.MULTILINE)
    limits = [
        left
        for folder, limit, used in (
            ("sys/fs/cgroup", "memory.max", "memory.current"),
            ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
        )
        for group in _groups(root, "memory")
        if (left := _left(root / folder / group, limit, used)) is not None
    ]
    return min([int(found[1]) * 1024 if found else 2**62, *limits, *_within_limits(root)])


def _within_limits(root: Path) -> list[int]:
    """Return what is left of the limits that a process is given (`ulimit -v`, `ulimit -d`), where it is given any."""
    limits, status = _text(root / "proc/self/limits"), _text(root / "proc/self/status")
    left = []
    for limit, used in (("Max address space", "VmSize"), ("Max data size", "VmData")):
        allowed = re.search(rf"^{limit}\s+(\d+)\s", limits, re.MULTILINE)
        taken = re.search(rf"^{used}:\s+(\d+) kB", status, re.MULTILINE)
        if allowed and taken:
            left.append(max(0, int(allowed[1]) - int(taken[1]) * 1024))
    return left


def _groups(root: Path, controller: str) -> set[str]:
    # Inside a container the group's own folder is often mounted as the top one.
    parts = [line.split(":", 2) for line in _text(root / "proc/self/cgroup").splitlines()]
    return {"", *(path.strip("/") for _, kinds, path in parts if not kinds or controller in kinds.split(","))}


def _left(folder: Path, limit: str, used: str) -> int | None:
    allowed, taken = _text(folder / limit).strip(), _text(folder / used).strip()
    # Pages of files that were not touched lately are given back on demand.
    cache = re.search(r"^(?:total_)?inactive_file (\d+)$", _text(folder / "memory.stat"), re.MULTILINE)
    known = allowed.isdigit() and taken.isdigit() and (folder / "memory.stat").exists()
    return int(allowed) - int(taken) + int(cache[1] if cache else 0) if known else None


def _shares(folder: Path, group: str) -> list[float]:
    """Return how many cores' time a control group is given, in the words of either version, where it is bounded."""
    texts = [_text(folder / group / "cpu.max")]
    texts += [" ".join(_text(folder / "cpu" / group / f"cpu.cfs_{one}_us") for one in ("quota", "period"))]
    pairs = [text.split() for text in texts]
    return [int(pair[0]) / int(pair[1]) for pair in pairs if len(pair) == 2 and all(map(str.isdigit, pair))]


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""


@cache
def _flags() -> frozenset[str]:
    found = re.search(r"^flags\s*:(.*)$", _text(Path("/proc/cpuinfo")), re.MULTILINE)
    return frozenset(found[1].split()) if found else frozenset()
