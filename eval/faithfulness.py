"""Are explanations faithful: does what they cite matter more than what they leave out?

Deletion (comprehensiveness of DeYoung et al. 2020, ERASER): the cited pieces of a request are taken away
together, then equally many that could have been cited and were not, drawn at random; each time the fall of
the item's log-odds is measured on the ranking that was served. Sufficiency (there as well) is the other way
round: nothing but the cited pieces is kept, then nothing but the drawn ones; the less an item falls, the
more its evidence tells.
All falls come from the same probe that chose the evidence, so the tests say whether the cited pieces together
do what each was measured to do, and whether others would have done as much.

Stability: the items of the history trade places in time, and what is listed and cited is compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import reduce
from typing import Any
from zlib import crc32

import numpy as np

from tastemaker.agent.evidence import EvidencePicker, without_field, without_piece
from tastemaker.agent.verify_facts import Catalogue, history_ref
from tastemaker.answers import Recommendation
from tastemaker.protocols import InfluenceProbe
from tastemaker.types import Evidence, EvidenceKind, Ranking, Request

Piece = tuple[EvidenceKind, str]
"""Kind and reference of a part of a request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """Falls (nats) of one item's log-odds, for its cited pieces and for as many uncited ones.

    ``fall_*``: without them; ``kept_*``: with nothing but them.
    """

    item_id: str
    cited: tuple[Piece, ...]
    drawn: tuple[Piece, ...]
    fall_cited: float
    fall_drawn: float
    kept_cited: float
    kept_drawn: float

    @property
    def won(self) -> bool:
        """The cited pieces matter more; a tie counts against the explanation."""
        return self.fall_cited > self.fall_drawn

    @property
    def sufficient(self) -> bool:
        """The item keeps more by the cited pieces alone than by the drawn ones; a tie counts against them."""
        return self.kept_cited < self.kept_drawn

    def to_dict(self) -> dict[str, Any]:
        return {
            name: round(value, 4) if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }


class DeletionTest:
    """``probe``: that of the pipeline; ``seed``: of the draws, which do not depend on other requests."""

    def __init__(self, probe: InfluenceProbe, catalogue: Catalogue, *, seed: int = 0) -> None:
        self._probe = probe
        # Drawn from the whole history, most would be entries that no reader has in view.
        self._pieces = EvidencePicker(probe=probe, catalogue=catalogue)
        self._seed = seed

    def deletions(self, request: Request, ranking: Ranking, answer: Recommendation) -> list[Deletion]:
        """One per item that cites a piece of the request and leaves as many uncited.

        Args:
            ranking: all candidates of ``request``, as ``answer`` was cut from them.

        Raises:
            ModelError: the language model fails.
        """
        citable: list[Piece] = [(one.kind, one.ref) for one in self._pieces.removals(request)]
        draw = draws(self._seed, request)
        planned = []
        for item in answer:
            cited = cited_pieces(item.explanation.evidence if item.explanation is not None else ())
            others = [piece for piece in citable if piece not in cited]
            if not cited or len(others) < len(cited):
                continue
            chosen = draw.choice(len(others), size=len(cited), replace=False)
            planned.append((item.ranked, cited, tuple(others[i] for i in chosen.tolist())))
        altered = [
            make(request, part)
            for _, *parts in planned
            for make in (without_pieces, only_pieces)
            for part in parts
        ]
        effects = self._probe.effects(request, ranking, altered)
        found = []
        for at, (ranked, cited, drawn) in enumerate(planned):
            own = [float(effect.fall[ranked.rank - 1]) for effect in effects[4 * at : 4 * at + 4]]
            falls = dict(zip(("fall_cited", "fall_drawn", "kept_cited", "kept_drawn"), own, strict=True))
            found.append(Deletion(item_id=ranked.item.id, cited=cited, drawn=drawn, **falls))
        return found


