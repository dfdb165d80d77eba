"""What the machine offers, read from made-up and from real system files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tastemaker import machine

CPUINFO = """processor\t: 0
model name\t: Made-up 9000
physical id\t: 0
core id\t\t: {core}
flags\t\t: fpu sse2 avx2 {flags}

processor\t: 1
model name\t: Made-up 9000
physical id\t: 0
core id\t\t: 0
flags\t\t: fpu sse2 avx2 {flags}

"""


@pytest.fixture
def cpuinfo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "cpuinfo"
    monkeypatch.setattr(machine, "CPUINFO", path)
    return path


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("", False),
        ("avx512f", False),
        ("amx_int8", False),
        ("amx_bf16", True),
        ("avx512f avx512_bf16", True),
        ("not_amx_bf16", False),
    ],
)
def test_native_bfloat16_on_x86(cpuinfo: Path, flags: str, expected: bool) -> None:
    cpuinfo.write_text(CPUINFO.format(flags=flags, core=0))
    assert machine.native_bfloat16() is expected


def test_native_bfloat16_on_arm_and_elsewhere(cpuinfo: Path) -> None:
    cpuinfo.write_text("processor\t: 0\nFeatures\t: fp asimd i8mm bf16\n")
    assert machine.native_bfloat16()
    cpuinfo.unlink()
    assert not machine.native_bfloat16()
    assert machine.cpu_flags() == ()


def test_the_default_type_follows(cpuinfo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    cpuinfo.write_text(CPUINFO.format(flags="amx_bf16", core=0))
    assert machine.default_dtype() is torch.bfloat16
    cpuinfo.write_text(CPUINFO.format(flags="", core=0))
    assert machine.default_dtype() is torch.float32


@pytest.mark.parametrize(("core", "physical"), [("0", 1), ("1", 2)])
def test_hyperthreads_are_not_cores(cpuinfo: Path, core: str, physical: int) -> None:
    cpuinfo.write_text(CPUINFO.format(flags="avx512f", core=core))
    found = machine.describe()
    assert found.physical_cores == physical
    assert (found.processor, found.flags) == ("Made-up 9000", ("avx2", "avx512f"))


def test_this_machine_is_possible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASTEMAKER_HOME", str(tmp_path / "not" / "there"))
    found = machine.describe()
    assert 1 <= found.usable_cores <= found.logical_cores == os.cpu_count()
    assert found.physical_cores <= found.logical_cores
    assert 0 <= found.memory_free <= found.memory_total
    assert found.disk_free > 0
    assert {"tastemaker", "torch", "transformers"} <= set(dict(found.packages))


def test_what_is_not_installed_has_no_version() -> None:
    assert machine.installed_version("tastemaker-no-such-thing") is None
