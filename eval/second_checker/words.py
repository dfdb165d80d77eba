"""Words that the second checker knows by itself, beside those of the catalogue and the request.

The lists are open: a word that stands in none of them is ordinary, not wrong.
"""

from __future__ import annotations

import re


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


LABEL_FIELDS = _set(
    "genre genres category categories tag tags type types subject subjects style styles topic topics theme "
    "themes department subcategory keywords colour color shelves"
)
"""Attributes whose values describe what kind of thing an item is."""

LABEL_FORMS: dict[str, str] = {
    "action": "action|动作",
    "adventure": "adventure|adventures|adventurous|冒险|历险",
    "animation": "animation|animations|animated|cartoon|cartoons|anime|动画|动漫",
    "children": "childrens|children|kids|儿童|少儿",
    "comedy": "comedy|comedies|comedic|comic|喜剧|搞笑",
    "crime": "crime|犯罪",
    "documentary": "documentary|documentaries|纪录|记录片",
    "drama": "drama|dramas|dramatic|剧情",
    "family": "family film|family films|family movie|family movies|family|家庭片|合家欢",
    "fantasy": "fantasy|fantasies|奇幻|魔幻",
    "noir": "film noir|films noirs|noir|黑色电影",
    "history": "historical|历史片",
    "horror": "horror|horrors|恐怖",
    "music": "music|音乐片",
    "musical": "musical|musicals|歌舞|音乐剧",
    "mystery": "mystery|mysteries|悬疑|推理",
    "romance": "romance|romances|romantic|love story|爱情|浪漫",
    "sci-fi": "sci fi|science fiction|scifi|sf|科幻",
    "sport": "sport|sports|体育",
    "thriller": "thriller|thrillers|惊悚",
    "war": "war|战争",
    "western": "western|westerns|西部",
    "biography": "biography|biographical|biopic|传记",
}
"""Label key -> its wordings. A catalogue may use any of them."""

ROLES: dict[str, str] = {
    "director": "director",
    "directors": "director",
    "cast": "cast",
    "actor": "cast",
    "actors": "cast",
    "stars": "cast",
    "author": "author",
    "authors": "author",
    "writer": "author",
    "artist": "artist",
    "artists": "artist",
    "composer": "artist",
    "brand": "brand",
    "manufacturer": "brand",
    "maker": "brand",
    "publisher": "publisher",
    "studio": "publisher",
}
"""Attribute name -> the part that its value plays."""

ROLE_WORDS: tuple[tuple[str, str], ...] = (
    ("director", r"direct(?:ed|or|ors|s|ing)|filmmaker|执导|导演"),
    ("cast", r"star(?:s|ring|red)|cast|actors?|actress|featuring|主演|演员|出演"),
    ("author", r"(?:written|authored|penned) by|authors?|writers?|作者|著"),
    ("artist", r"(?:performed|sung|recorded|composed) by|artists?|singers?|bands?|歌手|演唱|作曲"),
    ("brand", r"brands?|(?:made|manufactured|produced) by|maker|manufacturer|品牌|牌子|制造商"),
    ("publisher", r"published by|publisher|studio|出版社"),
)

CREATORS = ("director", "author", "artist", "brand", "publisher")
"""The roles that a bare "by" may mean."""

MEASURES: dict[str, tuple[str, ...]] = {
    "price": ("price", "cost"),
    "length": ("runtime", "duration", "length", "pages", "num_pages", "page_count", "minutes"),
}

FUNCTION_WORDS = _set(
    """a about above after again all also although am an and another any are as at be because been before
    being both but by can could did do does doing done down during each either else ever every few
    for from had has have having he her hers here him his how i if in instead into is it its itself
    just like many me might mine more most much must my neither no nor not now of off on once one
    only onto or other others our ours out over own per perhaps quite rather same shall she should
    since so some something someone somebody somewhat still such than that the their theirs them
    then there these they thing things this those though through to too toward towards two under
    unlike until up upon us very was we well were what when where whereas whether which while who
    whom whose why will with within without would yes yet you your yours yourself three four five
    six seven eight nine ten dr mr mrs ms"""
)

