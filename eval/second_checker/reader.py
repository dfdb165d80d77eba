"""Reading one masked sentence from end to end."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from tastemaker.eval.second_checker import facts
from tastemaker.eval.second_checker.claims import Claim, Matter
from tastemaker.eval.second_checker.clauses import Clause, clauses_of, groups_of, is_negated
from tastemaker.eval.second_checker.grammar import ENGLISH
from tastemaker.eval.second_checker.grammar_zh import CHINESE, STRANGER
from tastemaker.eval.second_checker.items import AboutItems
from tastemaker.eval.second_checker.mask import TAG, Masked
from tastemaker.eval.second_checker.titles import norms_of
from tastemaker.eval.second_checker.users import AboutUser
from tastemaker.eval.second_checker.words import INVENTED, NOUNS
from tastemaker.types import Item

_LIKE_IS_VERB = re.compile(
    r"(?:\b(?:you|not|to|who|also|really|and|might|may|will|would|could|should|can|well|did|do|just|probably|"
    r"then|too|both)|‹c\d+›) *$"
)
_BESIDE_LIKE = re.compile(rf"(?:‹[gyd]\d+›|{NOUNS}|[\s-])+$")
_THEY_LIKE = re.compile(r"‹c(\d+)› (?:also |both |all )*(?:like|love|enjoy|watch|喜欢|爱看|看过|推荐)")
_USER_THEN_TITLE = re.compile(r"[^‹]*(?:\byou\b|[你您])[^‹]*‹t")


class Reader(AboutItems, AboutUser):
    """Reads one sentence: first what holds of the whole of it, then clause by clause."""

    def read(self) -> None:
        """Fill ``claims``."""
        text = self._tagged()
        self._titles()
        self._unaccounted()
        self._invented(text)
        for clause in clauses_of(self._without_likeness(text), self._grammar):
            self._clause(clause)

    @property
    def others(self) -> list[Item]:
        """The items beside the one at hand that the sentence names."""
        return self._others_here()

    # The whole sentence

    def _titles(self) -> None:
        for span, item in zip(self._masked.titles, self._refs, strict=True):
            if span.year is not None:
                told = facts.year_of(item)
                self._say("year", f"{span.value} ({span.year})", told == span.year, f"it is of {told}")
            if self._distance(item) == 2 and not self._matter.wish.quotes(span.value):
                self._say("title", span.value, False, "it is neither recommended nor in the history")

    def _unaccounted(self) -> None:
        """Quotations of nothing, and proper nouns that nothing explains."""
        wish, item = self._matter.wish, self._matter.item
        for quote in self._masked.quotes:
            holds = wish.quotes(quote) or facts.has_name(item, quote, ())
            self._say("quotation", quote, holds, "compared with the wish")
        described = frozenset[str]().union(*map(facts.described_words, (item, *self._others_here())))
        for name in self._masked.unknown:
            holds = set(norms_of(name)) <= described or wish.quotes(name)
            self._say("unknown", name, holds, "a name that catalogue and request must explain")

    def _invented(self, text: str) -> None:
        """Awards, acclaim, other people's taste and the like, unless the item's own record has the word."""
        described = facts.described_words(self._matter.item)
        # "Oscar" is a proper noun, too.
        text = re.sub(r"‹u(\d+)›", lambda match: self._masked.unknown[int(match[1])].lower(), text)
        praise_is_theirs = self._grammar.high_rating.search(text) or self._grammar.top_rating.search(text)
        for kind, pattern in INVENTED.items():
            if praise_is_theirs and kind in ("superlative", "acclaim"):
                continue
            for match in pattern.finditer(text):
                holds = set(norms_of(match[0])) <= described
                self._say(kind, match[0], holds, "nothing in catalogue or request shows it")
        for match in _THEY_LIKE.finditer(text):
            if self._masked.contexts[int(match[1])][0] == "company":
                self._say("third party", match[0], False, "what others like is not known")
        if self._masked.chinese:
            for match in STRANGER.finditer(text):
                self._say("unknown", match[0], False, "a name that the catalogue lacks")

    def _without_likeness(self, text: str) -> str:
        """Take "like X" and "unlike X" out of ``text``; what is said of the item is compared with X."""
        for match in self._grammar.unlike.finditer(text):
            partners = self._partners(match)
            if partners:
                self._unlikes += partners
                text = _blanked(text, match)
        for match in self._grammar.like.finditer(text):
            before = text[: match.start()]
            partners = [] if _LIKE_IS_VERB.search(before) else self._partners(match)
            if partners:
                self._liken(before, partners)
                text = _blanked(text, match)
        return re.sub(r"\s+", " ", text).strip()

    def _partners(self, match: re.Match[str]) -> list[Item]:
        """The titles behind "like" other than the item at hand; they must be past items."""
        refs = next(group for group in match.groups() if group is not None)
        partners = [item for item in self._items_of(refs) if item.id != self._matter.item.id]
        self._must_be_past(partners, match[0])
        return partners

    def _must_be_past(self, items: Iterable[Item], said: str) -> None:
        for item in items:
            if item.id not in self._matter.past.items:
                self._say("history", said, False, f"{item.title} is not in the history")

    def _liken(self, before: str, partners: Sequence[Item]) -> None:
        """ "a thriller like X" says it of X alone; any other "like X" goes with the whole sentence."""
        beside = _BESIDE_LIKE.search(before)
        if beside is None or not TAG.search(beside[0]):
            self._likes += partners
            return
        for fact in self._facts_in(beside[0]):
            self._tell(fact, partners)

    # Clauses

    def _clause(self, clause: Clause) -> None:
        grammar = self._grammar
        clause = replace(clause, text=self._without_relative(clause.text))
        text = clause.text
        if not text or self._ellipsis(text):
            return
        hope = grammar.hope.search(text)
        wish = grammar.wish.search(text) if hope is None else None
        if wish is not None:
            self._wish(text, wish)
            return
        past = self._tells_past(text, hope)
        if past:
            self._history(text)
        else:
            self._about_items(clause, hope)
        self._context(text, of_past=past and self._names_event(text))
        self._last_named = tuple(self._named_in(text)) or self._last_named
        if groups := groups_of(text):
            self._last_group = self._items_of(groups[-1][0])

    def _without_relative(self, text: str) -> str:
        """Check "X you bought" and "…, which you liked" of X, and return the clause without it."""
        if self._grammar.which.match(text) and self._last_named:
            tags = [f"‹t{number}›" for number, item in enumerate(self._refs) if item in self._last_named]
            self._history(f"{text} {' and '.join(tags)}")
            return ""
        match = self._grammar.behind.search(text)
        if match is None or not self._stances_in(match["verb"]):
            return text
        if not text[: match.start()].strip():
            return text
        self._history(f"{match['verb']} {match['ref']}")
        return text[: match.start("verb")].strip()

    def _named_in(self, text: str) -> list[Item]:
        return [item for item in self._items_of(text) if item.id != self._matter.item.id]

    def _tells_past(self, text: str, hope: re.Match[str] | None) -> bool:
        """Whether a clause is about what the user had or likes, not about what they might like."""
        if not self._grammar.user.search(text):
            return False
        told = text if hope is None else text[: hope.start()]
        if self._stances_in(told):
            return True
        # "You … X" with a verb that is not known still says that X was had.
        items = self._items_of(text)
        only_past = bool(items) and self._matter.item not in items
        return hope is None and only_past and _USER_THEN_TITLE.match(text) is not None

    def _names_event(self, text: str) -> bool:
        return bool(self._items_of(text)) or self._grammar.counted.search(text) is not None

    def _context(self, text: str, *, of_past: bool) -> None:
        """Words of context must be true now; of a past event they are not known."""
        for match in re.finditer(r"‹c(\d+)›", text):
            name, value = self._masked.contexts[int(match[1])]
            if of_past:
                self._say("circumstance", value, False, "when and with whom it was had is not known")
                continue
            true = self._matter.situation.get(name, frozenset())
            holds = (value in true) != is_negated(text, match.start(), self._grammar)
            self._say("context", value, holds, f"the request says {', '.join(sorted(true)) or 'nothing'}")

    def _ellipsis(self, text: str) -> bool:
        """ "…, and so is X", "X is not": the last facts again, of another subject."""
        match = self._grammar.ellipsis.match(text)
        if match is None or not self._facts:
            return False
        subjects = self._items_of(match[0]) or (self._matter.item,)
        self._tell_again(subjects, negated=match["no"] is not None)
        return True


def _blanked(text: str, match: re.Match[str]) -> str:
    """``text`` with spaces for the match: places of later matches stay."""
    return f"{text[: match.start()]}{' ' * len(match[0])}{text[match.end() :]}"


def read(matter: Matter, masked: Masked, named: Sequence[Item]) -> tuple[tuple[Claim, ...], list[Item]]:
    """The claims of a sentence and the past items it names; ``named`` are those of the sentences before."""
    reader = Reader(matter, masked, CHINESE if masked.chinese else ENGLISH, named)
    reader.read()
    return tuple(reader.claims), reader.others
