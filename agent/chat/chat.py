"""Conversations over one recommender: a turn and a state go in, a new state and a reply come out.

``Chat`` keeps nothing between turns, so one serves any number of conversations; who calls it keeps the
states. A turn is planned without any model, its request goes through the same ``recommend_batch`` as every
other, and what is said afterwards can only name items of the answer or of the catalogue.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

from tastemaker.agent.chat.kinds import load_kinds
from tastemaker.agent.chat.lexicon import load_chat_words
from tastemaker.agent.chat.memory import Memory
from tastemaker.agent.chat.references import References
from tastemaker.agent.chat.sense import Sense
from tastemaker.agent.chat.state import MAX_PASSED, ChatState, Event
from tastemaker.agent.chat.turns import QUESTIONS, Act, Turn, TurnReader
from tastemaker.agent.chat.wording import Wording
from tastemaker.agent.recommender import Recommender
from tastemaker.agent.requests import LanguageChoice, as_context, as_wish
from tastemaker.answers import Recommendation
from tastemaker.errors import RequestError
from tastemaker.prompts.domains import load_domain
from tastemaker.prompts.words import detect_language
from tastemaker.types import MAX_WISH_CHARS, Language, Request

MAX_TURN_CHARS = 2_000
EVENT_OF = {
    "like": "like",
    "dislike": "dislike",
    "seen": "seen",
    "reject": "not_now",
    "more_like": "more_like",
}
"""The event that an act upon an item is noted as."""

Question = Literal["list", "why", "why_not", "compare"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Who talks, and what holds for the whole conversation: the arguments of ``Recommender.recommend``.

    ``client``: on whose behalf sessions are kept, where one process serves several; None: its own.
    """

    user_id: str | None = None
    context: Mapping[str, object] = field(default_factory=dict)
    k: int = 5
    language: LanguageChoice = "auto"
    client: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A planned turn. ``request``: what the recommender is asked, None where nothing is.

    ``said``: sentences that stand before its answer. ``about``: items that a question is about.
    """

    turn: Turn
    state: ChatState
    language: Language
    question: Question | None = None
    request: Request | None = None
    about: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    asks: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a turn led to. ``text`` names no item but those of ``recommendation`` and of the question.

    ``asks``: the text is a question that the next turn may answer.
    """

    kind: str
    text: str
    state: ChatState
    language: Language
    recommendation: Recommendation | None = None
    about: tuple[str, ...] = ()
    asks: bool = False

    def to_dict(self) -> dict[str, Any]:
        state = self.state.to_dict()
        del state["past"]
        return {
            "kind": self.kind,
            "text": self.text,
            "asks": self.asks,
            "about": list(self.about),
            "recommendation": None if self.recommendation is None else self.recommendation.to_dict(),
            "state": state,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tools:
    """What reads and answers one language."""

    reader: TurnReader
    references: References
    memory: Memory
    wording: Wording


class Chat:
    """Turns over one recommender. Safe to share between threads.

    Example::

        chat = Chat(Recommender.load("workspace"))
        state, asker = ChatState(), Asker(user_id="196")
        reply = chat.turn(state, "something funny from the nineties", asker)
        reply = chat.turn(reply.state, "older than the second one", asker)
    """

    def __init__(self, recommender: Recommender) -> None:
        self.recommender = recommender

    @cached_property
    def _tools(self) -> dict[Language, _Tools]:
        dataset, recogniser = self.recommender.dataset, self.recommender.recogniser
        domain = load_domain(self.recommender.settings.domain)
        found: dict[Language, _Tools] = {}
        for language in ("en", "zh"):
            words = load_chat_words(language)
            references = References(dataset, recogniser.fields, domain, words)
            memory = Memory(dataset, recogniser, domain, words)
            found[language] = _Tools(
                reader=TurnReader(
                    words, references, load_kinds(language), memory.asks, Sense(dataset, words)
                ),
                references=references,
                memory=memory,
                wording=Wording(dataset, domain, words),
            )
        return found

    def turn(self, state: ChatState, text: str, asker: Asker | None = None) -> Reply:
        """One turn, answered whole.

        Raises:
            InputError: the text is empty or too long, or the asker is unknown.
        """
        step = self.plan(state, text, asker or Asker())
        if step.question == "list" and step.request is not None:
            return self.finish(step, self.recommender.recommend_batch([step.request])[0])
        return self.finish(step)

    def stream(self, state: ChatState, text: str, asker: Asker | None = None) -> Iterator[Reply]:
        """A turn as it becomes known: the list first, then the same with its words.

        The last reply is the one that ``turn`` gives.
        """
        step = self.plan(state, text, asker or Asker())
        if step.question != "list" or step.request is None:
            yield self.finish(step)
            return
        for answer in self.recommender.recommend_in_steps(step.request):
            yield self.finish(step, answer)

    def plan(self, state: ChatState, text: str, asker: Asker) -> Step:
        """Recognise a turn and change the state by it; nothing is asked of any model yet."""
        if not isinstance(text, str) or not text.strip():
            raise RequestError("the turn is empty; say what you would like")
        if len(text) > MAX_TURN_CHARS:
            raise RequestError(f"the turn has {len(text):,} characters; at most {MAX_TURN_CHARS:,} are read")
        text = as_wish(text)
        language = self._language(text, asker, state)
        tools, now = self._tools[language], as_context(asker.context).time
        # What was named and is in the catalogue no more cannot be pointed at.
        state = self.known(state)
        turn = tools.reader.read(text, state, tools.memory.lifts(state, text, now))
        return _Planner(self, tools, state, turn, asker, language).step()

    def finish(self, step: Step, answer: Recommendation | None = None) -> Reply:
        """The reply to a planned turn. ``answer``: to the step's request, where it asks for a list."""
        wording = self._tools[step.language].wording
        state, said = step.state, list(step.said)
        if step.question == "list" and answer is not None:
            state = replace(state, shown=tuple(item.id for item in answer), focus=None)
            # The words come last: a stream only ever adds to what it has said.
            said += [wording.listed(answer, state), wording.words(answer)]
        elif step.question is not None and step.request is not None:
            said.append(self._told(step, step.request, wording))
            state = replace(state, focus=step.about[0] if step.about else state.focus)
        return Reply(
            kind=step.turn.kind,
            text="\n".join(one for one in said if one),
            state=state,
            language=step.language,
            recommendation=answer,
            about=step.about,
            asks=step.asks,
        )

    def request(self, state: ChatState, asker: Asker, language: Language = "en") -> Request:
        """The request that a state stands for."""
        memory = self._tools[language].memory
        ruled_out = tuple(one for thing in state.exclude for one in memory.exclusion(thing))
        return self.recommender.request(
            user_id=asker.user_id,
            session=[one.to_dict() for one in state.events],
            wish=_joined_wishes(state.wishes),
            context={**as_context(asker.context).as_mapping(), **state.context},
            k=asker.k,
            filters=(*state.filters, *(one for one in ruled_out if one not in state.filters)),
            exclude=state.gone | set(state.passed),
            language=language,
            understand=False,
        )

    def _language(self, text: str, asker: Asker, state: ChatState) -> Language:
        if asker.language != "auto":
            return asker.language
        if not any(map(str.isalnum, text)):
            # Marks alone have no language: that of the last wish, or of those who type them.
            text = state.wishes[-1] if state.wishes else "中" * any(one in "？！。，" for one in text)
        return detect_language(text)

    def known(self, state: ChatState) -> ChatState:
        """The state without what it says of items that the catalogue no longer has."""
        has = self.recommender.dataset.has_item
        return replace(
            state,
            shown=tuple(one for one in state.shown if has(one)),
            events=tuple(one for one in state.events if has(one.item)),
            focus=state.focus if state.focus is not None and has(state.focus) else None,
        )

    def _told(self, step: Step, request: Request, wording: Wording) -> str:
        counterfactuals = self.recommender.parts.counterfactuals
        passed = set(step.state.passed) - step.state.gone

        def why_not(item: str) -> str:
            # Who asks for more has turned nothing down.
            return wording.why_not(counterfactuals.why_not(request, item), passed=item in passed)

        if step.question == "why_not":
            return "\n".join(map(why_not, step.about))
        found = []
        for one in step.about:
            try:
                found.append(counterfactuals.why(request, one))
            except RequestError:
                return why_not(one)
        return wording.compared(found) if step.question == "compare" else "\n".join(map(wording.why, found))


class _Planner:
    """One turn being planned."""

    def __init__(
        self, chat: Chat, tools: _Tools, state: ChatState, turn: Turn, asker: Asker, language: Language
    ) -> None:
        self._chat, self._tools, self._asker, self._language = chat, tools, asker, language
        self._before, self._state, self._turn = state, state, turn
        self._said: list[str] = []

    def step(self) -> Step:
        if missing := self._unresolved():
            # What can be done of the turn is done, and what cannot is said.
            self._said += missing
            acts = tuple(act for act in self._turn.acts if act.items or not (act.missing or act.unknown))
            if not acts and not self._turn.rest:
                return self._step(asks=True)
            self._turn = replace(self._turn, acts=acts)
        kinds = {act.kind for act in self._turn.acts}
        if "reset" in kinds:
            return self._reset()
        if "undo" in kinds:
            return self._undo()
        if "unclear" in kinds:
            return self._only(self._tools.wording.unclear(self._turn.text, listed=bool(self._before.shown)))
        if kinds & {"small_talk", "off_topic"} or (not kinds and not self._turn.rest):
            return self._only(self._tools.wording.aside(self._turn))
        question = next((act for act in self._turn.acts if act.kind in QUESTIONS), None)
        for act in self._turn.acts:
            # "Seen the second, why the third?": beside a question what was said of items counts.
            if question is None or act.kind in EVENT_OF:
                self._apply(act)
        if question is not None:
            return self._question(question)
        return self._list(asks=self._wish())

    def _reset(self) -> Step:
        """Nothing holds any more but what was said of items."""
        self._state = ChatState(events=self._before.events, out=self._before.out)
        if self._turn.rest:
            return self._list(asks=self._wish())
        said = self._tools.wording.say("reset")
        return self._only(said, state=self._state.remembering(self._before))

    def _undo(self) -> Step:
        wording, back = self._tools.wording, self._before.undone()
        if back is None and not self._turn.rest:
            return self._only(wording.say("nothing_to_undo"))
        self._state = back or self._before
        self._said.append(wording.say("undo" if back else "nothing_to_undo"))
        if self._turn.rest:
            return self._list(asks=self._wish())
        return self._list(remember=False) if self._state.shown else self._step(state=self._state)

    def _unresolved(self) -> list[str]:
        """A sentence about each reference that leads nowhere."""
        wording, told = self._tools.wording, []
        for act in self._turn.acts:
            if act.missing is not None:
                told.append(wording.say("no_such", n=len(self._before.shown), number=act.missing))
            if act.unknown:
                told.append(wording.say("not_found", title=act.unknown))
        return list(dict.fromkeys(told))

    def _question(self, act: Act) -> Step:
        request = self._chat.request(self._state, self._asker, self._language)
        return self._step(
            question=act.kind,  # type: ignore[arg-type]
            request=request,
            about=act.items,
            state=replace(self._state, focus=act.items[0] if act.items else None),
        )

    def _apply(self, act: Act) -> None:
        wording, memory = self._tools.wording, self._tools.memory
        if act.kind in ("yes", "no"):
            doubt = self._state.doubt
            if doubt is not None and act.kind == "yes":
                self._state = memory.settled(self._state, doubt)
            else:
                self._state = replace(self._state, doubt=None)
                self._said.append(wording.say("kept"))
            return
        # A doubt that was not answered is dropped: it is asked about once.
        self._state = replace(self._state, doubt=None)
        if act.kind == "more":
            passed = tuple(dict.fromkeys((*self._state.passed, *self._state.shown)))
            self._state = replace(self._state, passed=passed[-MAX_PASSED:])
        elif act.kind == "lift":
            after = memory.without(self._state, act.text, None)
            told = wording.forgotten(self._state, after)
            self._said.append(told if told else wording.say("nothing_lifted"))
            self._state = after
        elif act.kind == "critique":
            self._move(act)
        elif act.kind in EVENT_OF:
            self._note(act)

    def _note(self, act: Act) -> None:
        moment = time.time()
        name = EVENT_OF[act.kind]
        told = [Event(name=name, item=item, time=moment) for item in act.items]
        self._state = replace(
            self._state.noting(told),
            focus=act.items[0] if len(act.items) == 1 else self._state.focus,
        )
        self._said.append(self._tools.wording.noted(act))

    def _move(self, act: Act) -> None:
        """A critique of a quality that the catalogue says, against one item or most of the list."""
        wording, dataset = self._tools.wording, self._chat.recommender.dataset
        value_of = self._tools.references.value
        fields = self._chat.recommender.recogniser.fields
        if act.role not in fields.columns or act.op is None:
            self._said.append(wording.unknown_role(act))
            self._state = replace(
                self._state, wishes=(*self._state.wishes, wording.relation(act.role, act.op or "<"))
            )
            return
        against = act.items or ((self._before.focus,) if self._before.focus is not None else ())
        if against:
            item = dataset.item(against[0])
            value = value_of(act.role, item)
            if value is None:
                self._said.append(wording.unknown_value(act, item))
                return
            self._said.append(wording.moved(act, value, item))
        else:
            known = sorted(
                value
                for one in self._before.shown
                if (value := value_of(act.role, dataset.item(one))) is not None
            )
            if not known:
                self._said.append(wording.unknown_role(act))
                return
            value = known[len(known) // 2]
            self._said.append(wording.moved(act, value, None))
        self._state = self._tools.memory.moved(self._state, act.role, act.op, value)

    def _wish(self) -> bool:
        """Take in what is left of the turn as a wish; True when that has to be asked about."""
        if not self._turn.rest:
            return False
        self._state = replace(self._state, doubt=None)
        now = as_context(self._asker.context).time
        lifted = [act.text for act in self._turn.acts if act.kind == "lift"]
        before = self._before.doubt
        added = self._tools.memory.add(
            self._state,
            self._turn.rest,
            self._turn.text,
            now,
            lifted,
            asked=() if before is None else tuple(before.ends_context),
        )
        self._state = added.state
        self._said += added.notes
        if added.state.doubt is None:
            return False
        self._said.append(self._tools.wording.doubt(added.state.doubt))
        return True

    def _list(self, *, asks: bool = False, remember: bool = True) -> Step:
        request = self._chat.request(self._state, self._asker, self._language)
        state = self._state.remembering(self._before) if remember else self._state
        return self._step(question="list", request=request, state=state, asks=asks)

    def _only(self, text: str, *, state: ChatState | None = None, asks: bool = False) -> Step:
        self._said.append(text)
        return self._step(state=state, asks=asks)

    def _step(
        self,
        *,
        question: Question | None = None,
        request: Request | None = None,
        about: tuple[str, ...] = (),
        state: ChatState | None = None,
        asks: bool = False,
    ) -> Step:
        return Step(
            turn=self._turn,
            state=state if state is not None else self._state,
            language=self._language,
            question=question,
            request=request,
            about=about,
            said=tuple(self._said),
            asks=asks,
        )


def _joined_wishes(wishes: Sequence[str]) -> str:
    """What is searched for by meaning; where all of it is too long, the oldest wishes are left out."""
    kept = list(wishes)
    while len(kept) > 1 and len("; ".join(kept)) > MAX_WISH_CHARS:
        kept.pop(0)
    return "; ".join(kept)


def now_context(context: Mapping[str, object] | None = None) -> dict[str, object]:
    """A situation with this machine's clock, unless it has a time already."""
    return {"time": datetime.now().replace(microsecond=0), **(context or {})}