NEUTRAL_WORDS = _set(
    """accord according actor add addition aim album alike alley alone along alongside among answer appeal
    appear appropriate artist ask author available back band base based basis begin belong bet
    better between bill blend book bought box boxes brand bring build came candidate care case cast
    catalogue catch categorise categorize category century certainly cheap cheaper choice choose
    chosen class classify clear close combination combine come common companion company compare
    compared complement connect consider consideration contain continuation cost count course credit
    date day decade different direct directly director due earlier early earn else end enjoy
    enjoyable entry equally especially evening exact expensive fact fairly fall fan feature feel
    felt fill film find fit fitting follow friendly game gave genre get give given go good got great
    hand happen have hear high highly history hope idea ideal include interest interesting item join
    keep kept kind label last late later leave left less lie like likely liking line link list
    listen long longer look love made make maker manufacture mark match mean mention mind mix moment
    mood more movie name natural near need new newer next nice night novel offer old older option
    order ought overlap pair past particular particularly perfect pick picked picture piece place play
    please possible potential precede predate preference present price probably produce product
    purchase put range rate rating read ready reason receive recent recently recommend
    recommendation relate related release relevant remind return revisit right run runner-up saw
    score scored season see seem selection sense sequence series serve set share shoe short shorter
    show similar similarly simply sit situation solid song sort sound speak spend star start stick
    story strong style suggest suggestion suit suitable sure tag take taste tend term thank thanks
    theme thing think tick tie time title today together tonight top towards track trip true try
    type use various view viewed want watch watched way weather week weekend why wish wonder word
    work worth write written year"""
)
"""How one recommends, in words that say nothing about the item: they may stand anywhere."""

NOUNS = (
    r"(?:films?|movies?|pictures?|books?|novels?|albums?|songs?|tracks?|products?|items?|titles?|games?|"
    r"courses?|shows?|series|stories|story|shoes?|artists?|ones?)"
)

CALENDAR_WORDS = _set(
    """monday tuesday wednesday thursday friday saturday sunday january february march april may june july
    august september october november december i"""
)

COMMON_WORDS = (
    FUNCTION_WORDS
    | CALENDAR_WORDS
    | _set(
        """spring summer autumn fall winter morning afternoon evening night tonight today weekend family
        friends home work alone happy sad comedy drama action adventure war love film movie book product item
        recommended because since given"""
    )
)
"""A title made of these alone is taken for a title only in quotes or with its year."""

_NUMERALS = """one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
    sixteen seventeen eighteen nineteen twenty"""
