"""A second, independent checker of explanations: it reads any text and checks each claim it can find.

It works the opposite way of a checker with a closed vocabulary: a text may say anything, and what can be read
in it is compared with catalogue, history and request. Titles, names, numbers and proper nouns that these do
not explain are false; ordinary words that it does not know are passed over unless they describe an item.
"""

from __future__ import annotations

from collections import ChainMap
from dataclasses import dataclass

from tastemaker.eval.second_checker.claims import Claim, Matter
from tastemaker.eval.second_checker.facts import Past, Wish, situation_of
from tastemaker.eval.second_checker.mask import Finder, mask, sentences_of, words_named
from tastemaker.eval.second_checker.reader import read
from tastemaker.eval.second_checker.titles import Catalogue, NameIndex, Shelf, counts_of, own_titles
from tastemaker.types import Item, Request, UserHistory

__all__ = ["Checked", "Claim", "SecondChecker"]

MAX_CHARS = 5_000
"""Longer texts are no explanations; what stands behind is kept as one sentence that is not read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A sentence and its claims."""

    sentence: str
    claims: tuple[Claim, ...] = ()

    @property
    def false(self) -> bool:
        """True when any claim does not hold."""
        return any(not claim.holds for claim in self.claims)

    @property
    def read(self) -> bool:
        """True when at least one claim was read."""
        return bool(self.claims)


class SecondChecker:
    """Checks texts about the items of one catalogue."""

    def __init__(self, dataset: Catalogue) -> None:
        """Index the titles, names and labels of ``dataset``; its counts of interactions too if it has any."""
        self._shelf = Shelf(dataset)
        self._counts = counts_of(dataset)
        self._kept: tuple[UserHistory, Past, NameIndex[str]] | None = None

    def check(self, text: str, *, item: Item, request: Request) -> tuple[Checked, ...]:
        """One ``Checked`` per sentence, in order; joined they are ``text``. Raises on no text."""
        if not text.strip():
            return ()
        past, titles = self._past_of(request.history)
        matter = self._matter(item, request, past)
        finder = Finder(self._shelf, (own_titles([item], titles, self._shelf.titles), titles))
        body = text[:MAX_CHARS]
        spans = finder.spans(body)
        named: list[Item] = []
        out = []
        for start, end in sentences_of(body, spans) or [(0, len(body))]:
            claims, others = read(matter, mask(body, start, end, spans, self._shelf), named)
            named += others
            out.append(Checked(sentence=body[start:end], claims=claims))
        if text[MAX_CHARS:]:
            out.append(Checked(sentence=text[MAX_CHARS:]))
        return tuple(out)

    def _past_of(self, history: UserHistory) -> tuple[Past, NameIndex[str]]:
        """The history by item and its titles; kept while one history is asked about again and again."""
        if self._kept is None or self._kept[0] is not history:
            past = Past(history, self._shelf)
            self._kept = (history, past, own_titles(past.items.values(), self._shelf.titles))
        return self._kept[1], self._kept[2]

    def _matter(self, item: Item, request: Request, past: Past) -> Matter:
        wish = Wish(request)
        labels, contexts = words_named(wish.asked, self._shelf)
        return Matter(
            item=item,
            request=request,
            past=past,
            wish=wish,
            wished_labels=labels,
            wished_contexts=contexts,
            situation=situation_of(request.context),
            items=ChainMap({item.id: item}, past.items, self._shelf.items),
            counts=self._counts,
        )
