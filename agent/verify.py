"""The verifier: does every sentence of an explanation rest on the data?

It trusts no writer. A sentence is supported only if each of its words is licensed: by the item's title,
attributes and genres; by cited evidence that itself stands in the request's history; by the request's
context and wish; or by a closed vocabulary that claims nothing. Everything that ties things together
("you liked", "newer than", "both", "directed by") must match a known pattern and pass its check against
catalogue and history. What is not understood is not supported: the verifier errs towards cutting.

Negated, compared and superlative claims, names, numbers and qualities that no pattern covers fail for the
same reason: their words are not in the vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tastemaker.agent.verify_checks import Sentence
from tastemaker.agent.verify_compare import ALL_CHECKS
from tastemaker.agent.verify_facts import Catalogue, Cited, Licence, build_licence
from tastemaker.agent.verify_lexicon import Lexicon, load_lexicon, number
from tastemaker.agent.verify_scan import PhraseTable, Scanner, Token, known_titles
from tastemaker.types import Evidence, Item, Language, Request

MAX_CHARS = 4_000
"""A longer text is no explanation and is unsupported as a whole."""

_STOPS = ".!?。！？"
_QUOTES = {'"': '"', "《": "》", "「": "」", "『": "』", "«": "»"}
_CLOSERS = frozenset(_QUOTES.values())
_SILENT = frozenset(".,;:!?()[]-'…*。，、；：！？（）·\"《》「」『』«»")
_MASKS = "IHGAYDNPCTWV"
_CLAIMS = "HGAYDPCTWV"
_OF_OTHERS = frozenset(
    {"taste", "taste_by_example", "wish", "genres_of_history", "facts_of_history", "liked_genres"}
)
"""Checks that say a genre of the user, the wish or a past item, not of the item."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A sentence of the text. ``reason`` says why it is not supported; empty where it is.

    ``claims`` counts the facts, past items, context and wish words in it: 0 for empty phrases.
    """

    text: str
    supported: bool
    reason: str = ""
    claims: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """All sentences of a text, in order; joined they give the text without its outer white space."""

    statements: tuple[Statement, ...]

    @property
    def supported(self) -> bool:
        """True when there is something, and all of it is supported."""
        return bool(self.statements) and all(one.supported for one in self.statements)


class Verifier:
    """Checks texts about items of one catalogue.

    Args:
        catalogue: items by id, for the facts of past items.
        titles: every title that the catalogue holds, so that naming another one is noticed.
        domain: name or folder of a domain pack; says which nouns and verbs are true of an item.
    """

    def __init__(self, *, catalogue: Catalogue, titles: Iterable[str], domain: str = "generic") -> None:
        self._catalogue = catalogue
        self._domain = domain
        self._known: PhraseTable = known_titles(titles)

    def verify(
        self, text: str, *, item: Item, request: Request, evidence: Sequence[Evidence], language: Language
    ) -> Verdict:
        """Judge every sentence of ``text``, which explains why ``item`` answers ``request``."""
        if len(text) > MAX_CHARS:
            return Verdict(statements=(Statement(text=text.strip(), supported=False, reason="too long"),))
        lexicon = load_lexicon(language, self._domain)
        licence = build_licence(
            item,
            request,
            evidence,
            catalogue=self._catalogue,
            domain=self._domain,
            liking_events=lexicon.liking_events,
        )
        tokens = Scanner(lexicon, self._known).scan(text, licence)
        statements = []
        for start, end, found in _sentences(text, tokens):
            reason = _judge(found, licence, lexicon)
            statements.append(
                Statement(
                    text=text[start:end].strip(),
                    supported=reason is None,
                    reason=reason or "",
                    claims=sum(token.kind in _CLAIMS for token in found),
                )
            )
        return Verdict(statements=tuple(statements))


def _sentences(text: str, tokens: Sequence[Token]) -> Iterator[tuple[int, int, list[Token]]]:
    """Start, end and tokens of each sentence. Stops inside recognised titles do not count."""
    start, current = 0, list[Token]()
    for position, token in enumerate(tokens):
        following = tokens[position + 1] if position + 1 < len(tokens) else None
        between = text[token.end : following.start if following is not None else len(text)]
        ends_here = _ends_sentence(text, token, following) or "\n" in between
        current.append(token)
        if ends_here:
            yield start, token.end, current
            start, current = token.end, []
    if current:
        yield start, len(text), current


def _ends_sentence(text: str, token: Token, following: Token | None) -> bool:
    if following is None:
        return True
    if (
        following.kind == "punct"
        and following.text in _STOPS + ")）" + "".join(_CLOSERS)
        and (following.start == token.end)
    ):
        return False
    closes = token.kind == "punct" and (token.text in _STOPS or token.text in _CLOSERS)
    if not closes:
        return False
    stop = token.end - 1 if token.text in _STOPS else token.start - 1
    if stop < 0 or text[stop] not in _STOPS:
        return False
    return text[stop] in "。！？" or text[token.end : token.end + 1].isspace()


def _judge(tokens: Sequence[Token], licence: Licence, lexicon: Lexicon) -> str | None:
    """The first reason why a sentence is not supported, or None."""
    for token in tokens:
        if token.kind == "X":
            return token.value
        if token.kind == "punct" and token.text not in _SILENT:
            return f"the character {token.text!r}"
    quoted = _bad_quote(tokens)
    if quoted is not None:
        return f"{quoted!r} is quoted but is no title or wish"
    meant = tuple(token for token in tokens if token.kind != "punct" or token.text in ",;:-，、；：")
    sentence = Sentence(tokens=meant, licence=licence, lexicon=lexicon)
    if not any(token.kind != "punct" for token in meant):
        return "no words"
    covered: dict[int, str] = {}
    reason = _check_relations(sentence, covered)
    return (
        reason
        or _check_rest(sentence, covered)
        or _check_sharing(sentence, covered)
        or _check_echo(sentence, covered)
        or _check_cause(sentence, covered)
    )


def _bad_quote(tokens: Sequence[Token]) -> str | None:
    """The first quoted passage that is not wholly made of recognised things."""
    position = 0
    while position < len(tokens):
        closer = _QUOTES.get(tokens[position].text) if tokens[position].kind == "punct" else None
        position += 1
        if closer is None:
            continue
        inside = []
        while position < len(tokens) and tokens[position].text != closer:
            inside.append(tokens[position])
            position += 1
        position += 1
        if not inside or any(token.kind == "word" for token in inside):
            return " ".join(token.text for token in inside)
    return None


def _skeleton(tokens: Sequence[Token]) -> tuple[str, list[int]]:
    """The sentence with masks in place of what was recognised, and the offset of each token in it."""
    parts, offsets, length = [], [], 0
    for position, token in enumerate(tokens):
        part = f"<{token.kind}{position}>" if token.kind in _MASKS else token.text.casefold()
        offsets.append(length)
        parts.append(part)
        length += len(part) + 1
    return " ".join(parts), offsets


def _check_relations(sentence: Sentence, covered: dict[int, str]) -> str | None:
    """Check all relations in order; collect the tokens they account for, with the name of the check."""
    skeleton, offsets = _skeleton(sentence.tokens)
    for relation in sentence.lexicon.relations:
        for found in relation.pattern.finditer(skeleton):
            span = [i for i, offset in enumerate(offsets) if found.start() <= offset < found.end()]
            if covered.keys() >= set(span):
                continue
            reason = ALL_CHECKS[relation.check](sentence, span)
            if reason is not None:
                return reason
            # People and makers stay to be checked as facts, by the word that introduces them.
            covered.update(
                {
                    i: relation.check
                    for i in span
                    if sentence.tokens[i].kind != "A" or relation.check == "maker"
                }
            )
    for forbidden in sentence.lexicon.forbidden:
        for found in forbidden.pattern.finditer(skeleton):
            span = [i for i, offset in enumerate(offsets) if found.start() <= offset < found.end()]
            if forbidden.always or not covered.keys() >= set(span):
                return forbidden.reason
    return None


def _check_rest(sentence: Sentence, covered: Mapping[int, str]) -> str | None:
    """What no relation covers must be neutral, or a fact of the item."""
    allowed = sentence.lexicon.nouns
    for position, token in enumerate(sentence.tokens):
        if position in covered or token.kind in ("I", "T", "punct"):
            continue
        if token.kind == "word":
            if token.value != "neutral" and token.text.casefold() not in allowed:
                return f"{token.text!r} is not supported"
        elif token.kind in "HWVCN":
            return f"what is said with {token.text!r} is not understood"
        else:
            reason = _check_fact(sentence, position, token)
            if reason is not None:
                return reason
    return None


def _check_fact(sentence: Sentence, position: int, token: Token) -> str | None:
    """A genre, year, decade, price or attribute that is said of the item."""
    item = sentence.licence.item
    if token.kind == "G":
        holds = token.value in item.genres
    elif token.kind == "Y":
        holds = item.year == int(token.value)
    elif token.kind == "D":
        holds = item.year is not None and item.year // 10 * 10 == int(token.value)
    elif token.kind == "P":
        holds = _equal(item.attributes.get("price"), token.value)
    else:
        holds = _cue_agrees(sentence, position, token.value)
    return None if holds else f"{token.text!r} is not true of {item.display_title}"


def _equal(price: object, said: str) -> bool:
    return isinstance(price, (int, float)) and abs(price - number(said)) < 0.005


def _cue_agrees(sentence: Sentence, position: int, attribute: str) -> bool:
    """A person or maker must be introduced by the word for their part, which must be the attribute's."""
    cues = sentence.lexicon.attribute_cues
    special = frozenset[str]().union(*cues.values())
    for token in (*reversed(sentence.tokens[:position]), *sentence.tokens[position + 1 :]):
        if token.text.casefold() in cues:
            return attribute in cues[token.text.casefold()]
    return attribute not in special


