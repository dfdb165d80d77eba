"""Data sets that say in which situation each event happened.

===============  ==========================================================================  =========
name             what                                                                        kind
===============  ==========================================================================  =========
``comoda``       LDOS-CoMoDa (Košir et al. 2011): films that people watched, ten fields      choices
``depaul``       DePaulMovie (Zheng et al. 2015): films rated for imagined moments           ratings
``incar``        InCarMusic (Baltrunas et al. 2011): songs rated for imagined drives         ratings
``smart-home``   SmartThings logs as in SmartGuard (Xiao et al. 2024): device commands       choices
===============  ==========================================================================  =========

Choices: what was done in a situation is sought in the whole catalogue. Ratings: people were asked for their
opinion of given items in given situations, which says nothing of what they would choose; so the items that a
user rated in one situation are put in order.

LDOS-CoMoDa's emotions after and during the film are left out: nobody knows them beforehand. The smart home's
windows of ten commands overlap (65 % of the published test windows are training windows moved by one), so
they are joined to the 347 stretches that they were cut from, which are split whole.
"""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tastemaker.data.dataset import Dataset
from tastemaker.errors import DataError, MissingExtraError
from tastemaker.eval.benchmarks import find_files

Kind = Literal["choices", "ratings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MomentSet:
    """``whole_users``: users are split, not events; a user's events then have an order."""

    name: str
    dataset: Dataset
    kind: Kind
    domain: str
    whole_users: bool = False


def load_moments(name: str, folder: Path | None = None) -> MomentSet:
    """Read a set from ``folder`` or the places of ``tastemaker.eval.benchmarks.find_files``.

    Raises:
        DataError: there is no such set, its files are not found, or they are not the published ones.
        MissingExtraError: InCarMusic is a spreadsheet, and openpyxl is not installed.
    """
    if name not in SETS:
        raise DataError(f"unknown set {name!r}; known are {', '.join(SETS)}")
    return SETS[name](folder)


_COMODA = {
    "time": ("part_of_day", ("morning", "afternoon", "evening", "night")),
    "daytype": ("day_type", ("workday", "weekend", "holiday")),
    "season": ("season", ("spring", "summer", "autumn", "winter")),
    "location": ("place", ("home", "public place", "friend's house")),
    "weather": ("weather", ("sunny", "rainy", "stormy", "snowy", "cloudy")),
    "social": ("company", ("alone", "partner", "friends", "colleagues", "parents", "public", "family")),
    "mood": ("mood", ("positive", "neutral", "negative")),
    "physical": ("health", ("healthy", "ill")),
    "decision": ("decision", ("own", "given")),
    "interaction": ("viewing", ("first", "again")),
}


def without_fields(moments: MomentSet, names: Sequence[str]) -> MomentSet:
    """The set as if nobody had asked for these fields.

    Raises:
        DataError: it has no such field.
    """
    known = moments.dataset.context_columns
    if unknown := [name for name in names if name not in known]:
        raise DataError(f"{moments.name} has no field {unknown[0]!r}; it has {', '.join(known) or 'none'}")
    data = replace(
        moments.dataset, interactions=moments.dataset.interactions.drop_columns(list(dict.fromkeys(names)))
    )
    return replace(moments, dataset=data)


def _comoda(folder: Path | None) -> MomentSet:
    ratings, titles = find_files(
        "ldos-comoda",
        ("ratings.derived.csv", "itemsTitles.csv"),
        origin="https://www.lucami.org/en/research/ldos-comoda-dataset/",
        folder=folder,
    )
    rows = list(csv.DictReader(ratings.read_text(encoding="utf-8").splitlines()))
    names = {
        row[0]: row[1].title() for row in csv.reader(titles.read_text("latin-1").splitlines()) if len(row) > 1
    }
    films = {row["itemID"]: row for row in rows}
    items = {
        "id": list(films),
        "title": [names.get(film) or f"Film {film}" for film in films],
        "year": [_number(row["movieYear"]) for row in films.values()],
        "genres": pa.array(
            [
                [f"genre {row[g]}" for g in ("genre1", "genre2", "genre3") if row[g] != "-1"]
                for row in films.values()
            ],
            pa.list_(pa.string()),
        ),
    }
    events: dict[str, list[Any]] = {
        "user_id": [row["userID"] for row in rows],
        "item_id": [row["itemID"] for row in rows],
        "value": [float(row["rating"]) for row in rows],
    }
    for column, (field, values) in _COMODA.items():
        events[field] = [values[int(row[column]) - 1] if row[column] != "-1" else None for row in rows]
    return MomentSet(name="comoda", dataset=_dataset(items, events), kind="choices", domain="films")


def _number(text: str) -> int | None:
    return int(text) if text not in ("", "-1") else None


def _depaul(folder: Path | None) -> MomentSet:
    (archive,) = find_files(
        "carskit", ("Movie_DePaulMovie.zip",), origin="https://github.com/irecsys/CARSKit", folder=folder
    )
    text = zipfile.ZipFile(archive).read("Movie_DePaulMovie/ratings.txt").decode("utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    genres = _film_genres(folder)
    ids = list(dict.fromkeys(row["itemid"] for row in rows))
    items = {
        "id": ids,
        "title": [genres.get(film, (film, []))[0] for film in ids],
        "genres": pa.array([genres.get(film, ("", []))[1] for film in ids], pa.list_(pa.string())),
    }
    fields = {"Time": "day_type", "Location": "place", "Companion": "company"}
    events: dict[str, list[Any]] = {
        "user_id": [row["userid"] for row in rows],
        "item_id": [row["itemid"] for row in rows],
        "value": [float(row["rating"]) for row in rows],
    }
    for column, field in fields.items():
        events[field] = [None if row[column] == "NA" else row[column].lower() for row in rows]
    return MomentSet(name="depaul", dataset=_dataset(items, events), kind="ratings", domain="films")


def _film_genres(folder: Path | None) -> dict[str, tuple[str, list[str]]]:
    """Title and genres by IMDb id, from MovieLens where it is at hand; else none are known."""
    try:
        links, movies = find_files("ml-latest-small", ("links.csv", "movies.csv"), origin="", folder=folder)
    except DataError:
        return {}
    known = {row["movieId"]: row for row in csv.DictReader(movies.read_text("utf-8").splitlines())}
    return {
        f"tt{row['imdbId']}": (known[row["movieId"]]["title"], known[row["movieId"]]["genres"].split("|"))
        for row in csv.DictReader(links.read_text("utf-8").splitlines())
        if row["movieId"] in known
    }


_INCAR = {
    "DrivingStyle": "driving style",
    "landscape": "landscape",
    "mood": "mood",
    "naturalphenomena": "part_of_day",
    "RoadType": "road",
    "sleepiness": "sleepiness",
    "trafficConditions": "traffic",
    "weather": "weather",
}


def _incar(folder: Path | None) -> MomentSet:
    (archive,) = find_files(
        "carskit", ("Music_InCarMusic.zip",), origin="https://github.com/irecsys/CARSKit", folder=folder
    )
    try:
        import openpyxl
    except ImportError as error:
        raise MissingExtraError(package="openpyxl", extra="eval") from error
    content = zipfile.ZipFile(archive).read("Music_InCarMusic/Data_InCarMusic.xlsx")
    book = openpyxl.load_workbook(io.BytesIO(content), read_only=True)
    rows = _sheet(book["ContextualRating"])
    kinds = {
        str(row[0]): str(row[1]).removesuffix(" music")
        for row in book["Music Category"].iter_rows(values_only=True)
    }
    tracks = {str(row["id"]): row for row in _sheet(book["Music Track"])}
    ids = list(dict.fromkeys(str(row["ItemID"]) for row in rows))
    known = [tracks.get(song, {}) for song in ids]
    named = [" – ".join(str(row[part]) for part in ("artist", "title") if row.get(part)) for row in known]
    categories = [kinds.get(str(row.get("category_id"))) for row in known]
    items = {
        "id": ids,
        "title": [name or song for name, song in zip(named, ids, strict=True)],
        "genres": pa.array([[one] if one else [] for one in categories], pa.list_(pa.string())),
    }
    events: dict[str, list[Any]] = {
        "user_id": [str(row["UserID"]) for row in rows],
        "item_id": [str(row["ItemID"]) for row in rows],
        "value": [float(row["Rating"]) for row in rows],
    }
    for column, field in _INCAR.items():
        events[field] = [None if row[column] is None else str(row[column]).lower() for row in rows]
    return MomentSet(name="incar", dataset=_dataset(items, events), kind="ratings", domain="music")


def _sheet(sheet: Any) -> list[dict[str, Any]]:
    lines = sheet.iter_rows(values_only=True)
    names = [str(name).strip() for name in next(lines)]
    return [dict(zip(names, line, strict=True)) for line in lines if line[0] is not None]


def _smart_home(folder: Path | None) -> MomentSet:
    windows, dictionary = find_files(
        "smartthings-smartguard",
        ("fr.npz", "fr.dictionary.json"),
        origin="https://github.com/xjywhu/SmartGuard",
        folder=folder,
    )
    with np.load(windows, allow_pickle=False) as parts:
        every = np.concatenate([parts[name] for name in ("trn", "vld", "test")])
    told = json.loads(dictionary.read_text(encoding="utf-8"))
    names = {code: name for name, code in told["device_control_dict"].items()}
    stretches = list(_joined(every))
    events: dict[str, list[Any]] = {"user_id": [], "item_id": [], "timestamp": [], "event": []}
    for number, stretch in enumerate(stretches):
        for moment, command in zip(_times(stretch[:, :2]), stretch[:, 4].tolist(), strict=True):
            events["user_id"].append(f"stretch {number}")
            events["item_id"].append(str(command))
            events["timestamp"].append(moment)
            events["event"].append("command")
    items = {
        "id": [str(code) for code in names],
        "title": [name.replace(":", ": ") for name in names.values()],
        "appliance": [name.split(":")[0] for name in names.values()],
    }
    return MomentSet(
        name="smart-home", dataset=_dataset(items, events), kind="choices", domain="home", whole_users=True
    )


def _joined(windows: NDArray[np.int16]) -> Iterator[NDArray[np.int16]]:
    """Stretches (commands, 5) from windows (n, 10, 5) that each begin one command after the last."""
    distinct = np.unique(windows.reshape(len(windows), -1), axis=0).reshape(-1, *windows.shape[1:])
    by_head: dict[bytes, list[int]] = defaultdict(list)
    for place, window in enumerate(distinct):
        by_head[window[:-1].tobytes()].append(place)
    following = [[other for other in by_head.get(window[1:].tobytes(), []) if other != place]
                 for place, window in enumerate(distinct)]  # fmt: skip
    led_to = np.bincount([other for others in following for other in others], minlength=len(distinct))
    used: set[int] = set()
    for start in np.argsort(led_to, kind="stable").tolist():
        if start in used:
            continue
        used.add(start)
        stretch, at = [distinct[start]], start
        while nexts := [other for other in following[at] if other not in used]:
            at = nexts[0]
            used.add(at)
            stretch.append(distinct[at][-1:])
        yield np.concatenate(stretch)


def _times(slots: NDArray[np.int16]) -> Iterator[float]:
    """Seconds from Monday 2024-01-01 for days of the week and three-hour slots, as soon as each can be."""
    week, now = 7 * 8, -1
    first = 1_704_067_200.0
    within = 0
    for day, slot in slots.tolist():
        wanted = day * 8 + slot
        if now < 0:
            now = wanted
        ahead = (wanted - now) % week
        now, within = now + ahead, within + 1 if not ahead else 0
        yield first + now * 3 * 3_600.0 + within


def _dataset(items: dict[str, Any], events: dict[str, list[Any]]) -> Dataset:
    return Dataset.from_tables(pa.table(items), pa.table(events))


SETS: dict[str, Callable[[Path | None], MomentSet]] = {
    "comoda": _comoda,
    "depaul": _depaul,
    "incar": _incar,
    "smart-home": _smart_home,
}
