"""Which column plays which role, by the names that data sets use.

Names are compared without case, blanks and underscores. An exact name wins over an ending (``movie_title``
for ``title``), and names earlier in a list win over later ones.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Literal

from tastemaker.errors import DataError

TableKind = Literal["interactions", "items", "users"]

_USER = (
    "userid uid user reviewerid customerid memberid visitorid accountid buyerid personid userindex "
    "reviewer customer member visitor sessionid session username 用户id 用户 用户编号 会员id 会员"
)
_ITEM = (
    "itemid item movieid iid parentasin asin productid product bookid articleid songid trackid artistid "
    "courseid businessid filmid gameid recipeid newsid videoid sku isbn movie "
    "商品id 商品 商品编号 物品id 物品 电影id 产品id 产品"
)
_ITEM_ROW = f"{_ITEM} id itemindex key 编号"

_NAMES: Mapping[TableKind, Mapping[str, str]] = {
    "interactions": {
        "user": _USER,
        "item": _ITEM,
        "timestamp": "timestamp ts unixreviewtime unixtime datetime eventtime createdat time date ratedat "
        "reviewtime reviewdate day 时间戳 时间 日期",
        "value": "rating value score stars overall preference weight plays playcount count ratingvalue "
        "评分 打分 分数",
        "event": "event eventtype eventname type action behavior behaviour behaviortype 事件 行为 行为类型",
    },
    "items": {
        "item": _ITEM_ROW,
        "title": "title name itemname itemtitle productdisplayname displayname label "
        "标题 名称 商品名称 片名 书名 电影名",
        "description": "description descriptions text overview plot summary abstract extract synopsis about "
        "body content 描述 简介 内容 介绍",
        "genres": "genres genre categories category class 类型 类别 分类",
        "tags": "tags tag keywords keyword labels 标签 关键词",
        "year": "year releaseyear movieyear publicationyear originalpublicationyear releasedate "
        "年份 年 上映年份",
        "price": "price listprice cost 价格 售价",
        "image": "image imageurl imageurlhighres img poster posterurl pictureurl picture thumbnail 图片",
    },
    "users": {"user": f"{_USER} id"},
}
_ENDINGS: Mapping[TableKind, Mapping[str, tuple[str, ...]]] = {
    "interactions": {"user": ("userid",), "item": ("itemid",)},
    "items": {"item": ("id",), "title": ("title", "name"), "description": ("description",)},
    "users": {"user": ("userid",)},
}
ROLES: Mapping[TableKind, tuple[str, ...]] = {kind: tuple(names) for kind, names in _NAMES.items()}
REQUIRED: Mapping[TableKind, tuple[str, ...]] = {
    "interactions": ("user", "item"),
    "items": ("item",),
    "users": ("user",),
}
# `time` or `date` may as well be a context field (LDOS: 1 = morning); these names leave no doubt.
CLOCK_NAMES = frozenset(["timestamp", "ts", "unixreviewtime", "unixtime", "时间戳"])

_RECBOLE = re.compile(r"(.+):(token|token_seq|float|float_seq)")
_NOT_WORD = re.compile(r"[\W_]+")
# fmt: off
_ML100K_GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama",
    "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)
# fmt: on
_HEADERLESS: Mapping[tuple[TableKind, str, int], tuple[str, tuple[str, ...]]] = {
    ("items", "|", 24): (
        "movielens u.item",
        ("item_id", "title", "release_date", "video_release_date", "imdb_url", *_ML100K_GENRES),
    ),
    ("users", "|", 5): ("movielens u.user", ("user_id", "age", "gender", "occupation", "zip_code")),
    ("items", "::", 3): ("movielens movies.dat", ("item_id", "title", "genres")),
    ("users", "::", 5): ("movielens users.dat", ("user_id", "gender", "age", "occupation", "zip_code")),
}
GENRE_FLAGS = _ML100K_GENRES


def plain_name(name: str) -> str:
    """``"Item_ID "`` -> ``"itemid"``; Chinese stays."""
    return _NOT_WORD.sub("", unicodedata.normalize("NFKC", name).casefold())


def recbole_types(names: Sequence[str]) -> dict[str, str] | None:
    """RecBole's declared types by plain column name; None unless every name is ``name:type``."""
    matches = [_RECBOLE.fullmatch(name.strip()) for name in names]
    found = {match.group(1): match.group(2) for match in matches if match is not None}
    return found if names and len(found) == len(names) else None


