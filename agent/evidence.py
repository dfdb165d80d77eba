"""What speaks for an item: evidence from history, catalogue, context and wish, with measured influence.

Influence is asked for, never guessed: each history entry, context field and the wish is taken away in
turn, and an ``InfluenceProbe`` says how far the item's log-odds fall. Only pieces that were measured to
raise the item are cited. Facts carry no influence; they say what ties the item to the cited pieces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tastemaker.agent.verify_facts import Catalogue, history_ref
from tastemaker.agent.verify_lexicon import load_lexicon, words_of
from tastemaker.prompts.packs import load_pack
from tastemaker.prompts.words import context_phrases
from tastemaker.protocols import Effect, InfluenceProbe
from tastemaker.types import (
    Context,
    Evidence,
    EvidenceKind,
    HistoryEntry,
    Item,
    Ranked,
    Ranking,
    Request,
    UserHistory,
)

MAX_HISTORY = 2
MAX_FACTS = 2
MAX_GENRES = 3
SECOND_SHARE = 0.5
"""A second history entry is cited when it has at least this share of the first one's influence."""
MINOR_SHARE = 0.1
"""A piece of any kind is cited when it has at least this share of the strongest piece's influence."""

_NEGATIVE_EVENTS = frozenset({"dislike", "downvote", "skip", "return", "hide", "block"})
# Attributes whose equality ties two items together, in order of telling power.
_TELLING = ("director", "directors", "directed_by", "author", "authors", "artist", "brand", "maker")


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """A piece of the request, and the request without it."""

    kind: EvidenceKind
    ref: str
    text: str
    altered: Request

    def measured(self, effect: Effect, ranked: Ranked) -> Evidence:
        """The piece with what its removal does to ``ranked``."""
        place = ranked.rank - 1
        return Evidence(
            kind=self.kind,
            ref=self.ref,
            text=self.text,
            influence=float(effect.fall[place]),
            retrieval_influence=float(effect.retrieval[place]),
            rank_change=int(effect.ranks[place]) - ranked.rank,
        )


class EvidencePicker:
    """Picks evidence for the first ``request.k`` items of a ranking.

    Args:
        probe: measures influence.
        max_readings: so many altered requests at most are read by the language model; those history entries
            then that weigh most with the retriever, and what is not read is not cited. None: all.
        catalogue: items by id.
        history_probes: so many of the most recent citable past items are taken away in turn.
        context_probes: so many context fields are taken away in turn.
        min_influence: a smaller fall (nats) counts as none: 0.05 is a change of the odds by 5 %.
        welcome_only: past items that were disliked are not taken away: they are no reason to give anybody.
    """

    def __init__(
        self,
        *,
        probe: InfluenceProbe,
        catalogue: Catalogue,
        max_readings: int | None = None,
        history_probes: int = 20,
        context_probes: int = 3,
        min_influence: float = 0.05,
        welcome_only: bool = True,
    ) -> None:
        self._probe = probe
        self._catalogue = catalogue
        self._max_readings = max_readings
        self._history_probes = history_probes
        self._context_probes = context_probes
        self._min_influence = min_influence
        self._welcome_only = welcome_only

    def pick(self, request: Request, ranking: Ranking) -> list[tuple[Evidence, ...]]:
        """Return the evidence of each item of ``ranking.top(request.k)``: history, wish, context, facts."""
        top = ranking.top(request.k)
        if not top:
            return []
        removals = self._within_budget(request, ranking, self.removals(request))
        effects = self._probe.effects(request, ranking, [one.altered for one in removals])
        picked = []
        for ranked in top:
            measured = [one.measured(effect, ranked) for one, effect in zip(removals, effects, strict=True)]
            telling = [piece for piece in measured if _strength(piece) >= self._min_influence]
            picked.append(self._choose(request, ranked.item, telling))
        return picked

    def _within_budget(
        self, request: Request, ranking: Ranking, removals: Sequence[Removal]
    ) -> Sequence[Removal]:
        """Those that can be measured within ``max_readings``: situation and wish first, then the history
        entries whose removal the retriever alone would make most of, for any item that is shown."""
        to_read = [one for one in removals if self._probe.must_read(request, one.altered)]
        if self._max_readings is None or len(to_read) <= self._max_readings:
            return removals
        past = [one for one in to_read if one.kind == "history"]
        shallow = self._probe.effects(request, ranking, [one.altered for one in past], read=())
        shown = len(ranking.top(request.k))
        falls = [float(effect.fall[:shown].max()) for effect in shallow]
        strongest = [past[row] for row in sorted(range(len(past)), key=lambda row: -falls[row])]
        first = [one for one in to_read if one.kind != "history"]
        affordable = [*first, *strongest][: self._max_readings]
        # Identity, not equality: two pieces never share an altered request.
        kept = {id(one) for one in affordable}
        costly = {id(one) for one in to_read}
        return [one for one in removals if id(one) in kept or id(one) not in costly]

    def removals(self, request: Request) -> list[Removal]:
        """The pieces to be measured: recent past items not disliked, context fields, the wish."""
        return [*self._history_removals(request), *self._context_removals(request), *_wish_removal(request)]

    def _history_removals(self, request: Request) -> list[Removal]:
        history = request.history
        latest = dict.fromkeys(history_ref(entry) for entry in reversed(history.entries))
        removals = []
        for ref in latest:
            entries = [entry for entry in history if history_ref(entry) == ref]
            if self._welcome_only and not all(_is_welcome(history, entry) for entry in entries):
                continue
            known = self._catalogue.item(ref) if self._catalogue.has_item(ref) else None
            removals.append(
                Removal(
                    kind="history",
                    ref=ref,
                    text=known.display_title if known is not None else entries[-1].title,
                    altered=without_piece(request, "history", ref),
                )
            )
            if len(removals) >= self._history_probes:
                break
        return removals

    def _context_removals(self, request: Request) -> list[Removal]:
        phrases = context_phrases(request.context, load_pack(request.language))
        fields = [name for name in request.context.as_mapping() if name in phrases]
        return [
            Removal(
                kind="context",
                ref=name,
                text=phrases[name],
                altered=without_piece(request, "context", name),
            )
            for name in fields[: self._context_probes]
        ]

    def _choose(self, request: Request, item: Item, measured: Sequence[Evidence]) -> tuple[Evidence, ...]:
        strongest = max(map(_strength, measured), default=0.0)
        by_kind = {
            kind: sorted(
                (one for one in measured if one.kind == kind and _strength(one) >= MINOR_SHARE * strongest),
                key=_by_influence,
            )
            for kind in ("history", "wish", "context")
        }
        history = by_kind["history"][:MAX_HISTORY]
        if len(history) == MAX_HISTORY and _strength(history[1]) < SECOND_SHARE * _strength(history[0]):
            history = history[:1]
        cited = [self._catalogue.item(one.ref) for one in history if self._catalogue.has_item(one.ref)]
        # Facts may speak of the cited items together only when all of them are in the catalogue.
        facts = relating_facts(item, cited if len(cited) == len(history) else [], request)
        return (*history, *by_kind["wish"][:1], *by_kind["context"][:1], *facts)


