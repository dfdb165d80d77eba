"""What must not come back: "no horror", "nothing scary or sad", "without Adam Sandler"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tastemaker.agent.recognise.lexicon import Words
from tastemaker.prompts.domains import Domain

MAX_WORDS = 4
"""A thing to be ruled out has so many words at most; Chinese: so many times two characters."""

_WORD = re.compile(r"\s*([\w'’.&-]*\w)")
_STOP = re.compile(r"\s*[,.;!?()，。；！？（）:：…~\n]")
_QUOTE = re.compile(r"\s*[\"“《「『]([^\"”》」』]+)[\"”》」』]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusion:
    """``text[start:end]`` rules out ``things``: values of the catalogue in lower case, or words."""

    start: int
    end: int
    things: tuple[str, ...]


def exclusions(
    text: str,
    words: Words,
    domain: Domain,
    taken: Sequence[tuple[int, int]],
    stops: Sequence[tuple[int, int]],
    titles: Sequence[tuple[int, int]] = (),
) -> list[Exclusion]:
    """Read every negation of a text in lower case that is not ``taken`` and does not only look like one."""
    harmless = [match.span() for match in words.harmless.finditer(text)]
    found: list[Exclusion] = []
    at = 0
    for trigger in words.negation.finditer(text):
        start, end = trigger.span()
        if start < at or any(first < end and start < last for first, last in (*taken, *harmless)):
            continue
        if found and words.exceptions.fullmatch(trigger[0]) and not text[at:start].strip(" ,，"):
            # "No comedies except romantic ones" wants the romantic ones.
            continue
        reader = _Reader(text, words, domain, [*taken, *stops], titles)
        things, stop = reader.things(end)
        if things:
            found.append(Exclusion(start=start, end=stop, things=things))
            at = stop
    claimed = [*taken, *((one.start, one.end) for one in found)]
    for trigger in words.negation_behind.finditer(text):
        first = _clause_start(text, trigger.start())
        if any(begin < trigger.end() and first < last for begin, last in (*claimed, *harmless)):
            continue
        reader = _Reader(text[: trigger.start()], words, domain, claimed, titles)
        things, stop = reader.things(first)
        if stop < len(text[: trigger.start()].rstrip()):
            # What is said of the thing before it does not matter: "songs and dances, musicals, are out".
            inside = reader.named_last(text[first : trigger.start()])
            things = (inside,) if inside is not None else ()
        if things:
            found.append(Exclusion(start=first, end=trigger.end(), things=things))
    return found


def _clause_start(text: str, end: int) -> int:
    """Where the clause before ``end`` begins: "rock, jazz is a no" rules out jazz alone."""
    end = len(text[:end].rstrip())
    stops = [match.end() for match in _STOP.finditer(text, 0, end)] + [
        match.end() for match in re.finditer(r"\s", text[:end]) if not text.isascii()
    ]
    return max(stops, default=0)


class _Reader:
    def __init__(
        self,
        text: str,
        words: Words,
        domain: Domain,
        stops: Sequence[tuple[int, int]],
        titles: Sequence[tuple[int, int]],
    ) -> None:
        self._titles = dict(titles)
        self._text = text
        self._words = words
        self._concepts = {
            name.casefold(): value.casefold()
            for value, names in domain.concepts[words.language].items()
            for name in (value, *names)
        }
        self._stops = stops

    def things(self, at: int) -> tuple[tuple[str, ...], int]:
        """The things from ``at`` on, and where the last of them ends."""
        found: list[str] = []
        end = at
        while True:
            at = self._past_fillers(at)
            thing, after = self._thing(at)
            if thing is None or (found and self._words.negation.match(self._text, self._past_space(after))):
                break
            found.append(thing)
            end = after
            joint = self._words.joins.match(self._text, after)
            if joint is None or not self._goes_on(joint):
                break
            at = joint.end()
        return tuple(found), end

    def _goes_on(self, joint: re.Match[str]) -> bool:
        """A comma goes on only where an "or" follows: "no horror, war or zombies"."""
        again = self._words.negation.match(self._text, self._past_space(joint.end()))
        if again is not None:
            return False
        if joint[0].strip() not in (",", "，", "/"):
            return True
        rest = self._text[joint.end() : joint.end() + 40]
        clause = re.split(r"[.;!?。；！？]", rest)[0]
        return (
            joint[0].strip() == "/"
            or re.match(r"\s*[\w'-]+(?:\s[\w'-]+)?,?\s(?:or|nor)\s", clause) is not None
        )

    def _past_space(self, at: int) -> int:
        while at < len(self._text) and self._text[at].isspace():
            at += 1
        return at

    def _past_fillers(self, at: int) -> int:
        while (match := self._words.fillers.match(self._text, at)) is not None:
            # "No more Matrix": the word is a filler only where something follows it.
            if match.end() >= len(self._text) or self._blocked(match.end()):
                break
            at = match.end()
        return at

    def _blocked(self, at: int) -> bool:
        at = self._past_space(at)
        return any(first <= at < last for first, last in self._stops)

    def _thing(self, at: int) -> tuple[str | None, int]:
        """One thing and its end; None where nothing stands, or only a quality of degree ("too long")."""
        quoted = _QUOTE.match(self._text, at)
        if quoted is not None:
            return quoted[1].strip(), quoted.end()
        at = self._past_space(at)
        if (title := self._titles.get(at)) is not None:
            return self._text[at:title], title
        known = self._known(at)
        if known is not None:
            value, end = known
            return value, self._past_generic(end)
        thing, end = (
            self._words_in_english(at) if self._words.language == "en" else self._words_in_chinese(at)
        )
        if not thing:
            return None, at
        inside = self._inside(thing)
        if inside is not None:
            return inside, end
        bare = self._without_generic(thing)
        if not bare or bare in self._words.pronouns or bare.isdecimal():
            # "I hate 5" speaks of a place in a list.
            return None, at
        if bare in self._words.degrees or bare.split()[0] in self._words.degrees:
            return None, at
        return bare, end

    def _known(self, at: int) -> tuple[str, int] | None:
        """The longest word for a value that begins here."""
        for name in sorted(self._concepts, key=len, reverse=True):
            match = self._words.whole(re.escape(name)).match(self._text, at)
            if match is not None and self._ends_at(match.end()):
                return self._concepts[name], match.end()
        return None

    def _ends_at(self, at: int) -> bool:
        """Chinese: the word is not the beginning of a longer one (恋爱, but not 恋爱脑)."""
        if self._words.language == "en" or at >= len(self._text) or self._text[at].isspace():
            return True
        patterns = (
            _STOP,
            self._words.generic_before,
            self._words.joins,
            self._words.ends,
            self._words.negation,
        )
        return self._blocked(at) or any(pattern.match(self._text, at) for pattern in patterns)

    def named_last(self, text: str) -> str | None:
        """The value that a stretch of Chinese ends with; None in English, where other words stand last."""
        return self._inside(text.strip()) if self._words.language == "zh" else None

    def _inside(self, thing: str) -> str | None:
        """ "gory slashers" is horror, 国产恐怖片 too; 恋爱脑 is no romance."""
        if self._words.language == "zh":
            bare = self._without_generic(thing)
            ends = [name for name in self._concepts if len(name) > 1 and bare.endswith(name)]
            return self._concepts[max(ends, key=len)] if ends else None
        return next(
            (self._concepts[part] for part in reversed(thing.split()) if part in self._concepts), None
        )

    def _past_generic(self, end: int) -> int:
        while (match := self._words.generic_before.match(self._text, end)) is not None:
            end = match.end()
        return end

    def _without_generic(self, thing: str) -> str:
        while (match := self._words.generic.search(thing)) is not None and match.start() >= 0:
            shorter = thing[: match.start()].strip()
            if shorter == thing:
                break
            thing = shorter
        return thing

    def _words_in_english(self, at: int) -> tuple[str, int]:
        begun, end, count = at, at, 0
        while count < MAX_WORDS:
            if _STOP.match(self._text, end) or self._blocked(end):
                break
            if self._words.ends.match(self._text, end) or self._words.joins.match(self._text, end):
                break
            if count and self._words.negation.match(self._text, self._past_space(end)):
                break
            match = _WORD.match(self._text, end)
            if match is None:
                break
            end, count = match.end(), count + 1
        return self._text[begun:end].strip(), end

    def _goes_on_behind(self, at: int) -> bool:
        """没有成龙的功夫片 rules out 成龙; what follows is wished for, unless it only says "films"."""
        stops = at >= len(self._text) or _STOP.match(self._text, at) is not None
        return not stops and self._words.generic_before.match(self._text, at) is None

    def _words_in_chinese(self, at: int) -> tuple[str, int]:
        end = at
        while end < len(self._text) and end - at < 2 * MAX_WORDS:
            if _STOP.match(self._text, end) or self._blocked(end) or self._text[end].isspace():
                break
            if self._words.joins.match(self._text, end) or (
                end > at and self._words.ends.match(self._text, end)
            ):
                break
            if end > at and self._words.negation.match(self._text, end):
                break
            if self._words.ends.match(self._text, end):
                break
            if self._text[end] == "的" and end > at and self._goes_on_behind(end + 1):
                break
            end += 1
        return self._text[at:end], end
