"""Patterns of Chinese claims, over masked sentences (``second_mask``)."""

from __future__ import annotations

import re

from tastemaker.eval.second_checker.grammar import GROUP, REF, Grammar

_N = r"(?:\d+(?:\.\d+)?|[一二两三四五六七八九十])"

# What says nothing about an item; longest first where one begins another.
KNOWN_CHINESE = (
    "推荐给|推荐|适合|因为|所以|因此|由于|鉴于|基于|考虑到|既然|如果|这部|这款|这件|电影|影片|片子|作品|商品|产品|书籍|"
    "类型|类别|题材|风格|属于|同属|都属于|也属于|上映于|上映|出自|来自|发行于|发行|出版于|出版|推出|制作|执导|导演|主演|出演|品牌|"
    "价格|售价|相同|一样|同样|相似|类似|不同|一点|或许|可能|也许|可以|不妨|试试|看看|一看|观看|看|值得|符合|愿望|要求|需要|口味|"
    "喜好|喜爱|喜欢|想要|想看|希望|选择|不错|合适|很好|正好|正是|正|就是|而是|而且|而|但是|但|虽然|尽管|并且|并|且|以及|或者|或|"
    "我们|我|为您|为你|您|你们|你的|你|给|对|吧|了|着|过|的|地|得|和|与|跟|同|及|是|不是|不|没有|没|既|也|都|还|又|再|更|很|"
    "非常|比较|相当|一部|一款|一件|一本|一首|一张|一个|这样|这类|这种|这|那|它们|它|该|本|此|其|两部|两者|三部|几部|几|两件|件|部|"
    "本|首|张|款|种|类|个|在|于|从|以|把|被|由|让|会|能|应该|应|将|曾经|曾|已经|已|年代|年|上世纪|世纪|月|日|时候|时|当|"
    "另一|另|一起|共同|共有|特点|元素|融合|结合|包含|包括|兼具|具有|有|片|剧|适合在|周|晚|里|中|上|下|来|去|一|二|三|四|五|"
    "比|贵|便宜|早|晚|新|旧|老|长|短|分|星|颗|满分|评分|评价|打|高|低|次|遍|元|美元|块|钱|因|为|则|即|如|像|这点|等|吗|呢|啊|之|用|到|"
    "情境|情况|后|前|后来|同一位|同一|位|共享|共通|也是|合|兴趣|感兴趣|感|今天|现在|今|此刻|历史|记录|依据|根据|看过|买过|购买"
)
_RUN = "[\u4e00-\u9fff]"