def is_usual_name(name: str, kind: TableKind) -> bool:
    """Whether a header cell is a column name that some role of this table goes by."""
    match = _RECBOLE.fullmatch(name)
    plain = plain_name(match.group(1) if match else name)
    return bool(plain) and any(plain in names.split() for names in _NAMES[kind].values())


def headerless_names(
    kind: TableKind, delimiter: str, columns: Mapping[str, Sequence[str | None]]
) -> tuple[str, list[str]]:
    """A name for the format and for each column of a file without a header; ``columns`` hold sample cells."""
    width = len(columns)
    known = _HEADERLESS.get((kind, delimiter, width))
    if known is not None:
        return known[0], list(known[1])
    names = list(columns)
    if kind == "items":
        names[:2] = ["item_id", "title"][:width]
    elif kind == "users":
        names[0] = "user_id"
    elif width == 2:
        names = ["user_id", "item_id"]
    elif width >= 3:
        is_time = _looks_like_time(list(columns.values())[2])
        names[:3] = ["user_id", "item_id", "timestamp" if is_time else "rating"]
        if width >= 4 and not is_time and _looks_like_time(list(columns.values())[3]):
            names[3] = "timestamp"
    return "without header", names


def _looks_like_time(cells: Sequence[str | None]) -> bool:
    held = [cell for cell in cells if cell]
    numbers = [cell for cell in held if cell.isdigit() and len(cell) >= 9]
    dates = [cell for cell in held if re.match(r"\d{4}-\d\d-\d\d", cell)]
    return bool(held) and 2 * max(len(numbers), len(dates)) > len(held)


def assign(
    kind: TableKind, names: Sequence[str], overrides: Mapping[str, str], source: str
) -> dict[str, str]:
    """Column of each role that is played, ``{"user": "userId", ...}``.

    Raises:
        DataError: a role that is needed has no column.
    """
    found = {role: column for role, column in overrides.items() if role in ROLES[kind] and column in names}
    plain = {name: plain_name(name) for name in names}
    for role in ROLES[kind]:
        if role not in found:
            free = [name for name in names if name not in found.values()]
            column = _find(role, kind, free, plain)
            if column is not None:
                found[role] = column
    for role in REQUIRED[kind]:
        if role not in found:
            raise DataError(
                f"{source} has no column for the {role} id; its columns are {', '.join(names)}",
                hint=f"--column {role}=NAME says which it is",
            )
    return found


def find_title_column(names: Sequence[str]) -> str | None:
    """The column of an interactions file that names its items, if it has one."""
    exact = [name for name in names if plain_name(name) in _NAMES["items"]["title"].split()]
    return exact[0] if exact else next((name for name in names if plain_name(name).endswith("title")), None)


def _find(role: str, kind: TableKind, free: Sequence[str], plain: Mapping[str, str]) -> str | None:
    for wanted in _NAMES[kind][role].split():
        for name in free:
            if plain[name] == wanted:
                return name
    for ending in _ENDINGS[kind].get(role, ()):
        for name in free:
            if plain[name].endswith(ending):
                return name
    if role in ("item", "user") and kind != "interactions" and "column_1" in free:
        return "column_1"  # an unnamed first column is a row id
    return None


def check_overrides(overrides: Mapping[str, str], tables: Mapping[TableKind, Sequence[str]]) -> None:
    """Raise DataError for an unknown role, or a column that no table with that role has."""
    for role, column in overrides.items():
        with_role = [kind for kind in tables if role in ROLES[kind]]
        if not any(role in roles for roles in ROLES.values()):
            known = ", ".join(sorted({role for roles in ROLES.values() for role in roles}))
            raise DataError(f"unknown role {role!r}; roles are {known} and encoding")
        if not any(column in tables[kind] for kind in with_role):
            found = "; ".join(f"{kind}: {', '.join(tables[kind])}" for kind in with_role) or "none given"
            raise DataError(f"no column {column!r} for role {role!r}; columns are {found}")
