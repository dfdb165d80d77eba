"""What the verifier and the second checker say of every text as it was handed out.

Texts are checked when the report is put together, not when they are written, so that a better checker needs
no new answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tastemaker.agent.verify import Verifier
from tastemaker.data.dataset import Dataset
from tastemaker.eval.offline.questions import Asked
from tastemaker.eval.offline.record import Record
from tastemaker.eval.second_checker.checker import SecondChecker
from tastemaker.types import Evidence, Item, Request


class Checks:
    """Two checkers over one catalogue. ``domain``: see ``tastemaker.agent.verify.Verifier``."""

    def __init__(self, dataset: Dataset, *, domain: str) -> None:
        self._dataset = dataset
        titles = (item.title for item in dataset.iter_items())
        self._verifier = Verifier(catalogue=dataset, titles=titles, domain=domain)
        self._second = SecondChecker(dataset)

    def checked(self, records: Iterable[Record], asked: Iterable[Asked]) -> Iterator[Record]:
        """The records with ``statements`` and ``second`` in every item; ``asked`` are their requests."""
        for record, one in zip(records, asked, strict=True):
            if record["status"] != "ok":
                yield record
                continue
            items = [{**item, **self._checked(item, one.request)} for item in record["items"]]
            yield {**record, "items": items}

    def _checked(self, entry: Record, request: Request) -> Record:
        explanation = entry["explanation"]
        if explanation is None or not explanation["text"]:
            return {"statements": [], "second": []}
        item = self._dataset.item(entry["id"])
        evidence = [Evidence(**piece) for piece in explanation["evidence"]]
        return {
            "statements": list(self._statements(explanation["text"], item, request, evidence)),
            "second": list(self._second_opinion(explanation["text"], item, request)),
        }

    def _statements(
        self, text: str, item: Item, request: Request, evidence: list[Evidence]
    ) -> Iterator[Record]:
        verdict = self._verifier.verify(
            text, item=item, request=request, evidence=evidence, language=request.language
        )
        for one in verdict.statements:
            yield {"text": one.text, "supported": one.supported, "reason": one.reason, "claims": one.claims}

    def _second_opinion(self, text: str, item: Item, request: Request) -> Iterator[Record]:
        for one in self._second.check(text, item=item, request=request):
            claims = [
                {"kind": claim.kind, "text": claim.text, "holds": claim.holds, "reason": claim.reason}
                for claim in one.claims
            ]
            yield {"text": one.sentence, "read": one.read, "false": one.false, "claims": claims}
