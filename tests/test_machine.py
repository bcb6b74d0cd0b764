"""The one place that knows the machine: what it finds, and that nobody else looks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import noria
from benchmarks.isa import AVX2
from noria.machine import UNITS, available_memory, cores, isa, process_seconds

ROOT = Path(noria.__file__).parent
ASKED_BY_HAND = re.compile(
    r"cpu_count\(|sched_getaffinity|MemAvailable|/proc/cpuinfo|avx512|amx_bf16"
    r"|autocast\((?!.*enabled=False)|\.bfloat16\(\)(?! if torch\.is_autocast_enabled)"
)
"""How a module would find out by itself how many cores there are, how much memory, which instructions; or choose bf16."""


def test_no_module_looks_at_the_machine_by_itself() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sorted(ROOT.rglob("*.py"))
        if path != ROOT / "machine.py"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if ASKED_BY_HAND.search(line)
    ]
    assert not found, "\n".join(found)


def test_available_memory_heeds_the_control_group(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9000000 kB\nMemAvailable:    8000000 kB\n")
    assert available_memory(tmp_path) == 8_000_000 * 1024
    group = tmp_path / "sys/fs/cgroup/jobs/one"
    group.mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/jobs/one\n")
    (group / "memory.current").write_text("1000000\n")
    (group / "memory.stat").write_text("active_file 77\ninactive_file 400000\n")
    (group / "memory.max").write_text("3000000\n")
    assert available_memory(tmp_path) == 2_400_000
    (group / "memory.max").write_text("max\n")
    assert available_memory(tmp_path) == 8_000_000 * 1024


def test_available_memory_heeds_the_limits_of_the_process(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemAvailable:    8000000 kB\n")
    (tmp_path / "proc/self/status").write_text("VmSize:  3000000 kB\nVmData:  1000000 kB\n")
    (tmp_path / "proc/self/limits").write_text(
        "Max data size             2147483648           unlimited            bytes     \n"
        "Max address space         unlimited            unlimited            bytes     \n"
    )
    assert available_memory(tmp_path) == 2147483648 - 1_000_000 * 1024
    code = "import resource as r; r.setrlimit(r.RLIMIT_DATA, (10**9, 10**9)); from noria.machine import *; print(available_memory())"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert 5e8 < int(told) < 1e9


@pytest.mark.parametrize(
    ("line", "files", "share"),
    [
        ("0::/jobs/one", {"jobs/one/cpu.max": "50000 100000"}, 0.5),
        ("0::/", {"cpu.max": "100000 100000"}, 1),
        ("0::/jobs/one", {"jobs/one/cpu.max": "max 100000"}, None),
        (
            "4:cpu,cpuacct:/a",
            {"cpu/a/cpu.cfs_quota_us": "120000\n", "cpu/a/cpu.cfs_period_us": "100000\n"},
            1.2,
        ),
        ("4:cpu:/a", {"cpu/a/cpu.cfs_quota_us": "-1\n", "cpu/a/cpu.cfs_period_us": "100000\n"}, None),
    ],
)
def test_cores_heed_the_control_group(line: str, files: dict[str, str], share: float | None, tmp_path: Path) -> None:
    """A container on a machine of 64 cores that is given the time of one: 64 threads would wait for each other."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(line + "\n")
    for name, text in files.items():
        file = tmp_path / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    all_of_them = cores(tmp_path / "nowhere")
    assert cores(tmp_path) == (all_of_them if share is None else min(all_of_them, -int(-share // 1)))


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="threads are not bound to cores here")
def test_cores_heed_the_affinity() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert cores() == 1
    finally:
        os.sched_setaffinity(0, before)


FLAGS = ("avx2", "avx512bw", "avx512_vnni", "avx512_bf16", "amx_bf16")


@pytest.mark.parametrize("count", range(len(FLAGS) + 1))
def test_the_instruction_set_is_the_processors_within_every_limit(count: int) -> None:
    flags = frozenset(["fpu", *FLAGS[:count]])
    assert isa({}, flags) == UNITS[count]
    assert isa({"ONEDNN_MAX_CPU_ISA": "avx2"}, flags) == UNITS[min(count, 1)]
    assert isa({"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"}, flags) == UNITS[min(count, 4)]
    assert isa({"ATEN_CPU_CAPABILITY": "default"}, flags) == "none"
    assert isa({"MKL_ENABLE_INSTRUCTIONS": "nonsense"}, flags) == UNITS[count]
    assert isa(AVX2, flags) == UNITS[min(count, 1)]
    assert isa({}, frozenset()) == "unknown"


def test_what_serves_asks_the_machine_without_torch() -> None:
    code = "import sys; from noria.machine import *; bf16_is_native(), cores(), isa(), available_memory(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_process_knows_for_how_long_it_has_run() -> None:
    code = "import time; time.sleep(0.3); from noria.machine import process_seconds; print(process_seconds())"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert 0.3 <= float(told) + 0.05 < process_seconds()