CHINESE = Grammar(
    clause_break=re.compile(
        r"\s*[，；：,;:]\s*|(?=因为|所以|因此|由于|但是|但|并且|不过|虽然)|(?=而(?![且是]))"
    ),
    user=re.compile(r"[你您]"),
    stances=(
        ("disliked", re.compile(r"讨厌|厌恶")),
        ("loved", re.compile(r"(?:非常|很|超|特别|十分|极其|最|更)喜[欢爱]|热爱|深爱|酷爱")),
        ("liked", re.compile(r"喜欢|喜爱|钟爱|偏爱|欣赏|爱看|感兴趣")),
        ("rated", re.compile(r"打[了出过]?|评分|评价|给出|给了|评了")),
        ("bought", re.compile(r"购买[过了]?|买[过了]|下单")),
        ("viewed", re.compile(r"浏览[过了]?|点击[过了]?|查看[过了]?")),
        ("read", re.compile(r"读[过了]|阅读")),
        ("listened", re.compile(r"听[过了]|收听")),
        ("saved", re.compile(r"收藏[过了]?")),
        ("watched", re.compile(r"看[过了]|观看[过了]|曾看|没看|看完")),
        ("met", re.compile(r"选[过了]|用过|玩过|体验过")),
    ),
    hope=re.compile(
        r"(?:可能|或许|也许|应该|想必|大概|估计|会)(?:也|都|同样)?(?:会|能)?(?:很|非常)?(?:喜欢|爱看|感兴趣|想看)|也会喜欢"
    ),
    wish=re.compile(
        r"[你您](?:说)?(?:曾|现在|正)?(?:想要|想看|想找|想买|想听|想读|希望|要求|需要|要的是|要找|在找)|[你您]的(?:愿望|要求|需求|心愿)|你要"
    ),
    target_verb=re.compile(rf"(?:推荐|试试|看看|建议(?:你)?(?:看)?)(?:你|您)?(?:看)? ?(?P<refs>{GROUP})"),
    target_said=re.compile(
        r"值得|(?:可能|或许|也许|很|更|都|也)?(?:适合|合你)|是(?:不错|很好|好)的选择|推荐给"
    ),
    like=re.compile(
        rf"(?:正?如同?|就?像|类似于?) ?(?P<refs>{GROUP})(?: ?一样| ?那样)?"
        rf"|(?:和|与|跟|同) ?(?P<r2>{GROUP}) ?(?:一样|相同|类似|相似|那样)(?! ?的)"
    ),
    unlike=re.compile(rf"(?:和|与|跟|同|不同于|不像|有别于) ?(?P<refs>{GROUP}) ?(?:不同|不一样|相反)"),
    both=re.compile(r"两[部者件本首张款]|三部|都|同属|均|一样"),
    another=re.compile(r"另(?P<n>一)?[部件本首张款]?|又一部"),
    apposition=re.compile(r"^(?:一[部件本首张款]|它们|都是)"),
    negation=re.compile(
        r"不(?!妨|错|同|仅|只|但|少|论|过)|没(?!错)|并非|从未|未曾|未(?=看|买|读|听)|绝非|毫无|而非"
    ),
    ellipsis=re.compile(
        rf"^(?:而|但|并且|，)* ?(?P<a>{GROUP})? ?(?P<b>{GROUP})?(?:电影|片子|影片|商品|产品|书)?(?:也"
        r"|就|正好|恰好|正|同样|都)*(?P<no>不)?(?:是|如此|一样)[。！]?$"
    ),
    ratings=(
        re.compile(rf"(?P<max>\d+)分满分(?:给|打)?了?(?P<v>{_N})分"),
        re.compile(rf"(?P<v>{_N}) ?(?:分|颗?星)"),
    ),
    top_rating=re.compile(r"满分|最高分|满星"),
    high_rating=re.compile(
        r"评价(?:很|非常|颇|都|较)?(?:很|非常)?高|评分(?:都|很|非常|较|颇)*高|高分|高度评价|好评"
    ),
    times=re.compile(
        r"(?P<once>一[次遍回])|(?P<twice>两[次遍回])|(?P<n>\d+|[三四五六七八九十])[次遍回]|(?P<many>多次"
        r"|很多次|好几[次遍]|反复)"
    ),
    recently=re.compile(
        r"(?P<recently>最近|近来|刚刚|刚看|近期)|(?P<yesterday>昨[天晚日])|(?P<week>上周|上个?星期)|(?P<month>上个?月"
        r")|(?P<year>去年)|(?P<ago>\S{1,3}[天周月年]前)|(?P<last>上次|上一部)"
    ),
    counted=re.compile(r"(?P<n>\d+|[两三四五六七八九十])[部件本首张款](?P<what>(?:[、和 ]|‹[gpd]\d+›)*)"),
    comparison=re.compile(
        rf"比 ?(?P<refs>{GROUP}) ?(?:的价格|上映得|还|要|更|上映|出版)*"
        r"(?:(?P<year_up>晚|新|更新|年轻|近)|(?P<year_down>早|老|旧|久)"
        r"|(?P<price_up>贵|高)|(?P<price_down>便宜|低)|(?P<length_up>长)|(?P<length_down>短)|(?P<count_up>受欢迎|热门))"
    ),
    between=re.compile(rf"介于 ?(?P<refs>{GROUP}) ?之间"),
    shared_count=re.compile(rf"(?P<n>{_N})[个种](?:共同的?)?(?:类型|类别|标签)"),
    years_apart=re.compile(rf"[晚早新老旧]了?(?P<n>{_N})年"),
    singular=re.compile(r"[一某][部件本首张款]"),
    behind=re.compile(r"(?P<ref>‹t\d+›) ?(?P<verb>[你您][看买读听]过)$"),
    which=re.compile(r"^[你您](?:也)?(?:看过|买过|读过|听过|喜欢)(?:它|这部)$"),
    vague_comparison=re.compile(rf"比 ?{REF} ?(?:还|要|更)*[\u4e00-\u9fff]"),
    shared=re.compile(
        r"(?:相同|同一[位个]?|共同|共有|共享|同属|一样)(?:的)?(?P<aspect>导演|类型|品牌|年代|作者|演员|年份)?|(?P<a2>品牌"
        r"|导演|类型|作者)[^‹，]*?(?:与|和|跟) ?‹t\d+› ?(?:的)?(?:相同|一样|一致)"
    ),
    alike=re.compile(
        rf"(?:和|与|跟|同) ?(?P<refs>{GROUP}) ?(?P<no>不|毫不|并不)?"
        r"(?:很|非常|十分|有点|较为)?(?:相似|类似|相近|接近)"
    ),
    residue=(
        re.compile(rf"(?:很|十分|非常|相当|特别|极其|极为|既|又|太|颇为?) ?(?P<w>{_RUN}{{1,6}})"),
        re.compile(rf"(?P<w>{_RUN}+)"),
    ),
    known=frozenset(KNOWN_CHINESE.split("|")),
)

STRANGER = re.compile(
    rf"(?:由|是)(?P<a>{_RUN}{{2,10}}(?:·{_RUN}+)*)(?:执导|主演|导演|写的|创作|演唱|制造|拍摄)"
    rf"|(?:导演|主演|作者|品牌|歌手)(?:是|为)(?P<b>{_RUN}{{2,10}}(?:·{_RUN}+)*)"
    rf"|^(?P<c>{_RUN}{{2,6}}(?:·{_RUN}+)*)(?:执导|主演|导演|创作)"
)
"""A Chinese name that no tag covers, in a place where only a person or a brand stands."""