def draws(seed: int, request: Request) -> np.random.Generator:
    """Random numbers of one request, the same whatever else is asked."""
    name = request.request_id or request.user_id or ""
    return np.random.default_rng([seed, crc32(name.encode("utf-8", "surrogatepass"))])


def cited_pieces(evidence: Sequence[Evidence]) -> tuple[Piece, ...]:
    """What an explanation cites of the request; facts of the item are no part of it."""
    return tuple((piece.kind, piece.ref) for piece in evidence if piece.kind != "fact")


def without_pieces(request: Request, pieces: Sequence[Piece]) -> Request:
    return reduce(lambda kept, piece: without_piece(kept, *piece), pieces, request)


def only_pieces(request: Request, pieces: Sequence[Piece]) -> Request:
    """The request with nothing but these pieces of history, situation and wish."""
    kept = {ref for kind, ref in pieces if kind == "history"}
    entries = tuple(entry for entry in request.history if history_ref(entry) in kept)
    gone = [name for name in request.context.as_mapping() if ("context", name) not in pieces]
    return replace(
        request,
        history=replace(request.history, entries=entries),
        context=reduce(without_field, gone, request.context),
        wish=request.wish if ("wish", "wish") in pieces else "",
    )


def shuffled(request: Request, draw: np.random.Generator) -> Request:
    """The request whose history items have traded their places in time."""
    entries = request.history.entries
    order = draw.permutation(len(entries)).tolist()
    moved = tuple(
        replace(entries[source], timestamp=entry.timestamp)
        for source, entry in zip(order, entries, strict=True)
    )
    return replace(request, history=replace(request.history, entries=moved))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stability:
    """What a shuffled history leaves as it was.

    ``listed``: share of the list that is listed again. ``cited``: of the items in both lists, the mean
    Jaccard index of the cited history; None without any that cites some.
    """

    listed: float
    cited: float | None


def stability(
    before: Sequence[tuple[str, Sequence[Evidence]]], after: Sequence[tuple[str, Sequence[Evidence]]]
) -> Stability:
    """Compare two lists of item ids with their evidence, the first one not empty."""
    again = {item_id: _past(evidence) for item_id, evidence in after}
    common = [(_past(evidence), again[item_id]) for item_id, evidence in before if item_id in again]
    shares = [len(own & other) / len(own | other) for own, other in common if own | other]
    return Stability(listed=len(common) / len(before), cited=float(np.mean(shares)) if shares else None)


def _past(evidence: Sequence[Evidence]) -> set[str]:
    return {piece.ref for piece in evidence if piece.kind == "history"}


def summary(found: Sequence[Deletion]) -> dict[str, Any]:
    """Of many items: how often and how far the cited pieces matter more. None without deletions.

    ``faithfulness_win_rate``: share of ``Deletion.won``; ``faithfulness_ratio``: mean fall without the cited
    over mean absolute fall without the drawn pieces. ``sufficiency_win_rate``: share of ``sufficient``;
    ``sufficiency_fall`` and ``sufficiency_fall_uncited``: mean falls with nothing but cited and drawn pieces.
    """
    names = ("faithfulness_win_rate", "faithfulness_ratio", "sufficiency_win_rate", "sufficiency_fall")
    if not found:
        return {"deletions": 0, **dict.fromkeys((*names, "sufficiency_fall_uncited"))}
    drawn = _mean([abs(one.fall_drawn) for one in found])
    return {
        "deletions": len(found),
        "faithfulness_win_rate": round(_mean([one.won for one in found]), 4),
        "faithfulness_ratio": round(_mean([one.fall_cited for one in found]) / max(drawn, 1e-9), 3),
        "sufficiency_win_rate": round(_mean([one.sufficient for one in found]), 4),
        "sufficiency_fall": round(_mean([one.kept_cited for one in found]), 4),
        "sufficiency_fall_uncited": round(_mean([one.kept_drawn for one in found]), 4),
    }


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
