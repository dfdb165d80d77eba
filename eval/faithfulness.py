"""Are explanations faithful: does what they cite matter more than what they leave out?

Deletion (comprehensiveness of DeYoung et al. 2020, ERASER): the cited pieces of a request are taken away
together, then equally many uncited ones drawn at random; each time the fall of the item's log-odds is
measured on the ranking that was served. Both falls come from the same probe that chose the evidence, so the
test says whether the cited pieces together do what each was measured to do, and whether others would have
done as much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from tastemaker.agent.evidence import EvidencePicker, InfluenceProbe, without_piece
from tastemaker.agent.verify_facts import Catalogue
from tastemaker.types import Evidence, EvidenceKind, Ranking, Recommendation, Request

Piece = tuple[EvidenceKind, str]
"""Kind and reference of a part of a request."""

MAX_PIECES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """Falls (nats) of one item's log-odds without its cited pieces, and without as many uncited ones."""

    item_id: str
    cited: tuple[Piece, ...]
    drawn: tuple[Piece, ...]
    fall_cited: float
    fall_drawn: float

    @property
    def won(self) -> bool:
        """The cited pieces matter more; a tie counts against the explanation."""
        return self.fall_cited > self.fall_drawn


class DeletionTest:
    """``probe``: that of the pipeline; ``seed``: of the draws."""

    def __init__(self, probe: InfluenceProbe, catalogue: Catalogue, *, seed: int = 0) -> None:
        self._probe = probe
        self._pieces = EvidencePicker(
            probe=probe,
            catalogue=catalogue,
            history_probes=MAX_PIECES,
            context_probes=MAX_PIECES,
            welcome_only=False,
        )
        self._draw = np.random.default_rng(seed)

    def deletions(self, request: Request, ranking: Ranking, answer: Recommendation) -> list[Deletion]:
        """One per item that cites a piece of the request and leaves as many uncited.

        Args:
            ranking: all candidates of ``request``, as ``answer`` was cut from them.

        Raises:
            ModelError: the language model fails.
        """
        everything: list[Piece] = [(one.kind, one.ref) for one in self._pieces.removals(request)]
        planned = []
        for item in answer:
            cited = cited_pieces(item.explanation.evidence if item.explanation is not None else ())
            others = [piece for piece in everything if piece not in cited]
            if not cited or len(others) < len(cited):
                continue
            chosen = self._draw.choice(len(others), size=len(cited), replace=False)
            planned.append((item.ranked, cited, tuple(others[i] for i in chosen.tolist())))
        altered = [without_pieces(request, part) for _, *parts in planned for part in parts]
        falls = self._probe.influence(request, ranking, altered) if altered else []
        return [
            Deletion(
                item_id=ranked.item.id,
                cited=cited,
                drawn=drawn,
                fall_cited=float(falls[2 * at][ranked.rank - 1]),
                fall_drawn=float(falls[2 * at + 1][ranked.rank - 1]),
            )
            for at, (ranked, cited, drawn) in enumerate(planned)
        ]


def cited_pieces(evidence: Sequence[Evidence]) -> tuple[Piece, ...]:
    """What an explanation cites of the request; facts of the item are no part of it."""
    return tuple((piece.kind, piece.ref) for piece in evidence if piece.kind != "fact")


def without_pieces(request: Request, pieces: Sequence[Piece]) -> Request:
    return reduce(lambda kept, piece: without_piece(kept, *piece), pieces, request)


def summary(found: Sequence[Deletion]) -> dict[str, Any]:
    """Share of items whose cited pieces matter more, and mean cited fall over mean absolute drawn fall.

    Both are None without deletions.
    """
    if not found:
        return {"deletions": 0, "faithfulness_win_rate": None, "faithfulness_ratio": None}
    drawn = float(np.mean([abs(one.fall_drawn) for one in found]))
    cited = float(np.mean([one.fall_cited for one in found]))
    return {
        "deletions": len(found),
        "faithfulness_win_rate": round(float(np.mean([one.won for one in found])), 4),
        "faithfulness_ratio": round(cited / max(drawn, 1e-9), 3),
    }
