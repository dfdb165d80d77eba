"""The sentences of a reply. Items are named from the result or the catalogue, never from a model's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tastemaker.agent.chat.lexicon import ChatWords
from tastemaker.agent.chat.state import ChatState, Doubt
from tastemaker.agent.chat.turns import Act, Turn
from tastemaker.agent.counterfactual import Why, WhyNot
from tastemaker.agent.requests import as_context
from tastemaker.agent.verify_titles import spoken
from tastemaker.answers import Recommendation, RecommendedItem
from tastemaker.data.dataset import Dataset
from tastemaker.index.filters import parse_filter
from tastemaker.prompts.domains import Domain
from tastemaker.prompts.packs import load_pack
from tastemaker.prompts.words import describe_context
from tastemaker.types import AttributeValue, Filter, Item

MAX_PIECES = 3
"""Pieces of evidence that an answer names."""

MAX_REPEATED = 40
"""Characters of a turn that was not understood that are said back."""

MIN_INFLUENCE = 0.05
"""Nats below which a piece of evidence is not named: it moves odds by less than 5 %."""


class Wording:
    """Replies in one language about one catalogue."""

    def __init__(self, dataset: Dataset, domain: Domain, words: ChatWords) -> None:
        self._dataset, self._domain, self._words = dataset, domain, words
        self._pack = load_pack(words.language, domain=domain.name)

    def say(self, name: str, **values: object) -> str:
        return str(self._words.say[name]).format(**values)

    def title(self, item: Item) -> str:
        return spoken(item.title, year=item.year)

    def titles(self, items: Sequence[str]) -> str:
        return self._joint.join(self.title(self._dataset.item(one)) for one in items)

    @property
    def _joint(self) -> str:
        return ", " if self._words.language == "en" else "、"

    def listed(self, answer: Recommendation, state: ChatState) -> str:
        """What holds and the titles of the list; or why there is none."""
        conditions = self.conditions(state)
        if not answer.items:
            if not conditions:
                return self.say("nothing_plain")
            return self.say("nothing", conditions=self._joint.join(conditions), last=self._lifted_by(state))
        lines = list(answer.request.notes)
        if len(answer.items) < answer.request.k and conditions:
            lines.append(self.say("few", n=len(answer.items)))
        if conditions:
            lines.append(self.say("conditions", conditions=self._joint.join(conditions)))
        return "\n".join([*lines, *(self._line(item) for item in answer.items)])

    def _line(self, item: RecommendedItem) -> str:
        return self.say("line", rank=item.ranked.rank, title=self.title(item.ranked.item))

    def words(self, answer: Recommendation) -> str:
        """The explanations, a line for each item; nothing before they are known."""
        told = [
            self.say("words", rank=item.ranked.rank, text=item.explanation.text)
            for item in answer.items
            if item.explanation is not None and item.explanation.text
        ]
        return "\n".join(["", *told]) if told else ""

    def conditions(self, state: ChatState) -> list[str]:
        """What holds, in words that a lift can take back."""
        told = [self.condition(one) for one in state.filters]
        told += [self.say("no_thing", thing=self._named(one)) for one in state.exclude]
        told += describe_context(as_context(state.context), self._pack)
        return list(dict.fromkeys(told))

    def condition(self, one: Filter) -> str:
        value = f"{one.value:g}" if isinstance(one.value, float) else self._named(str(one.value))
        if one.op in ("has", "=="):
            return value
        if one.op == "lacks":
            return self.say("no_thing", thing=value)
        role = self._role(one.field)
        if one.op in ("in", "not in") and isinstance(one.value, tuple):
            ends = f"{one.value[0]}–{one.value[-1]}" if len(one.value) > 1 else str(one.value[0])
            return self.say("no_thing", thing=ends) if one.op == "not in" else ends
        bounds = self._words.bounds.get(role, {})
        if one.op in bounds:
            return bounds[one.op].format(value=value)
        return f"{self._words.roles.get(role, one.field)} {one.op} {value}"

    def _role(self, field: str) -> str:
        """The role ("price") that a column plays in this domain; the column itself where it plays none."""
        fields = self._domain.fields.items()
        return next((role for role, meaning in fields if field in meaning.columns), field)

    def _lifted_by(self, state: ChatState) -> str:
        """What may be said to lift the condition that came last: "year", "Comedy", "horror"."""
        if state.exclude:
            return self._named(state.exclude[-1])
        if not state.filters:
            return self.conditions(state)[-1]
        last = state.filters[-1]
        role = self._role(last.field)
        return self._words.roles[role] if role in self._words.roles else self.condition(last)

    def _named(self, value: str) -> str:
        """A value of the catalogue in this language: the first word that the domain has for it."""
        names = self._domain.concepts[self._words.language]
        if self._words.language == "en":
            return value
        return next(
            (words[0] for known, words in names.items() if known.casefold() == value.casefold()), value
        )

    def noted(self, act: Act) -> str:
        return self.say(act.kind, titles=self.titles(act.items))

    def forgotten(self, before: ChatState, after: ChatState) -> str:
        kept = self.conditions(after)
        gone = [
            one for one in (*self.conditions(before), *before.wishes) if one not in (*kept, *after.wishes)
        ]
        return self.say("forgotten", conditions=self._joint.join(gone)) if gone else ""

    def relation(self, role: str, op: str) -> str:
        return str(self._words.relations.get(role, {}).get(op, role))

    def moved(self, act: Act, value: float, item: Item | None) -> str:
        if act.op == "==":
            return ""
        shown = f"{value:g}"
        relation = self.relation(act.role, act.op or "<")
        if item is not None and f"({shown})" in self.title(item):
            return self.say("critique_titled", relation=relation, title=self.title(item))
        if item is None:
            return self.say("critique_list", relation=relation, value=shown)
        return self.say("critique", relation=relation, title=self.title(item), value=shown)

    def unknown_value(self, act: Act, item: Item) -> str:
        return self.say(
            "unknown_value", role=self._words.roles.get(act.role, act.role), title=self.title(item)
        )

    def unknown_role(self, act: Act) -> str:
        return self.say("unknown_role", role=self._words.roles.get(act.role, act.role))

    def doubt(self, doubt: Doubt) -> str:
        asked = []
        if doubt.ends_filters:
            before = self._joint.join(self.condition(one) for one in doubt.ends_filters)
            asked.append(self.say("doubt", before=before))
        elif doubt.ends_exclude:
            asked.append(
                self.say("doubt_back", before=self._joint.join(map(self._named, doubt.ends_exclude)))
            )
        clock = {name: one for name, one in doubt.ends_context.items() if name in doubt.context}
        if clock:
            before, after = self._situation(clock), self._situation(doubt.context)
            asked.append(self.say("doubt_clock", before=before, after=after))
        if gone := {name: one for name, one in doubt.ends_context.items() if name not in doubt.context}:
            asked.append(self.say("doubt_company", before=self._situation(gone)))
        return " ".join(asked) if self._words.language == "en" else "".join(asked)

    def _situation(self, context: Mapping[str, str]) -> str:
        return self._joint.join(describe_context(as_context(context), self._pack))

    def aside(self, turn: Turn) -> str:
        """Small talk and what lies outside the catalogue."""
        nouns = self._domain.words[self._words.language].nouns
        if turn.kind == "off_topic":
            return self.say("off_topic", nouns=nouns)
        if self._words.thanks.search(turn.text.casefold()):
            return self.say("thanks")
        return self.say("hello", example=self._example)

    def unclear(self, text: str, *, listed: bool) -> str:
        """That a turn was not understood, and what can be said instead."""
        told = " ".join(text.split())
        told = told if len(told) <= MAX_REPEATED else f"{told[:MAX_REPEATED]}…"
        return self.say("unclear_listed" if listed else "unclear", text=told, example=self._example)

    @property
    def _example(self) -> str:
        examples = self._words.say["example"]
        return str(examples.get(self._domain.name, examples["other"]))

    def why(self, found: Why) -> str:
        title = self.title(found.ranked.item)
        pieces = [
            spoken(piece.text) if piece.kind == "history" else piece.text
            for piece in found.evidence
            if piece.influence is not None and piece.influence >= MIN_INFLUENCE
        ][:MAX_PIECES]
        told = self.say("evidence", pieces=self._joint.join(pieces)) if pieces else self.say("no_reason")
        facts = self._facts(found.ranked.item)
        return f"{self.say('facts', title=title, facts=facts)} {told}" if facts else f"{title}: {told}"

    def compared(self, found: Sequence[Why]) -> str:
        lines = [self.why(one) for one in found]
        best = min(found, key=lambda one: one.ranked.rank)
        return "\n".join([*lines, self.say("better", title=self.title(best.ranked.item))])

    def _facts(self, item: Item) -> str:
        told = []
        for role, meaning in self._domain.fields.items():
            column = next((one for one in meaning.columns if one in item.attributes), None)
            if column is not None and role != "language":
                told.append(self._fact(role, item.attributes[column]))
        return self._joint.join(told)

    def _fact(self, role: str, value: AttributeValue) -> str:
        if isinstance(value, tuple):
            return self._joint.join(map(self._named, value))
        shown = f"{value:g}" if isinstance(value, (int, float)) else str(value)
        named = role not in ("year", "genres", "brand")
        return f"{self._words.roles.get(role, role)} {shown}" if named else shown

    def why_not(self, found: WhyNot, *, passed: bool = False) -> str:
        """``passed``: an earlier list of the conversation had the item."""
        title, standing = self.title(found.item), found.standing
        if standing == "excluded" and passed:
            return self.say("passed", title=title)
        if standing == "recommended":
            return self.say("in_list", title=title, rank=found.rank)
        if standing == "filtered":
            broken = self._joint.join(self.condition(parse_filter(one)) for one in found.conditions)
            return self.say("filtered", title=title, conditions=broken)
        if standing == "outranked" and found.gap is not None:
            ahead = self.title(found.gap.ahead)
            return self.say("outranked", title=title, rank=found.rank, ahead=ahead)
        return self.say(standing, title=title)
