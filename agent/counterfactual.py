"""Why an item stands where it stands, why another does not, and what would change if the request did.

All three are measured on the pipeline that serves: candidates are retrieved, scored and fused as for an
answer, and nothing is said that was not computed. ``tastemaker.agent.recommender`` is the public face.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from tastemaker.agent.evidence import EvidencePicker, Removal
from tastemaker.agent.influence import Rescorer
from tastemaker.agent.pipeline import Pipeline
from tastemaker.data.dataset import Dataset
from tastemaker.errors import RequestError
from tastemaker.fusion import Fusion
from tastemaker.index.filters import format_filter, holds
from tastemaker.protocols import InfluenceProbe
from tastemaker.types import Candidate, Evidence, Item, Ranked, Ranking, Request

MAX_PROBES = 200
"""History entries, the latest first, and context fields that ``why`` takes away in turn."""

Standing = Literal["recommended", "outranked", "not_retrieved", "filtered", "in_history", "excluded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """An item's place and what put it there.

    ``evidence``: every piece of the request that was taken away in turn, strongest first, with its influence
    in nats (negative: it speaks against the item). ``unmeasured`` older history entries were left out.
    """

    request: Request
    ranked: Ranked
    candidates: int
    evidence: tuple[Evidence, ...]
    unmeasured: int = 0

    def to_dict(self) -> dict[str, Any]:
        return {
            **_place(self.ranked),
            "candidates": self.candidates,
            "evidence": [piece.to_dict() for piece in self.evidence],
            "unmeasured": self.unmeasured,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """How far an item lies behind another, in nats of the fused logits: in all, and by whom.

    ``llm`` is None where no language model has scored the item. Negative parts speak for the item.
    """

    ahead: Item
    retrieval: float
    llm: float | None

    @property
    def total(self) -> float:
        return self.retrieval + (self.llm or 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class WhyNot:
    """Where an item stood and what held it back.

    ``rank`` is that among the candidates. ``conditions``: the filters that it does not meet. ``gap``: to the
    last item of the list (outranked) or to the last candidate (not retrieved).
    """

    item: Item
    standing: Standing
    rank: int | None = None
    conditions: tuple[str, ...] = ()
    gap: Gap | None = None

    def to_dict(self) -> dict[str, Any]:
        gap = self.gap
        return {
            "id": self.item.id,
            "title": self.item.display_title,
            "standing": self.standing,
            "rank": self.rank,
            "conditions": list(self.conditions),
            "gap": None
            if gap is None
            else {
                "ahead": gap.ahead.id,
                "total": round(gap.total, 4),
                "retrieval": round(gap.retrieval, 4),
                "llm": None if gap.llm is None else round(gap.llm, 4),
            },
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """An item's ranks in the two lists; None where it is not in one."""

    item: Item
    before: int | None
    after: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIf:
    """The lists of two requests, ``request.k`` items each at most, and what moved between them."""

    request: Request
    altered: Request
    before: tuple[Ranked, ...]
    after: tuple[Ranked, ...]

    @property
    def moves(self) -> tuple[Move, ...]:
        """Every item of either list: those of the second by rank, then those that fell out."""
        before = {ranked.item.id: ranked for ranked in self.before}
        after = {ranked.item.id: ranked for ranked in self.after}
        both = [*after.values(), *(ranked for id_, ranked in before.items() if id_ not in after)]
        return tuple(
            Move(
                item=ranked.item,
                before=before[ranked.item.id].rank if ranked.item.id in before else None,
                after=after[ranked.item.id].rank if ranked.item.id in after else None,
            )
            for ranked in both
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "before": [_place(ranked) for ranked in self.before],
            "after": [_place(ranked) for ranked in self.after],
            "moves": [
                {
                    "id": move.item.id,
                    "title": move.item.display_title,
                    "before": move.before,
                    "after": move.after,
                }
                for move in self.moves
            ],
        }


