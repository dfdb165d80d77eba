"""What a result file says about a run against another one."""

from __future__ import annotations

from typing import Any

from tastemaker.eval.compare import holm, paired, require_same_questions
from tastemaker.eval.run import Run
from tastemaker.eval.runfile import StoredRun

TESTED = ("ndcg@10", "recall@10", "mrr@10")


def against(run: Run, base: StoredRun) -> dict[str, Any]:
    """Paired tests of ``run`` against ``base`` on three metrics, their p corrected together by Holm's method.

    Raises:
        DataError: the two asked different questions.
    """
    require_same_questions("this run", run.summary(), base.path, base.summary)
    ours, theirs = run.values(), base.values()
    tests = {name: paired(ours[name], theirs[name], seed=run.seed) for name in TESTED}
    for test, p in zip(tests.values(), holm([test["p"] for test in tests.values()]), strict=True):
        test["p"] = p
    return {
        "system": base.summary["system"],
        "metrics": {name: base.summary["metrics"][name] for name in TESTED},
        "tests": tests,
    }
