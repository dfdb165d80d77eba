"""What every quoted figure carries: the command, commit, machine and date that made it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tastemaker.machine import describe


def provenance(seed: int) -> dict[str, Any]:
    """Facts to store beside a result; the commit is None outside a checkout, and marked when dirty."""
    machine = describe()
    return {
        "command": shlex.join([*_program(), *sys.argv[1:]]),
        "commit": _commit(),
        "machine": f"{machine.processor}, {machine.usable_cores} cores ({', '.join(machine.flags)}), "
        f"{machine.memory_total / 2**30:.0f} GiB, {machine.system}",
        "load_average": round(os.getloadavg()[0], 2),
        "seed": seed,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def _program() -> list[str]:
    """How this program is called: by its name where it is installed as a command, else through Python."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return ["python", "-m", called.parent.name]
    if called.suffix != ".py":
        return [called.name]
    return ["python", os.path.relpath(called)]


def _commit() -> str | None:
    def git(*words: str) -> str:
        found = subprocess.run(["git", *words], capture_output=True, text=True, check=True)
        return found.stdout.strip()

    try:
        # Results that a longer run has written already change nothing of what follows.
        changed = git("status", "--porcelain", "--", ":/", ":(top,exclude)docs/results")
        return git("rev-parse", "--short=12", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None