class Counterfactuals:
    """Answers over one loaded workspace. ``fusion``: that of the pipeline's reranker."""

    def __init__(
        self,
        dataset: Dataset,
        pipeline: Pipeline,
        *,
        probe: InfluenceProbe,
        rescorer: Rescorer,
        fusion: Fusion,
    ) -> None:
        self._dataset, self._pipeline, self._probe = dataset, pipeline, probe
        self._rescorer, self._fusion = rescorer, fusion

    def why(self, request: Request, item_id: str) -> Why:
        """What put the item where it is.

        Raises:
            RequestError: it is not among the candidates. DataError: there is no such item.
            ModelError: the language model fails.
        """
        item = self._dataset.item(item_id)
        ranking = self._rank(request)
        ranked = _find(ranking, item_id)
        if ranked is None:
            raise RequestError(
                f"{item.display_title!r} is not among the {len(ranking.items)} candidates of this request",
                hint="ask why not",
            )
        removals, unmeasured = self._removals(request)
        effects = self._probe.effects(request, ranking, [one.altered for one in removals])
        evidence = [one.measured(effect, ranked) for one, effect in zip(removals, effects, strict=True)]
        evidence.sort(key=lambda piece: (-abs(piece.influence or 0.0), piece.kind, piece.ref))
        return Why(
            request=request,
            ranked=ranked,
            candidates=len(ranking.items),
            evidence=tuple(evidence),
            unmeasured=unmeasured,
        )

    def why_not(self, request: Request, item_id: str) -> WhyNot:
        """What keeps the item out of the list, or that nothing does.

        Raises:
            DataError: there is no such item.
        """
        item = self._dataset.item(item_id)
        if item_id in request.history.item_ids:
            return WhyNot(item=item, standing="in_history")
        if item_id in request.exclude:
            return WhyNot(item=item, standing="excluded")
        if failed := [format_filter(one) for one in request.filters if not holds(item, one)]:
            return WhyNot(item=item, standing="filtered", conditions=tuple(failed))
        ranking = self._rank(request)
        ranked = _find(ranking, item_id)
        if ranked is None:
            return WhyNot(item=item, standing="not_retrieved", gap=self._shortfall(request, item, ranking))
        if ranked.rank <= request.k:
            return WhyNot(item=item, standing="recommended", rank=ranked.rank)
        gap = self._gap(ranked, ranking.items[request.k - 1])
        return WhyNot(item=item, standing="outranked", rank=ranked.rank, gap=gap)

    def what_if(self, request: Request, altered: Request) -> WhatIf:
        """Both lists."""
        before, after = self._pipeline.rank_batch([request, altered])
        return WhatIf(
            request=request, altered=altered, before=before.top(request.k), after=after.top(altered.k)
        )

    def _rank(self, request: Request) -> Ranking:
        return self._pipeline.rank_batch([request])[0]

    def _removals(self, request: Request) -> tuple[list[Removal], int]:
        """Every piece of the request, and how many older history entries were left out."""
        picker = EvidencePicker(
            probe=self._probe,
            catalogue=self._dataset,
            history_probes=MAX_PROBES,
            context_probes=MAX_PROBES,
            welcome_only=False,
        )
        removals = picker.removals(request)
        measured = sum(one.kind == "history" for one in removals)
        return removals, len(set(request.history.item_ids)) - measured if measured == MAX_PROBES else 0

    def _gap(self, behind: Ranked, ahead: Ranked) -> Gap:
        retrieval = self._fusion.retrieval * (ahead.candidate.score - behind.candidate.score)
        llm = None
        if ahead.llm_score is not None and behind.llm_score is not None:
            llm = self._fusion.llm * (ahead.llm_score - behind.llm_score)
        return Gap(ahead=ahead.item, retrieval=retrieval, llm=llm)

    def _shortfall(self, request: Request, item: Item, ranking: Ranking) -> Gap | None:
        """Behind the last candidate, by the retriever alone; None where there are no candidates."""
        if not ranking.items:
            return None
        last = min(ranking.items, key=lambda ranked: ranked.candidate.score)
        [[score]] = self._rescorer.rescore(request, [request], [Candidate(item=item, score=0.0)])
        retrieval = self._fusion.retrieval * (last.candidate.score - float(score))
        return Gap(ahead=last.item, retrieval=retrieval, llm=None)


def without_items(request: Request, items: Sequence[str]) -> Request:
    """The request without these items of its history.

    Raises:
        RequestError: one is not in it.
    """
    if missing := [item for item in items if item not in request.history.item_ids]:
        raise RequestError(f"{missing[0]!r} is not in the history", hint="give an id of the history")
    kept = tuple(entry for entry in request.history if entry.item_id not in items)
    return replace(request, history=replace(request.history, entries=kept))


def _find(ranking: Ranking, item_id: str) -> Ranked | None:
    return next((ranked for ranked in ranking.items if ranked.item.id == item_id), None)


def _place(ranked: Ranked) -> dict[str, Any]:
    return {
        "rank": ranked.rank,
        "id": ranked.item.id,
        "title": ranked.item.display_title,
        "score": round(ranked.score, 6),
        "retrieval_score": round(ranked.candidate.score, 6),
        "llm_score": None if ranked.llm_score is None else round(ranked.llm_score, 6),
    }