def _check_sharing(sentence: Sentence, covered: Mapping[int, str]) -> str | None:
    """Of "both", "too", "same": facts about the item in such a sentence must hold for past items as well."""
    # "You might like this" is no comparison.
    words = {
        token.text.casefold()
        for position, token in enumerate(sentence.tokens)
        if token.kind == "word" and covered.get(position) != "suggestion"
    }
    past = sentence.past()
    if not past and words & sentence.lexicon.paired:
        past = list(sentence.licence.cited)
        if not past:
            return "nothing is there to share with"
    if not words & sentence.lexicon.sharing:
        return None
    for position, token in enumerate(sentence.tokens):
        if token.kind not in "GYDA" or (position in covered and token.kind != "A"):
            continue
        if position > 0 and sentence.tokens[position - 1].text.casefold() == "these":
            continue  # "these shoes" is a name for the item
        for other in past:
            if not _holds_for(token, other, sentence.licence):
                return f"{token.text!r} is not shared with {other.title}"
    return None


def _holds_for(token: Token, past: Cited, licence: Licence) -> bool:
    if token.kind == "G":
        return token.value in past.genres
    if token.kind == "A":
        own = licence.item.attributes.get(token.value)
        return past.item is not None and past.item.attributes.get(token.value) == own
    return past.year is not None and int(token.value) in (past.year, past.year // 10 * 10)


def _check_echo(sentence: Sentence, covered: Mapping[int, str]) -> str | None:
    """Of "you like comedies, and so is this": without a fact of its own, the item shares what was said."""
    echoes = False
    for position, token in enumerate(sentence.tokens):
        if position in covered:
            continue
        if token.kind in "GYDA":
            return None
        echoes = echoes or (token.kind == "word" and token.text.casefold() in sentence.lexicon.echo)
    if not echoes:
        return None
    own = sentence.licence.item.genres
    for position, check in covered.items():
        token = sentence.tokens[position]
        if check in _OF_OTHERS and token.kind == "G" and token.value not in own:
            return f"{token.text!r} is not true of {sentence.licence.item.display_title}"
        if check == "wish" and token.kind == "V":
            return f"{token.text!r} is not known of {sentence.licence.item.display_title}"
    return None


def _check_cause(sentence: Sentence, covered: Mapping[int, str]) -> str | None:
    """Of "because", "so": everything such a sentence rests on must have been measured to raise the item."""
    said = f" {_skeleton(sentence.tokens)[0]} "
    if not any(f" {cause} " in said for cause in sentence.lexicon.causal):
        return None
    if "taste" in covered.values():
        return "a liking for a genre was not measured"
    if sentence.licence.evidence_of("wish") is None and not any(
        token.kind in "HWVCT" for token in sentence.tokens
    ):
        return "a cause without measured evidence"
    for past in sentence.past():
        if past.influence is None or past.influence <= 0:
            return f"{past.title} was not measured to raise the item"
    return None