def without_piece(request: Request, kind: EvidenceKind, ref: str) -> Request:
    """The request without a past item (all its entries), a context field or the wish.

    Raises:
        ValueError: a fact of an item is no piece of a request.
    """
    if kind == "wish":
        return replace(request, wish="")
    if kind == "context":
        return replace(request, context=without_field(request.context, ref))
    if kind != "history":
        raise ValueError(f"a {kind} cannot be taken away from a request")
    kept = tuple(entry for entry in request.history if history_ref(entry) != ref)
    return replace(request, history=replace(request.history, entries=kept))


def without_field(context: Context, name: str) -> Context:
    """The same situation with one field (or extra key) left out."""
    kept: dict[str, object] = {key: value for key, value in context.as_mapping().items() if key != name}
    return Context.from_mapping(kept)


def _is_welcome(history: UserHistory, entry: HistoryEntry) -> bool:
    return history.is_liked(entry) and entry.event.casefold() not in _NEGATIVE_EVENTS


def _wish_removal(request: Request) -> list[Removal]:
    if not request.wish.strip():
        return []
    altered = without_piece(request, "wish", "wish")
    return [Removal(kind="wish", ref="wish", text=request.wish.strip(), altered=altered)]


def _strength(piece: Evidence) -> float:
    return piece.influence or 0.0


def _by_influence(piece: Evidence) -> tuple[float, str]:
    return -_strength(piece), piece.ref


def relating_facts(item: Item, cited: Sequence[Item], request: Request) -> tuple[Evidence, ...]:
    """At most two facts of ``item``, those first that tie it to the cited items or to the wish."""
    facts = []
    genres = _telling_genres(item, cited, request)
    if genres:
        facts.append(Evidence(kind="fact", ref="genres", text=", ".join(genres)))
    for name in _TELLING:
        value = item.attributes.get(name)
        if value and cited and all(other.attributes.get(name) == value for other in cited):
            facts.append(Evidence(kind="fact", ref=name, text=_as_text(value)))
            break
    if item.year is not None:
        facts.append(Evidence(kind="fact", ref="year", text=str(item.year)))
    for name in ("brand", "price"):
        value = item.attributes.get(name)
        if value is not None and all(fact.ref != name for fact in facts):
            facts.append(Evidence(kind="fact", ref=name, text=_as_text(value)))
    return tuple(facts[:MAX_FACTS])


def _telling_genres(item: Item, cited: Sequence[Item], request: Request) -> list[str]:
    """Genres shared with every cited item; without those, the ones the wish names; else the first ones."""
    own = list(item.genres)
    shared = [genre for genre in own if cited and all(genre in other.genres for other in cited)]
    lexicon = load_lexicon(request.language)
    said = " ".join(word.casefold() for word in words_of(request.wish))
    named = [
        genre
        for genre in own
        if any(f" {' '.join(words)} " in f" {said} " for words in lexicon.genre_names(genre))
    ]
    return (shared or named or own)[:MAX_GENRES]


def _as_text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
