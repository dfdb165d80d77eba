"""What this computer offers: cores, memory, instruction sets, GPU, versions.

Instruction sets and memory are read where Linux lists them. On other systems the former count as absent,
so the defaults there are the safe ones.
"""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from tastemaker.home import home

if TYPE_CHECKING:
    import torch

CPUINFO = Path("/proc/cpuinfo")
MEMINFO = Path("/proc/meminfo")
KNOWN_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_int8", "bf16")
"""Instruction sets that decide how fast a model runs; ``bf16`` is ARM's name."""
_BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
PACKAGES = (
    "tastemaker",
    "torch",
    "transformers",
    "peft",
    "bitsandbytes",
    "sentence-transformers",
    "faiss-cpu",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Sizes are in bytes, 0 where unknown. ``usable_cores`` are the logical cores this process may run on.

    Where only logical cores are known, ``physical_cores`` is their number.
    ``gpus`` are names with memory; empty when torch sees none or is not installed.
    """

    system: str
    processor: str
    physical_cores: int
    logical_cores: int
    usable_cores: int
    memory_total: int
    memory_free: int
    disk_free: int
    flags: tuple[str, ...]
    gpus: tuple[str, ...]
    python: str
    packages: tuple[tuple[str, str], ...]


def describe() -> Machine:
    """Look at this machine. Loads torch (a second or two) to ask for GPUs."""
    logical = os.cpu_count() or 1
    memory_total, memory_free = _memory()
    info = _cpuinfo()
    return Machine(
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        processor=info.get("model name") or platform.processor() or "unknown",
        physical_cores=_physical_cores() or logical,
        logical_cores=logical,
        usable_cores=usable_cores(),
        memory_total=memory_total,
        memory_free=memory_free,
        disk_free=disk_free(home()),
        flags=cpu_flags(),
        gpus=_gpus(),
        python=platform.python_version(),
        packages=tuple((name, found) for name in PACKAGES if (found := installed_version(name)) is not None),
    )


def usable_cores() -> int:
    """Logical cores that this process may run on (containers and ``taskset`` give fewer than there are)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_flags() -> tuple[str, ...]:
    """Those of ``KNOWN_FLAGS`` that the processor has, in that order; empty where unknown."""
    info = _cpuinfo()
    found = set(info.get("flags", info.get("Features", "")).split())
    return tuple(flag for flag in KNOWN_FLAGS if flag in found)


def native_bfloat16() -> bool:
    """True when the processor multiplies bfloat16 itself (AMX, AVX-512 BF16, ARM BF16).

    Without it bfloat16 is emulated: a matrix product takes longer than in float32.
    """
    return not _BF16_FLAGS.isdisjoint(cpu_flags())


def default_dtype() -> torch.dtype:
    """The quickest type that is exact enough to score with: bfloat16 where it is native, else float32."""
    import torch

    native = torch.cuda.is_bf16_supported() if torch.cuda.is_available() else native_bfloat16()
    return torch.bfloat16 if native else torch.float32


def settle_threads() -> None:
    """Take MKL's choice of threads away from it, as any ``torch.set_num_threads`` in a process does for good.

    Left alone, MKL splits small products over fewer threads, and sums end in other digits: the second step
    of a tiny training had a loss of 4.1405020 in a fresh process and 4.1405015 in one where somebody had set
    the threads. What must come out the same in every process calls this first.
    """
    import torch

    torch.set_num_threads(torch.get_num_threads())


def disk_free(folder: Path) -> int:
    """Free bytes on the disk that holds ``folder``, or would hold it."""
    for parent in (folder, *folder.parents):
        if parent.exists():
            return shutil.disk_usage(parent).free
    return 0


def installed_version(package: str) -> str | None:
    """Version of an installed distribution, or None. Nothing is imported."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpuinfo() -> dict[str, str]:
    """The lines of the first processor in ``/proc/cpuinfo``; empty on other systems."""
    return _facts(_read(CPUINFO).split("\n\n", 1)[0])


def _physical_cores() -> int:
    """Distinct (socket, core) pairs in ``/proc/cpuinfo``; 0 where it names none."""
    pairs = set()
    for block in _read(CPUINFO).split("\n\n"):
        facts = _facts(block)
        if "core id" in facts:
            pairs.add((facts.get("physical id"), facts["core id"]))
    return len(pairs)


def _memory() -> tuple[int, int]:
    """Bytes of memory in all, and those that could be had without swapping."""
    facts = _facts(_read(MEMINFO))
    kib = (facts.get(name, "0 kB").split()[0] for name in ("MemTotal", "MemAvailable"))
    total, free = (1024 * int(value) for value in kib)
    return total, free


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _facts(text: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in text.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _gpus() -> tuple[str, ...]:
    try:
        import torch
    except (ImportError, OSError):
        return ()
    if not torch.cuda.is_available():
        return ()
    found = (torch.cuda.get_device_properties(n) for n in range(torch.cuda.device_count()))
    return tuple(f"{gpu.name} ({gpu.total_memory // 2**30} GiB)" for gpu in found)
