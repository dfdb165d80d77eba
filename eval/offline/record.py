"""One request of a report, answered as it is served and taken apart: a JSON object with nothing of the clock.

The same requests in the same batch give the same records, so that a report that was cut off and continued is
the report that was not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tastemaker.agent.assemble import Parts
from tastemaker.agent.counterfactual import WhatIf, without_items
from tastemaker.agent.evidence import EvidencePicker
from tastemaker.answers import Recommendation
from tastemaker.config import Settings
from tastemaker.eval.faithfulness import DeletionTest, draws, shuffled, stability
from tastemaker.eval.lists import ListStatistics
from tastemaker.eval.offline.questions import Asked
from tastemaker.prompts.packs import load_pack
from tastemaker.prompts.words import describe_context, describe_event, rating_word
from tastemaker.types import HistoryEntry, Ranking, Request

SHOWN_HISTORY = 15
"""Latest history entries that a record lists."""

Record = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One request with its answer and all its candidates' ranking."""

    asked: Asked
    answer: Recommendation
    ranking: Ranking

    @property
    def request(self) -> Request:
        return self.asked.request


class Recorder:
    """Answers and examines requests over one workspace.

    Args:
        settings: those that ``parts`` were loaded with.
        probed: numbers of the requests whose evidence is tested by deletion and shuffling, which costs as
            much again as answering.
    """

    def __init__(self, parts: Parts, settings: Settings, *, seed: int, probed: frozenset[int]) -> None:
        self._parts = parts
        self._seed = seed
        self._probed = probed
        dataset = parts.dataset
        self._deletion = DeletionTest(parts.probe, dataset, seed=seed)
        limit = settings.evidence_readings
        self._picker = EvidencePicker(
            probe=parts.probe, catalogue=dataset, max_readings=None if limit == "all" else limit
        )
        self._lists = ListStatistics(dataset)

    def records(self, numbered: Sequence[tuple[int, Asked]]) -> list[tuple[Record, dict[str, float]]]:
        """A record per request, in order, and the milliseconds per stage that each took of the batch.

        Raises:
            ModelError: the language model fails while evidence is tested.
        """
        pipeline = self._parts.pipeline
        found = pipeline.answer_batch([one.request for _, one in numbered])
        answered = [
            Answered(asked=one, answer=answer, ranking=ranking)
            for (_, one), (answer, ranking) in zip(numbered, found, strict=True)
        ]
        changes = self._what_ifs(answered)
        out = []
        for (number, _), one, change in zip(numbered, answered, changes, strict=True):
            record = {**self._basics(one), "what_if": change}
            if number in self._probed:
                record |= self._probes(one)
            spent = {name: ms / len(numbered) for name, ms in one.answer.trace.timings_ms.items()}
            out.append((record, spent))
        return out

    def _basics(self, one: Answered) -> Record:
        request = one.request
        trace = one.answer.trace.to_dict()
        del trace["timings_ms"]
        retrieved = sorted(one.ranking.items, key=lambda ranked: -ranked.candidate.score)
        places = {ranked.item.id: place for place, ranked in enumerate(retrieved, start=1)}
        return {
            "request_id": request.request_id,
            "user_id": request.user_id,
            "status": "ok",
            "wish": request.wish,
            "context": request.context.as_mapping(),
            "situation": describe_context(request.context, load_pack(request.language)),
            "language": request.language,
            "history": {
                "entries": len(request.history),
                "latest": [_line(request, entry) for entry in request.history.entries[-SHOWN_HISTORY:]],
                "popularity": self._popularity(request.history.item_ids),
            },
            "target": self._target(one, places),
            "items": [
                {
                    **item.to_dict(),
                    "retrieval_rank": places[item.id],
                    "popularity": self._popularity([item.id]),
                    "cut": item.explanation.cut if item.explanation is not None else 0,
                    "fallback": item.explanation is not None and item.explanation.fallback,
                }
                for item in one.answer
            ],
            "trace": trace,
        }

    def _target(self, one: Answered, places: dict[str, int]) -> dict[str, Any] | None:
        """The item that came next: its rank among the candidates, 0 where it is none of them."""
        target = one.asked.target
        if target is None:
            return None
        ranks = {ranked.item.id: ranked.rank for ranked in one.ranking.items}
        return {
            "id": target,
            "title": self._parts.dataset.item(target).display_title,
            "rank": ranks.get(target, 0),
            "retrieval_rank": places.get(target, 0),
        }

    def _what_ifs(self, answered: Sequence[Answered]) -> list[dict[str, Any] | None]:
        """The list without the past item that carries most of it, per answer that cites any."""
        planned: list[tuple[int, str, Request]] = []
        for place, one in enumerate(answered):
            if (ref := _strongest(one.answer)) is not None:
                forgotten = without_items(one.request, [ref])
                # What is said to be gone must not come back as a recommendation.
                altered = replace(forgotten, exclude=forgotten.exclude | {ref})
                planned.append((place, ref, altered))
        rankings = self._parts.pipeline.rank_batch([altered for _, _, altered in planned])
        out: list[dict[str, Any] | None] = [None] * len(answered)
        for (place, ref, altered), after in zip(planned, rankings, strict=True):
            one = answered[place]
            request = one.request
            k = request.k
            change = WhatIf(request=request, altered=altered, before=one.ranking.top(k), after=after.top(k))
            item = self._parts.dataset.item(ref)
            out[place] = {"without": {"id": ref, "title": item.display_title}, **change.to_dict()}
        return out

    def _probes(self, one: Answered) -> Record:
        deletions = self._deletion.deletions(one.request, one.ranking, one.answer)
        return {
            "deletions": [deletion.to_dict() for deletion in deletions],
            "stability": self._stability(one),
        }

    def _stability(self, one: Answered) -> dict[str, float | None] | None:
        if not one.answer.items or len(one.request.history) < 2:
            return None
        moved = shuffled(one.request, draws(self._seed, one.request))
        [ranking] = self._parts.pipeline.rank_batch([moved])
        evidence = self._picker.pick(moved, ranking)
        after = [
            (ranked.item.id, found) for ranked, found in zip(ranking.top(moved.k), evidence, strict=True)
        ]
        before = [
            (item.id, item.explanation.evidence if item.explanation is not None else ())
            for item in one.answer
        ]
        found = stability(before, after)
        return {
            "listed": round(found.listed, 4),
            "cited": None if found.cited is None else round(found.cited, 4),
        }

    def _popularity(self, item_ids: Sequence[str]) -> float | None:
        """Mean popularity percentile of the items, 0 to 1; None without any."""
        return self._lists.percentile(item_ids)


def _line(request: Request, entry: HistoryEntry) -> dict[str, Any]:
    pack = load_pack(request.language)
    value_range = request.history.value_range
    if entry.value is not None and value_range is not None:
        verdict = rating_word(entry.value, value_range, pack)
    else:
        verdict = describe_event(entry.event, pack)
    return {"id": entry.item_id, "title": entry.title, "verdict": verdict}


def _strongest(answer: Recommendation) -> str | None:
    """The cited past item of the catalogue with the largest influence on any item of the list."""
    cited = [
        (piece.influence or 0.0, piece.ref)
        for item in answer
        if item.explanation is not None
        for piece in item.explanation.evidence
        if piece.kind == "history" and piece.ref in answer.request.history.item_ids
    ]
    return max(cited)[1] if cited else None


def failed(asked: Asked, error: Exception) -> Record:
    """The record of a request that could not be answered."""
    return {
        "request_id": asked.request.request_id,
        "user_id": asked.request.user_id,
        "status": "failed",
        "error": f"{type(error).__name__}: {' '.join(str(error).split())[:400]}",
    }
