"""Labelled conversations, played turn by turn on the real chat: is what was said kept, found and left out?

A script is a list of turns with what a person would expect of them; ``Turn`` says what can be expected. The
labels are written by people who have not seen the chat. Conditions and references name places of the list
before the turn: ``{2.year}`` is the year of its second item.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tastemaker.agent.chat.chat import Asker, Chat, Reply, Step
from tastemaker.agent.chat.state import ChatState
from tastemaker.agent.verify_titles import spoken
from tastemaker.config import Settings
from tastemaker.data.dataset import Dataset
from tastemaker.data.readers import read
from tastemaker.errors import DataError
from tastemaker.eval.benchmarks import find_files
from tastemaker.index.build import build_index
from tastemaker.index.embeddings import load_embedder
from tastemaker.index.filters import field_value, holds, parse_filter, word_pattern
from tastemaker.types import Filter, Item
from tastemaker.workspace import Workspace

_PLACE = re.compile(r"\{(-?\d+)\.(\w+)\}")
_YEAR = re.compile(r" \((1[89]|20)\d\d\)")
GIFT_CARDS = "https://cseweb.ucsd.edu/~jmcauley/datasets/amazon_v2/"
COARSER = {"kids": "family", "parents": "family", "stressed": "tense", "computer": "laptop"}
"""Words of the labels for values that the domain packs tell apart more finely, or name otherwise."""

MAX_TITLE = 200
MAX_SHORT = 60
"""Characters of an attribute that a list shows; longer ones are texts about the item."""

_KEYS = {
    "say",
    "intent",
    "refers",
    "title",
    "filters",
    "lifts",
    "excludes",
    "gone",
    "context",
    "asks",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptTurn:
    """``intent``: any of these kinds is right. ``refers``, ``gone``: places of the list before. ``filters``,
    ``excludes`` hold from here on, ``lifts`` no longer. ``title``: the item that is named.
    """

    say: str
    intent: tuple[str, ...]
    refers: tuple[int, ...] = ()
    title: str = ""
    filters: tuple[str, ...] = ()
    lifts: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    gone: tuple[int, ...] = ()
    context: Mapping[str, str] = field(default_factory=dict)
    asks: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    name: str
    catalogue: str
    turns: tuple[ScriptTurn, ...]


@dataclass(slots=True)
class Tally:
    """What was right of what was checked, by kind of check, and every miss in words."""

    right: Counter[str] = field(default_factory=Counter)
    checked: Counter[str] = field(default_factory=Counter)
    confusion: Counter[tuple[str, str]] = field(default_factory=Counter)
    misses: list[str] = field(default_factory=list)

    def note(self, kind: str, good: bool, place: str, told: str) -> None:
        self.checked[kind] += 1
        self.right[kind] += good
        if not good:
            self.misses.append(f"{place} [{kind}] {told}")

    def shares(self) -> dict[str, float]:
        return {kind: self.right[kind] / count for kind, count in self.checked.items()}

    def add(self, other: Tally) -> None:
        self.right += other.right
        self.checked += other.checked
        self.confusion += other.confusion
        self.misses += other.misses


def load_scripts(path: Path) -> list[Script]:
    """Read scripts from YAML.

    Raises:
        DataError: a turn has a key that is no expectation, or no text.
    """
    return [
        Script(
            name=one["name"],
            catalogue=one["catalogue"],
            turns=tuple(_turn(turn, one["name"]) for turn in one["turns"]),
        )
        for one in yaml.safe_load(path.read_text(encoding="utf-8"))
    ]


def _turn(turn: Mapping[str, Any], name: str) -> ScriptTurn:
    if unknown := set(turn) - _KEYS:
        raise DataError(
            f"script {name!r} expects {sorted(unknown)[0]!r}; known are {', '.join(sorted(_KEYS))}"
        )
    intent = turn["intent"]
    return ScriptTurn(
        say=str(turn["say"]),
        intent=(intent,) if isinstance(intent, str) else tuple(intent),
        context={str(key): str(value) for key, value in (turn.get("context") or {}).items()},
        asks=turn.get("asks"),
        title=str(turn.get("title") or ""),
        **{key: tuple(turn.get(key) or ()) for key in ("refers", "filters", "lifts", "excludes", "gone")},
    )


class Player:
    """One script being played."""

    def __init__(self, chat: Chat, script: Script, asker: Asker, titles: frozenset[str]) -> None:
        self._chat, self._script, self._asker, self._titles = chat, script, asker, titles
        self._dataset: Dataset = chat.recommender.dataset
        self.tally = Tally()
        self._filters: dict[str, Filter] = {}
        self._excludes: set[str] = set()
        self._gone: set[str] = set()

    def play(self) -> Tally:
        state = ChatState()
        kept: list[tuple[dict[str, Filter], set[str], set[str]]] = []
        for number, turn in enumerate(self._script.turns, start=1):
            place = f"{self._script.name}.{number} “{turn.say}”"
            before = [self._dataset.item(one) for one in state.shown]
            step = self._chat.plan(state, turn.say, self._asker)
            reply = self._answer(step)
            stood = (dict(self._filters), set(self._excludes), set(self._gone))
            self._expect(turn, before)
            if "undo" in turn.intent and kept:
                self._filters, self._excludes, self._gone = kept.pop()
            elif "reset" in turn.intent:
                self._filters, self._excludes = {}, set()
            self._check(turn, step, reply, before, place)
            if reply.recommendation is not None and "undo" not in turn.intent:
                kept.append(stood)
            state = reply.state
        return self.tally

    def _answer(self, step: Step) -> Reply:
        if step.question == "list" and step.request is not None:
            return self._chat.finish(step, self._chat.recommender.recommend_batch([step.request])[0])
        return self._chat.finish(step)

    def _expect(self, turn: ScriptTurn, before: Sequence[Item]) -> None:
        for text in turn.lifts:
            # What is lifted is named as a word that was ruled out, a field, or the value of a condition.
            self._excludes.discard(text.casefold())
            for wanted, one in list(self._filters.items()):
                if text.casefold() in (one.field, str(one.value).casefold(), wanted.casefold()):
                    del self._filters[wanted]
        for text in turn.filters:
            if (found := self._condition(text, before)) is not None:
                self._filters[str(found)] = found
        self._excludes |= {one.casefold() for one in turn.excludes}
        self._gone |= set(_at(before, turn.gone))

    def _condition(self, text: str, before: Sequence[Item]) -> Filter | None:
        """The condition with the numbers of the list before; None where an item does not say it."""
        for match in list(_PLACE.finditer(text)):
            at = int(match[1])
            place = at - 1 if at > 0 else len(before) + at
            value = field_value(before[place], match[2]) if 0 <= place < len(before) else None
            if value is None:
                return None
            text = text.replace(match[0], str(value))
        return parse_filter(text)

    def _check(self, turn: ScriptTurn, step: Step, reply: Reply, before: Sequence[Item], place: str) -> None:
        # To refine is to ask further; a turn may do several things.
        told = {"ask" if one == "refine" else one for one in (reply.kind, *_kinds(step))}
        kind = next((one for one in turn.intent if one in told), min(told))
        self.tally.confusion[turn.intent[0], kind] += 1
        self.tally.note("intent", bool(told & set(turn.intent)), place, f"is {kind}, not {turn.intent}")
        self._check_references(turn, step, before, place)
        for name, value in turn.context.items():
            found = reply.state.context.get(name, "")
            same = value in (found, COARSER.get(found, found))
            self.tally.note("context", same, place, f"{name} is {found}, not {value}")
        if turn.asks:
            self.tally.note("asks", reply.asks, place, "did not ask")
        self._check_names(reply, place)
        if reply.recommendation is not None:
            items = [row.ranked.item for row in reply.recommendation]
            self._check_list(items, place)
            # Whatever it was that people meant: what the chat took for turned down is not shown again.
            back = [item.display_title for item in items if item.id in reply.state.gone]
            self.tally.note("never", not back, place, f"{back[:2]} came back")

    def _check_references(self, turn: ScriptTurn, step: Step, before: Sequence[Item], place: str) -> None:
        found = {one for act in step.turn.acts for one in act.items}
        wanted = set(_at(before, turn.refers))
        if turn.title and (named := self._dataset.find_title(turn.title)) is not None:
            wanted.add(named)
        if wanted:
            self.tally.note(
                "reference", found == wanted, place, f"found {sorted(found)}, not {sorted(wanted)}"
            )

    def _check_list(self, items: Sequence[Item], place: str) -> None:
        for one in self._filters.values():
            wrong = [item.display_title for item in items if not holds(item, one)]
            self.tally.note("constraint", not wrong, place, f"{one} broken by {wrong[:2]}")
        for thing in self._excludes:
            said = word_pattern(thing)
            wrong = [item.display_title for item in items if said.search(_visible(item).casefold())]
            self.tally.note("exclusion", not wrong, place, f"{thing} in {wrong[:2]}")
        for item in self._gone:
            back = item in {one.id for one in items}
            self.tally.note("gone", not back, place, f"{item} came back")
        self.tally.note("listed", bool(items), place, "an empty list")

    def _check_names(self, reply: Reply, place: str) -> None:
        """Whatever stands before a year in brackets ends with a title of the catalogue."""
        for match in _YEAR.finditer(reply.text):
            first = max(0, match.end() - MAX_TITLE)
            known = any(reply.text[at : match.end()] in self._titles for at in range(first, match.end()))
            said = reply.text[max(first, match.start() - 30) : match.end()]
            self.tally.note("named", known, place, f"names {said}")


def _at(shown: Sequence[Item], places: Sequence[int]) -> Iterator[str]:
    """The ids of these places of a list, from 1, or from -1 at its end; what it does not have is left out."""
    for place in places:
        at = place - 1 if place > 0 else len(shown) + place
        if 0 <= at < len(shown):
            yield shown[at].id


def _visible(item: Item) -> str:
    """What a list shows of an item: title and short attributes."""
    told = [one for one in item.attributes.values() if not isinstance(one, (int, float))]
    texts = [part for one in told for part in ((one,) if isinstance(one, str) else one or ())]
    return "\n".join([item.title, *(one for one in texts if len(one) <= MAX_SHORT)])


def _kinds(step: Step) -> Iterator[str]:
    yield from (act.kind for act in step.turn.acts)
    if step.turn.rest:
        yield "ask"


def play_all(chat: Chat, scripts: Sequence[Script], asker: Asker) -> Iterator[tuple[Script, Tally]]:
    """Each script in a conversation of its own."""
    dataset = chat.recommender.dataset
    titles = {
        form
        for item in dataset.iter_items()
        for form in (item.display_title, spoken(item.title, year=item.year))
    }
    for script in scripts:
        yield script, Player(chat, script, asker, frozenset(titles)).play()


def gift_cards(folder: Path) -> Path:
    """A workspace over Amazon's gift cards in ``folder``: the shop that scripts talk to.

    Raises:
        DataError: the data set is not there. WeightsError: the embedding model cannot be had.
    """
    files = ("Gift_Cards_5.json.gz", "meta_Gift_Cards.json.gz")
    place = Workspace(folder)
    dataset = read(*find_files("amazon-giftcards-2018", files, origin=GIFT_CARDS)).dataset
    dataset.save(place.data)
    place.config.write_text("domain: products\n", encoding="utf-8")
    build_index(dataset, place.index, load_embedder(Settings().embedder))
    return place.root


def intent_f1(confusion: Counter[tuple[str, str]]) -> dict[str, float]:
    """F1 by intent of (wanted, found) counts."""
    by_kind: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for (wanted, found), count in confusion.items():
        by_kind[wanted][1] += count
        by_kind[found][2] += count
        by_kind[wanted][0] += count if wanted == found else 0
    return {kind: 2 * right / max(a + b, 1) for kind, (right, a, b) in sorted(by_kind.items())}
