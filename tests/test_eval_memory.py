"""The memory of a run is its own, whatever the process that started it holds."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from tastemaker.eval.run import peak_memory_mib


def test_memory_of_the_parent_does_not_count() -> None:
    ballast = np.ones(2**26)  # 512 MiB
    code = "from tastemaker.eval.run import peak_memory_mib; print(peak_memory_mib())"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert peak_memory_mib() > ballast.nbytes / 2**20
    assert 20 < float(child.stdout) < 400
