"""Entry of the ``tastemaker`` command and of ``python -m tastemaker``."""

from __future__ import annotations

import os


def main() -> None:
    # With spinning OpenMP barriers a second busy process costs torch 85 % of its speed (6.4 -> 0.9
    # tokens/s on two cores). Both must be set before torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    from tastemaker.agent.cli.app import run

    run()


if __name__ == "__main__":
    main()