NUMBER_WORDS = {word: str(value) for value, word in enumerate(_NUMERALS.split(), start=1)}
NUMBER_WORDS |= {"thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "hundred": "100"}
CHINESE_DIGITS = {char: value for value, char in enumerate("零一二三四五六七八九")} | {"两": 2, "十": 10}
DECADE_WORDS = {
    "twenties": 1920,
    "thirties": 1930,
    "forties": 1940,
    "fifties": 1950,
    "sixties": 1960,
    "seventies": 1970,
    "eighties": 1980,
    "nineties": 1990,
    "noughties": 2000,
}

_WITH = r"(?:your|with|for) (?:your |the |a |some |whole |entire |young |small )?"
_TOGETHER = r"(?:和|与|跟|同|你的)?"
_DAYTIME = r"(?=day|evening|morning|afternoon|night|weekend)"
_WARM = r"(?=day|weather|evening|night|summer|winter|afternoon)"
_FEEL = r"(?:you are|feel(?:ing)?|your|an?) "

PLAIN_CONTEXT: dict[str, dict[str, str]] = {
    "weekday": {
        "monday": "mondays?|(?:周|星期|礼拜)一",
        "tuesday": "tuesdays?|(?:周|星期|礼拜)二",
        "wednesday": "wednesdays?|(?:周|星期|礼拜)三",
        "thursday": "thursdays?|(?:周|星期|礼拜)四",
        "friday": "fridays?|(?:周|星期|礼拜)五",
        "saturday": "saturdays?|(?:周|星期|礼拜)六",
        "sunday": "sundays?|(?:周|星期|礼拜)[日天]",
    },
    "weekend": {"yes": "weekends?|周末", "no": "weekdays?|workdays?|工作日"},
    "part": {
        "tonight": "tonight|今晚",
        "morning": "mornings?|breakfast|早上|早晨|上午|清晨",
        "afternoon": "afternoons?|下午|午后",
        "evening": "evenings?|晚上|傍晚",
        "night": "nights?|midnight|late-night|深夜|夜里|夜晚|半夜",
        "noon": "noon|lunch(?:time)?|midday|中午|午餐",
    },
    "season": {
        "spring": rf"(?:in|for|this|of|a|your) spring|spring {_DAYTIME}|春[季天日]",
        "summer": "summers?|夏[季天日]",
        "autumn": "autumn|(?:in|for|this) (?:the )?fall|秋[季天日]",
        "winter": "winters?|冬[季天日]",
    },
    "month": {
        "1": r"january|(?<!\d)1月|一月",
        "2": r"february|(?<!\d)2月|二月",
        "3": rf"(?:in|a|this) march|march {_DAYTIME}|(?<!\d)3月|三月",
        "4": r"april|(?<!\d)4月|四月",
        "5": rf"(?:in|this) may|may {_DAYTIME}|(?<!\d)5月|五月",
        "6": r"june|(?<!\d)6月|六月",
        "7": r"july|(?<!\d)7月|七月",
        "8": r"august|(?<!\d)8月|八月",
        "9": r"september|(?<!\d)9月|九月",
        "10": "october|10月|十月",
        "11": "november|11月|十一月",
        "12": "december|12月|十二月",
    },
    "company": {
        "alone": "(?<!home )alone|on your own|by yourself|solo|独自(?:一人)?|一个人|一人|单独",
        "family": rf"{_WITH}family(?! (?:film|movie))|{_TOGETHER}(?:全家人?|家人|一家人)",
        "friends": rf"(?:and )?{_WITH}friends?|friends|{_TOGETHER}(?:朋友|好友)们?",
        "partner": rf"{_WITH}(?:partner|wife|husband|spouse|girlfriend|boyfriend|date)|date night"
        rf"|{_TOGETHER}(?:伴侣|爱人|妻子|丈夫|女友|男友|恋人|对象)",
        "kids": rf"{_WITH}(?:kids|children|child|son|daughter)(?!['’]?s? ?(?:film|movie)|['’])"
        rf"|{_TOGETHER}(?:孩子|小孩)们?",
        "parents": rf"{_WITH}(?:parents|mother|father|mum|mom|dad)|{_TOGETHER}(?:父母|爸妈|爸爸|妈妈)",
        "colleagues": rf"{_WITH}(?:colleagues?|co-?workers?)|{_TOGETHER}同事们?",
    },
    "device": {
        "phone": "(?:smart|mobile )?phones?|mobile|手机",
        "tablet": "tablets?|ipad|平板(?:电脑)?",
        "computer": "laptops?|computers?|desktop|(?:笔记本)?电脑|笔记本",
        "tv": "tv|televisions?|big screen|电视机?|大屏幕",
        "speaker": "speakers?|音箱",
        "headphones": "headphones|earphones|耳机",
    },
    "place": {
        "home": "(?:at|from|stay(?:ing)?) home|在家里?|家里|家中",
        "work": "(?:at|after|from) (?:the )?(?:work|office)|(?:in|your) (?:the )?(?:office|workplace)"
        "|办公室|公司里?|单位|工作地点",
        "school": "(?:at|in|after) (?:the )?school|学校|校园",
        "outdoors": "outside|户外|室外",
        "travel": "(?:while )?travell?ing|(?:your|the|a) (?:trip|commute|journey)|commuting"
        "|on the (?:way|road)|旅途中?|路上|通勤",
        "train": "(?:on|in) (?:a|the|your) train|火车上?|地铁上?",
        "car": "(?:in|by) (?:a |the |your )?car|车里|车上",
        "plane": "(?:on|in) (?:a|the|your) (?:plane|flight)|飞机上?",
        "gym": "(?:at|in) (?:a|the|your) gym|健身房",
        "cinema": "(?:at|in|to) (?:a|the) (?:cinema|movies|theatre|theater)|电影院",
    },
    "weather": {
        "rain": "rain(?:y|ing)?(?: weather)?|下?雨天|下雨",
        "sun": "sunny(?: weather)?|sunshine|晴天|阳光明媚",
        "snow": "snowy(?: weather)?|snowing|下?雪天|下雪",
        "cloudy": "cloudy(?: weather)?|多云|阴天",
        "stormy": "stormy(?: weather)?|暴风雨",
        "hot": f"hot {_WARM}|天热|炎热",
        "cold": f"cold {_WARM}|天冷|寒冷",
    },
    "activity": {
        "relaxing": "(?:while )relaxing|正在休息",
        "working": "while (?:you (?:are )?)?work(?:ing)?|正在工作",
        "studying": "(?:while )?studying|正在学习",
        "cooking": "(?:while )?cooking|正在做饭",
        "eating": "(?:while )?eating|dinner|正在吃饭|晚餐",
        "driving": "(?:while )?driving|正在开车",
        "exercising": "(?:while )?exercising|work(?:ing )?out|正在锻炼",
        "running": "while running|正在跑步",
        "party": "(?:at|for) (?:a|your|the) party|聚会",
    },
    "mood": {
        "happy": f"{_FEEL}(?:happy|cheerful)(?: mood)?|心情愉快|开心",
        "sad": f"{_FEEL}sad(?: mood)?|心情低落|难过",
        "relaxed": f"{_FEEL}relaxed(?: mood)?|心情放松",
        "tired": f"{_FEEL}tired|疲惫|很累",
        "bored": f"{_FEEL}bored|感到无聊",
        "stressed": f"{_FEEL}stressed|感到压力",
        "excited": f"{_FEEL}excited(?: mood)?|心情激动",
        "romantic": "(?:in a|your) romantic mood|心情浪漫",
    },
}
"""Context field -> value -> its wordings in both languages, as patterns over lower-case text."""

SAME_CONTEXT: dict[str, str] = {
    word: value
    for value, words in {
        "alone": "alone nobody none solo myself 独自 一个人",
        "friends": "friend friends 朋友",
        "kids": "kids children child 孩子",
        "partner": "partner wife husband spouse girlfriend boyfriend 伴侣",
        "family": "family 家人",
        "colleagues": "colleagues colleague coworkers 同事",
        "parents": "parents 父母",
        "phone": "phone mobile smartphone 手机",
        "computer": "computer laptop desktop pc 电脑",
        "tv": "tv television 电视",
        "work": "work office 办公室",
        "outdoors": "outside outdoors",
        "travel": "travel commute travelling traveling",
        "rain": "rain rainy",
        "sun": "sun sunny clear",
        "snow": "snow snowy",
        "autumn": "autumn fall 秋季",
        "spring": "spring 春季",
        "summer": "summer 夏季",
        "winter": "winter 冬季",
        "yes": "weekend true",
        "no": "weekday workday workdays false",
    }.items()
    for word in words.split()
}
"""Word of a context value in a request -> value in ``PLAIN_CONTEXT``."""

INVENTED: dict[str, re.Pattern[str]] = {
    "award": re.compile(
        r"\b(?:awards?|award-winning|prize|oscars?|emmys?|grammys?|academy|nominat\w+"
        r"|nominees?|golden globes?|"
        r"bafta|palme)\b|奖|提名|奥斯卡"
    ),
    "acclaim": re.compile(
        r"\b(?:acclaim\w*|critics?|critically|box[- ]office|blockbusters?|best-?sell\w+|classics?|cult|"
        r"masterpieces?|masterful|hits?|famous\w*|iconic|legendary|beloved|renowned"
        r"|celebrated|popular(?! than)(?:ity)?|"
        r"trending|must-(?:see|watch|read|have)|well-(?:known|loved|reviewed)|praised|reviews?|hailed|"
        r"unforgettable|timeless|landmark|essential|seminal|influential|groundbreaking)\b"
        r"|好评|票房|影评|畅销|经典|杰作|名作|大片|热门|流行|著名|必看|口碑|神作|佳作|传奇|人气|知名|轰动|备受|广受"
    ),
    "third party": re.compile(
        r"\b(?:every(?:one|body)|people|nobody|no one|(?:most|many|other|all|some) "
        r"(?:users?|viewers?|readers?|fans?|customers?|people|others)|fans(?! of)"
        r"|viewers|audiences?|customers|readers|"
        r"users)\b|大家|人人|所有人|很多人|许多人|观众|粉丝|用户们|读者|网友|影迷|其他人"
    ),
    "over-claim": re.compile(
        r"\b(?:(?:will|(?:are|is) going to) (?:(?:surely|certainly|definitely|absolutely|really|also) )*"
        r"(?:love|like|enjoy|adore|appreciate|not regret)"
        r"|guarantee\w*|definitely|undoubtedly|without (?:a )?doubt|no doubt|certain to|sure to|bound to|"
        r"can not (?:miss|go wrong|resist)|must (?:see|watch|read|buy|have)|perfect(?! score| rating)\w*|"
        r"favou?rites?|always|obsess\w*|passion\w*|huge|big fan|die-?hard|avid|devoted|ever made|of all time|"
        r"for sure|all ages|every [\w‹› ]+ fan|(?:you|your) only)\b"
        r"|一定(?:会|能)|肯定|绝对|必定|最爱|最喜欢|最喜爱|忠实|完美|毫无疑问|不容错过|从来都|总是|永远|铁杆|狂热"
    ),
    "superlative": re.compile(
        r"\b(?:best|greatest|finest|funniest|scariest|biggest|largest|worst|cheapest|longest|shortest|"
        r"oldest|newest|strongest|darkest|hottest|coolest|smartest|number one|top[- ](?:rated|\d+|selling)|"
        r"most (?!recent|likely|of\b|probably)\w+|one of the)\b|最(?!近)|第一|之一"
    ),
    "trade": re.compile(r"\b(?:on sale|discount\w*|in stock|sold out|bargain)\b|打折|促销|特价"),
    "creation": re.compile(
        r"\b(?:sequels?|prequels?|remakes?|reboots?|spin-?offs?|adapt(?:ed|ation)\w*|soundtracks?|franchise|"
        r"trilogy|plots?|characters?|endings?|true story|(?:is|was) based on)\b"
        r"|续集|前传|翻拍|改编|原著|讲述|剧本|主角|结局|故事"
    ),
}
"""What no catalogue of ours shows: kind -> pattern over lower-case text."""
