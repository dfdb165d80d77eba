"""What the literature measures of explanation texts: overlap with a reference, variety, length, readability.

None of these figures looks at truth. An invented reason in the words of the reference beats a true one in
other words, so they stand beside a check of facts, never in its place.

sacrebleu and rouge-score belong to the extra ``eval`` and are imported on first use; neither downloads
anything. textstat is not used: it fetches a pronouncing dictionary, so syllables are counted by a rule here.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tastemaker.agent.verify_lexicon import words_of
from tastemaker.errors import MissingExtraError
from tastemaker.types import Language

if TYPE_CHECKING:
    from sacrebleu.metrics.bleu import BLEU

ROUGE_KINDS = ("rouge1", "rouge2", "rougeL")
MASK = "\N{OBJECT REPLACEMENT CHARACTER}"
"""Stands for masked names and numbers in a skeleton."""

# 1990, 1,000, 4.5, 1990s, $9.99; not "7th".
_NUMBER = re.compile(r"[^\w\s]?\s?\d[\d.,]*s?")
# A full stop inside "4.5" ends nothing; a Chinese one needs no space behind it.
_SENTENCE_END = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s|$)|[。！？]+")
_VOWELS = re.compile(r"[aeiouy]+")
# Silent at the end of a word: plain e (not the -le of "table"), -es and -ed except where they are spoken.
_SILENT_END = re.compile(
    r"(?:[^aeiouyl]|[aeiouy]l)e$|[^aeiouytd]ed$|(?:[^aeiouylcgsxz]|[aeiouy]l)(?<!ch)(?<!sh)es$"
)


@dataclass(frozen=True, slots=True)
class Readability:
    """Flesch's figures of English texts, all texts read as one.

    ``reading_ease`` (Flesch 1948) is 206.835 - 1.015 words/sentences - 84.6 syllables/words: 60 to 70 is
    plain English, higher is easier, at most 121.2, without a lower end. ``grade`` (Kincaid et al. 1975) is
    0.39 words/sentences + 11.8 syllables/words - 15.59, in years at a US school, at least -3.4.
    """

    reading_ease: float
    grade: float


def words(text: str) -> list[str]:
    """Words in small letters, without punctuation, cut as the verifier cuts them.

    Each Chinese character is a word, and so is what follows an apostrophe:
    ``"It's 想看 Se7en!"`` -> ``["it", "'s", "想", "看", "se7en"]``.
    """
    return [word.casefold() for word in words_of(text)]


def mean_words(texts: Sequence[str]) -> float:
    """Mean length in ``words``, so a Chinese text counts its characters; from 0 up."""
    return sum(len(words(text)) for text in _some(texts)) / len(texts)


def bleu(
    texts: Sequence[str], references: Sequence[str], *, order: int = 4, language: Language = "en"
) -> float:
    """Corpus BLEU-``order`` of ``texts`` against one reference each, 0 to 100 (Papineni et al. 2002).

    The geometric mean of the clipped n-gram precisions for n = 1 .. ``order``, counted over the whole corpus,
    times min(1, exp(1 - reference length / length)). By sacrebleu (Post 2018): words of its tokenizer ``13a``
    (``zh`` for Chinese), case kept, an order without any hit smoothed by ``exp``. ``bleu_signature`` says so
    in its notation.

    Raises:
        MissingExtraError: sacrebleu is not installed.
    """
    _paired(texts, references)
    return float(_bleu(order, language).corpus_score(list(texts), [list(references)]).score)


def bleu_signature(*, order: int = 4, language: Language = "en") -> str:
    """How ``bleu`` counts, as sacrebleu writes it, with its version, to stand beside a figure.

    Raises:
        MissingExtraError: sacrebleu is not installed.
    """
    metric = _bleu(order, language)
    metric.corpus_score(["a"], [["a"]])  # it knows its number of references only after a score
    return f"order:{order}|{metric.get_signature()}"


def _bleu(order: int, language: Language) -> BLEU:
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError as error:
        raise MissingExtraError(package="sacrebleu", extra="eval") from error
    # Our texts are never tokenized; the guess that they are would only write a warning.
    return BLEU(max_ngram_order=order, tokenize="zh" if language == "zh" else "13a", force=True)


def rouge(texts: Sequence[str], references: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """F1 of ROUGE-1, ROUGE-2 and ROUGE-L per text (n,), each 0 to 1 (Lin 2004); their mean is what is quoted.

    With m the n-grams in common (ROUGE-L: the length of the longest common subsequence of words), P = m /
    those of the text and R = m / those of the reference, F1 = 2PR / (P + R). By rouge-score, Google's
    version, without stemming, each text as one sentence. Words are those of ``words``, for rouge-score's own
    rule drops everything but a-z and 0-9 and so leaves nothing of a Chinese text.

    Raises:
        MissingExtraError: rouge-score is not installed.
    """
    _paired(texts, references)
    try:
        from rouge_score.rouge_scorer import RougeScorer
        from rouge_score.tokenizers import Tokenizer
    except ImportError as error:
        raise MissingExtraError(package="rouge-score", extra="eval") from error

    class Words(Tokenizer):  # type: ignore[misc]
        def tokenize(self, text: str) -> list[str]:
            return words(text)

    scorer = RougeScorer(list(ROUGE_KINDS), tokenizer=Words())
    scores = [scorer.score(reference, text) for text, reference in zip(texts, references, strict=True)]
    return {kind: np.array([score[kind].fmeasure for score in scores]) for kind in ROUGE_KINDS}


def unique_sentence_ratio(texts: Sequence[str]) -> float:
    """USR: distinct texts / texts, above 0 to 1 (Li et al. 2020, NETE); 1 means that no text was given twice.

    Texts are the same when they differ in white space only. One name more or less makes another text, so a
    template with a title in it comes near 1: see ``skeleton_repeat_rate``.
    """
    return len({" ".join(text.split()) for text in _some(texts)}) / len(texts)


def distinct(texts: Sequence[str], n: int) -> float:
    """distinct-n: different n-grams of all texts / words of all texts, 0 to 1 (Li et al. 2016).

    The denominator is the number of words, as in the paper, for every n; programs that divide by the number
    of n-grams give a little more for n > 1. It falls as texts are added: compare equally many texts only. 0
    without any word.
    """
    counted = [words(text) for text in _some(texts)]
    found = {tuple(one[i : i + n]) for one in counted for i in range(len(one) - n + 1)}
    return len(found) / max(1, sum(map(len, counted)))


def readability(texts: Sequence[str]) -> Readability | None:
    """How hard English texts are to read; None without any word in Latin letters, for there is no formula.

    Sentences end at . ! ? or … before a space or the end, so that an abbreviation ends one too; what follows
    the last end is one more. Words of other scripts and numbers are not counted. Syllables: ``syllables``.
    """
    counted = [word for text in _some(texts) for word in words(text) if _latin(word)]
    if not counted:
        return None
    sentences = sum(_sentences(text) for text in texts)
    long, heavy = len(counted) / sentences, sum(map(syllables, counted)) / len(counted)
    return Readability(206.835 - 1.015 * long - 84.6 * heavy, 0.39 * long + 11.8 * heavy - 15.59)


def _sentences(text: str) -> int:
    return sum(any(map(_latin, words(part))) for part in _SENTENCE_END.split(text))


def _latin(word: str) -> bool:
    # "'s" and "'t" belong to the word before them.
    return not word.startswith("'") and any("a" <= letter <= "z" for letter in _plain(word))


def syllables(word: str) -> int:
    """Runs of vowels (a e i o u y, accents dropped), less a silent final e, -es or -ed; at least 1.

    A rule, not a dictionary: "being" has one run, so one syllable too few. Of the running words of XRec's
    Yelp references it counts 93 % as the CMU dictionary does, and .02 too few per word on average, which
    makes the reading ease 1.7 too high.
    """
    plain = _plain(word.casefold())
    # The e of "café" is spoken: only one that is written without accent falls silent.
    silent = _SILENT_END.search(plain) is not None and word[-1:].isascii()
    return max(1, len(_VOWELS.findall(plain)) - silent)


def _plain(word: str) -> str:
    return "".join(
        letter for letter in unicodedata.normalize("NFKD", word) if not unicodedata.combining(letter)
    )


def skeleton(text: str, names: Iterable[str]) -> str:
    """The words of ``text`` with ``MASK`` for every run of ``names`` and numbers, joined by blanks.

    Names are found as whole ``words`` in any case, the longest first from left to right, so that "Alien" is
    not found in "Aliens". A number is one in digits (1990, 4.5, 1990s, $9.99). Names and numbers with
    nothing but punctuation between them are one run: "Heat (1995)" is as good as "Heat". The article "an" is
    written "a", for it follows the name.

    >>> skeleton("It's an action film, like Heat (1995).", ["Action", "Heat"]).replace(MASK, "_")
    "it 's a _ film like _"
    """
    wanted = {tuple(words(name)) for name in names} - {()}
    lengths = sorted({len(name) for name in wanted}, reverse=True)
    told, kept, at = words(text), [], 0
    while at < len(told):
        length = next((n for n in lengths if tuple(told[at : at + n]) in wanted), 0)
        if not length and not _NUMBER.fullmatch(told[at]):
            kept.append("a" if told[at] == "an" else told[at])
        elif kept[-1:] != [MASK]:
            kept.append(MASK)
        at += length or 1
    return " ".join(kept)


def skeleton_repeat_rate(texts: Sequence[str], names: Sequence[Iterable[str]], users: Sequence[str]) -> float:
    """Share of texts that another user was given too, with at most the names changed; 0 to 1.

    A text counts when its ``skeleton`` (of ``names[i]``) is that of a text of another user than ``users[i]``:
    both of two alike count, and what one user alone is told twice does not. Whole texts are compared; for a
    rate of sentences, hand over sentences.

    A reader may see more repeats than are counted: what else a text quotes, such as a wish, is masked only
    when listed, two names joined by a word are not one name, and a title that is a common word ("It") is
    masked wherever that word stands. The rate rises as texts are added: it goes with a number of texts.
    """
    _paired(texts, names)
    _paired(texts, users)
    skeletons = [skeleton(text, some) for text, some in zip(texts, names, strict=True)]
    told: dict[str, set[str]] = defaultdict(set)
    for one, user in zip(skeletons, users, strict=True):
        told[one].add(user)
    return sum(len(told[one]) > 1 for one in skeletons) / len(texts)


def _some(texts: Sequence[str]) -> Sequence[str]:
    if not texts:
        raise ValueError("there is no text to measure")
    return texts


def _paired(texts: Sequence[str], others: Sequence[object]) -> None:
    if len(_some(texts)) != len(others):
        raise ValueError(f"{len(texts)} texts cannot be paired with {len(others)} references, names or users")
