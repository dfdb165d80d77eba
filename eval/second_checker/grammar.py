"""How the two languages put a claim, as patterns over masked sentences (``second_mask``)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tastemaker.eval.second_checker.words import FUNCTION_WORDS, NEUTRAL_WORDS, NOUNS

REF = r"‹[it]\d*›"
GROUP = rf"(?:both )?{REF}(?:(?:\s*(?:,|and|or|、|和|与|跟|以及|还有))+\s*(?:the |your )?{REF})*"
FACT = r"‹[gydp]\d+›"

Pattern = re.Pattern[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grammar:
    """The patterns of one language; all are searched in lower-case text with tags."""

    clause_break: Pattern
    user: Pattern
    stances: Sequence[tuple[str, Pattern]]
    hope: Pattern
    wish: Pattern
    target_verb: Pattern
    target_said: Pattern
    like: Pattern
    unlike: Pattern
    both: Pattern
    another: Pattern
    apposition: Pattern
    negation: Pattern
    ellipsis: Pattern
    ratings: Sequence[Pattern]
    top_rating: Pattern
    high_rating: Pattern
    times: Pattern
    recently: Pattern
    counted: Pattern
    comparison: Pattern
    between: Pattern
    shared_count: Pattern
    years_apart: Pattern
    singular: Pattern
    behind: Pattern
    which: Pattern
    vague_comparison: Pattern
    shared: Pattern
    alike: Pattern
    residue: Sequence[Pattern]
    known: frozenset[str]


def words(*alternatives: str) -> Pattern:
    return re.compile(rf"\b(?:{'|'.join(alternatives)})\b")


_YOU = (
    r"(?:\byou|\bwho|\band|\bbut|\bor)(?: (?:have|had|also|both|really|truly"
    r"|recently|once|just|previously|already|"
    r"clearly|often|usually|tend to|seem to|seemed to|did|do|not|never|can|could|gave|may|might|much|very|"
    r"absolutely|particularly|especially|generally|all|ever|only|thoroughly|would have"
    r"|probably|say|said|that))*"
)

ENGLISH = Grammar(
    clause_break=re.compile(
        r"\s*[;:–—]\s*|\s+-\s+|\s*,\s*|\s+(?="
        r"(?:because|since|but|while|whereas|although|though|given that|which|even though)\b"
        r"|who\b(?=.*\b(?:directed|made|starred|wrote|stars|also)\b)"
        r"|so (?:you|we|it|is|was|‹|that)"
        r"|(?:for|as) (?:someone|anyone|those|a (?:fan|viewer|person)) who"
        r"|as (?:you|it|‹[it]\d*› (?:is|was)|both|well as you)"
        rf"|and (?:so|you|it|both|we|this is|these are|{REF} (?:{NOUNS} )?(?:is|was"
        r"|has|costs|came|shares|belongs|‹g)))"
    ),
    user=re.compile(r"\b(?:you|your)\b|\b(?:someone|anyone) who\b"),
    stances=(
        ("disliked", re.compile(r"\b(?:dislik\w+|hat(?:e|ed)|could not stand)\b")),
        (
            "loved",
            re.compile(
                r"\b(?:(?:really|truly|absolutely|thoroughly|greatly) (?:liked?|enjoyed?)"
                r"|lov(?:e|ed|ing)|ador(?:e|ed))\b"
            ),
        ),
        (
            "liked",
            re.compile(
                rf"{_YOU} (?:liked?|enjoy(?:ed)?|appreciated?)\b|\b(?:liked|enjoyed|enjoying"
                r"|appreciated|prefer(?:red)?|fond of"
                r"|fan of|care(?:d)? for|liking for|taste for|interest in|interested in|enjoyment of"
                r"|love for|to your taste)\b"
            ),
        ),
        ("rated", re.compile(r"\b(?:rat(?:ed|ings?|e)|scor(?:ed?|ing|es)|gave|given|give|awarded|stars?)\b")),
        ("bought", words("bought", "buy", "purchased?", "ordered", "own", "owned", "purchases?")),
        ("viewed", words("viewed", "looked at", "clicked(?: on)?", "browsed", "checked out")),
        ("watched", words("watched", "saw", "seen", "watching")),
        ("read", words("read", "reading")),
        ("listened", words("listened to", "heard", "played")),
        ("saved", words("saved", "added to your cart")),
        ("met", words("chose", "chosen", "picked", "had", "tried", "finished")),
    ),
    hope=re.compile(
        r"\byou (?:might|may|could|would|should|can|will)(?: (?:also|well|just|really"
        r"|probably|then|find|want to|as well|"
        r"be|interested|in|not|too|equally|surely|very|go on to))* (?:like|enjoy"
        r"|love|appreciate|watch|try|read|see|consider|give|"
        r"pick|find|prefer)\b|\byou (?:might|may|could) (?:be )?interest\w*(?: in)?"
    ),
    wish=re.compile(
        r"\b(?:you (?:have |had |also )?(?:asked(?: for)?|want(?:ed)?|wish(?:ed)?(?: for)?"
        r"|request(?:ed)?|(?:are|were) "
        r"(?:looking|searching|hoping|asking) for|(?:are|were) in the mood for|need(?:ed)?"
        r"|(?:are|were) after|"
        r"told us|said|feel like|felt like)|your (?:wish|request|query|search)(?: (?:for|was|is|of))?)\b"
    ),
    target_verb=re.compile(
        r"\b(?:recommend|suggest|picked|pick|chose|try|here is|watch|consider)(?:ing)? (?:you "
        rf")?(?:the )?(?P<refs>{GROUP})"
    ),
    target_said=re.compile(
        r"\b(?:is|are|was) (?:\w+ )?(?:recommended|suggested)\b|\bworth (?:a|your"
        r"|trying|watching|seeing)\b|\b(?:might|may|could|should|would) (?:also "
        r"|well )?"
        r"(?:suit|appeal|interest|be)\b|\b(?:good|natural|great|nice|fine) (?:\w+ )?(?:pick"
        r"|choice|match|fit|option|suggestion)\b"
        r"|\bfor you\b"
    ),
    like=re.compile(
        r"(?:(?<!nothing )\b(?:just |much |exactly |very much )?(?:like|as with|similarly to|alongside"
        rf"|as is|as are)) (?:the |your )?(?P<refs>{GROUP})(?: you \w+)?"
    ),
    unlike=re.compile(rf"\b(?:unlike|in contrast to|different from|compared to) (?:the )?(?P<refs>{GROUP})"),
    both=re.compile(
        r"\b(?<!to )(?<!with )(?<!than )(?<!like )(?<!of )(?:both|the 2|these 2|all 3"
        r"|they|together)\b"
    ),
    another=re.compile(r"\b(?:another|(?<![\d.])(?P<n>\d+) (?:other|more)(?! than))\b"),
    apposition=re.compile(
        r"^(?:(?:which|who|that)\b|(?:also |itself |both |all )*(?:a|an|another|one of"
        r"|\d+(?: other)?|the)\b)"
    ),
    negation=re.compile(
        r"\b(?:not(?! only)|never|no(?! doubt)|neither|nor|without|hardly|nothing"
        r"|none|instead of|rather than|lacks?|far from|left|avoid(?:ed|ing)?|exclud\w+"
        r"|skip(?:ped|ping)?)\b"
    ),
    ellipsis=re.compile(
        r"^(?:(?:and|but|while|whereas|though|although|as|,) ?)*(?:so (?:is|was|does"
        rf"|did|are|has) (?P<a>{GROUP})(?: one)?|"
        rf"(?P<b>{GROUP}) (?:\w+ )?(?:is|was|does|did|are|has)(?P<no> not)?(?: one"
        r"| too| as well| also| either| such| just that| exactly that| (?:a )?film)*)[.!]?$"
    ),
    ratings=(
        re.compile(r"(?P<v>\d+(?:\.\d+)?)(?:[ -]stars?)? (?:out )?of (?P<max>\d+)"),
        re.compile(r"(?P<v>\d+(?:\.\d+)?) ?/ ?(?P<max>\d+)"),
        re.compile(r"(?P<v>\d+(?:\.\d+)?)[ -]?(?:stars?|points?)\b"),
        re.compile(
            r"(?:rat(?:ed|ing)|scored?|gave)(?: it| of)?(?: (?:a|an))? (?:‹t\d+› )?(?:at "
            r"|with |as )?(?:a |an )?(?P<v>\d+(?:\.\d+)?)(?![\d›]| [a-z]+ (?:films|times))"
        ),
    ),
    top_rating=re.compile(
        r"\b(?:top|highest|full|perfect|maximum|best)(?: possible)? (?:ratings?|marks?"
        r"|scores?|stars|points)"
    ),
    high_rating=re.compile(
        r"\b(?:(?:so |very |quite )?(?:high(?:ly)?|well|positively)|high (?:rating"
        r"|score|mark)s?|good (?:rating|mark)s?)\b"
    ),
    times=re.compile(
        r"\b(?:(?P<once>once)|(?P<twice>twice)|(?P<n>\d+) times|(?P<many>again and again"
        r"|many times|repeatedly|often|several times|more than once|over and over))\b"
    ),
    recently=re.compile(
        r"\b(?:(?P<recently>recently|lately|just now|(?:most )?recent)|(?P<yesterday>yesterday"
        r"|today|last night)|last (?P<week>week)|last (?P<month>month)"
        r"|last (?P<year>year)|(?P<ago>\w+ ?(?:hours|days|weeks|months|years|day"
        r"|week|month|year) ago)|(?P<last>last)(?= (?:film|time|watched|thing)))\b"
    ),
    counted=re.compile(
        r"\b(?P<n>\d+)(?: of (?:the|your)(?: \d+)?)?(?: (?:other|more|of your|different))*"
        rf"(?P<what>(?:[ ,]|and|‹[gpd]\d+›)*)(?: ?{NOUNS}\b| ?‹g)"
    ),
    comparison=re.compile(
        r"\b(?:(?P<year_up>(?:newer|more recent|later|younger)(?: than)|(?:came|out"
        r"|released|made|appeared|years?|published)(?: (?:both|out|also))* (?:after"
        r"|later than)|follows)"
        r"|(?P<year_down>(?:older|earlier)(?: than)|(?:came|out|released|made|appeared"
        r"|years?|published)(?: (?:both|out|also))* (?:before|earlier than)|predates?"
        r"|precedes?)"
        r"|(?P<price_up>more expensive than|pricier than|dearer than|costs? (?:[\d.$]+ )?more "
        r"than|(?:is|which is) more than|higher in price than)"
        r"|(?P<price_down>cheaper than|less expensive than|costs? (?:[\d.$]+ )?less than"
        r"|(?:is|which is) less than)"
        r"|(?P<year_new>as (?:new|recent) as)|(?P<year_old>as old as)"
        r"|(?P<length_up>longer than)|(?P<length_down>shorter than)"
        r"|(?P<count_up>more popular than)|(?P<count_down>less popular than))"
        rf" (?:both )?(?:the price of )?(?:the |your )?(?P<refs>{GROUP})?"
    ),
    between=re.compile(rf"\bbetween (?P<refs>{GROUP})"),
    shared_count=re.compile(r"\b(?P<n>\d+) (?:\w+ )?(?:genres|categories|tags)"),
    years_apart=re.compile(
        r"(?P<n>\d+|a|one) (?:full )?years? (?:newer|older|after|before|later|earlier)"
        r"|by (?P<by>\d+|a|one) years?"
    ),
    singular=re.compile(rf"\b(?:an?|one|another) (?:‹[gpyd]\d+›[ -]*)+(?:{NOUNS}\b)?"),
    behind=re.compile(
        r"(?P<ref>‹t\d+›) (?:which |that )?"
        r"(?P<verb>you (?:have |had |also |once |recently )*\w+(?: (?:so )?highly)?)$"
    ),
    which=re.compile(r"^(?:which|that|one) you\b"),
    vague_comparison=re.compile(
        r"\b(?:(?!rather|other)\w{3,}er|better|more \w+|less \w+|worse) than\b|\bas (?!new "
        r"|old |recent |well|much|soon|far|long)\w+ as(?= (?:the )?‹[it])"
    ),
    shared=re.compile(
        r"\b(?:the |its |their )?(?:same|shares?|sharing|shared|in common|common|by the|also by the)\b"
        r"(?:(?:[^‹]|‹i›)*?\b(?P<aspect>directors?|genres?|brands?|maker|year|decade|authors?"
        r"|actors?|cast|artists?|stars?|era))?"
    ),
    alike=re.compile(
        r"\b(?P<no>nothing like|not similar to|dissimilar to)? ?(?:(?:similar|akin"
        rf"|close|comparable) to|resembles|in the (?:vein|style|spirit) of)? ?(?P<refs>{GROUP})"
    ),
    residue=(
        re.compile(rf"(?P<w>[a-z][a-z'-]+)(?: and (?P<v>[a-z][a-z'-]+))?(?=[ -](?:‹g\d+›|{NOUNS}\b))"),
        re.compile(
            r"\b(?:is|are|was|were|looks?|feels?|seems?|sounds?) (?:(?:not|a|an|also"
            r"|both|very|so|really|truly|quite|too|just|even|\w+ly) )*"
            r"(?P<w>[a-z][a-z'-]+)(?: and (?P<v>[a-z][a-z'-]+))?"
        ),
        re.compile(
            r"\b(?:has|have|with|without|features?|featuring|offers?|full of|includes?"
            r"|contains?|provides?|delivers?|about|for) "
            r"(?:(?:a|an|the|its|some|all|lots of|great|both|more|any|no|your|very|\w+ly) )*(?P<w>"
            r"[a-z][a-z'-]+)(?: and (?P<v>[a-z][a-z'-]+))?"
        ),
        re.compile(r"^(?P<w>[a-z]{3,}) (?P<v>[a-z]+(?:s|ed))(?= )"),
        re.compile(
            rf"(?:^|{REF} |^(?:and|but|so|,) )(?:\w+ly |also |even )?(?P<w>[a-z][a-z'-]+(?:s"
            r"|ed))(?= (?!of\b))"
        ),
    ),
    known=FUNCTION_WORDS | NEUTRAL_WORDS,
)
