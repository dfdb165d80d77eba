"""The hybrid's shipped weights: fitted on training events of hidden users of ml-latest-small.

    python benchmarks/hybrid_weights.py

Prints what ``index/hybrid.py`` keeps as ``_HISTORY``: the weights for who has a history, from LlamaRec's
training part (5 folds over users, the last 8 events of each). Nothing held out is read.
"""

from __future__ import annotations

import json

from tastemaker.config import Settings
from tastemaker.eval.benchmarks import load_benchmark
from tastemaker.eval.protocols import make_protocol
from tastemaker.eval.systems import Retrievers
from tastemaker.finetune.fit_hybrid import weigh_parts


def main() -> None:
    protocol = make_protocol(load_benchmark("ml-latest-small"), "llamarec")
    retrievers = Retrievers(protocol.train, Settings(domain="films"))
    weights = weigh_parts(protocol.train, retrievers.index, retrievers.embedder)
    print(json.dumps({name: round(value, 2) for name, value in weights.history.items()}))


if __name__ == "__main__":
    main()
