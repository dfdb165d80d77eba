"""Items, interactions and users of one recommender, as one immutable value over Arrow tables.

A data set knows nothing of files' dialects (``tastemaker.data.readers``) and repairs nothing
(``tastemaker.data.cleaning``): what it is made from must be sound, and is checked.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tastemaker.artifacts import atomic_folder, read_manifest, write_manifest
from tastemaker.data.fingerprint import fingerprint_of
from tastemaker.data.tables import INTERACTION_FIELDS, as_interactions, as_items, as_users
from tastemaker.data.titles import TitleIndex
from tastemaker.errors import ArtifactError, DataError, StorageError, UnknownUserError
from tastemaker.types import AttributeValue, HistoryEntry, Item, UserHistory

KIND = "dataset"
MAX_SCALE = 100.0
"""Values beyond 0..100 in size are counts (plays, purchases), not ratings on a scale."""

MAX_TITLE = 200
"""Characters of a typed title that near ones are looked up for."""

_TABLES = ("items", "interactions", "users")


@dataclass(frozen=True, slots=True, kw_only=True)
class InteractionCodes:
    """All interactions as numbers, ordered by user, then time (oldest first), then file order.

    Each array has shape (n,). ``user`` indexes ``Dataset.user_ids``, ``item`` indexes
    ``Dataset.item_ids``, ``timestamp`` is in seconds (NaN where unknown) and ``row`` is the row of
    ``Dataset.interactions``, for values and context columns.
    """

    user: NDArray[np.int32]
    item: NDArray[np.int32]
    timestamp: NDArray[np.float64]
    row: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """The tables and every view of them that other parts need; views are made on first use and kept.

    ``items``: id, title, description (strings), then attributes (string, int64, double or list<string>).
    ``interactions``: user_id, item_id, timestamp (double, seconds, nullable), event, value (double,
    nullable), then context columns (string, nullable), in file order. ``users``: user_id, then attributes.
    """

    items: pa.Table
    interactions: pa.Table
    users: pa.Table | None = None

    @classmethod
    def from_tables(
        cls, items: pa.Table, interactions: pa.Table | None = None, users: pa.Table | None = None
    ) -> Dataset:
        """Check the tables and bring them into the layout above.

        Raises:
            DataError: a column is missing or of the wrong kind, an id is empty or an item id stands twice, or
                an interaction names an item that ``items`` lacks.
        """
        checked = as_items(items)
        return cls(
            items=checked,
            interactions=as_interactions(interactions, checked),
            users=None if users is None else as_users(users),
        )

    @classmethod
    def from_records(cls, interactions: Any, items: Any, users: Any = None) -> Dataset:
        """Make a data set of lists of dicts, or of pandas, polars or Arrow tables; the input stays as it is.

        Columns are found by their usual names and rows are cleaned as for files. Rows that had to be left out
        are counted in a ``UserWarning``; ``tastemaker.data.readers.read_records`` returns the whole report.

        Raises:
            DataError: a needed column is missing.
        """
        from tastemaker.data.readers import read_records, warn_of_losses

        result = read_records(interactions, items, users)
        warn_of_losses(result.report)
        return result.dataset

    @classmethod
    def load(cls, folder: Path) -> Dataset:
        """Read what ``save`` wrote.

        Raises:
            ArtifactError: the folder holds no data set, or a file of it is damaged.
        """
        manifest = read_manifest(folder, KIND)
        tables = {}
        try:
            for name in _TABLES:
                path = folder / f"{name}.parquet"
                tables[name] = pq.read_table(path) if path.is_file() else None
            dataset = cls.from_tables(tables["items"], tables["interactions"], tables["users"])
        except (pa.ArrowException, DataError, OSError, AttributeError) as error:
            raise ArtifactError(f"{folder} holds a damaged data set: {error}") from error
        if "fingerprint" in manifest:
            # Every file has just been checked against the manifest, so its hash of the content holds.
            dataset.__dict__["fingerprint"] = str(manifest["fingerprint"])
        return dataset

    def save(self, folder: Path) -> None:
        """Write Parquet files and a manifest; an earlier data set there is replaced in one step.

        Raises:
            StorageError: the folder holds something else, or the disk is full or forbidden.
        """
        refuse_foreign_folder(folder, KIND)
        with atomic_folder(folder) as staged:
            for name in _TABLES:
                table = getattr(self, name)
                if table is not None:
                    pq.write_table(table, staged / f"{name}.parquet", compression="zstd")
            facts = {"fingerprint": self.fingerprint, "counts": self.counts}
            write_manifest(staged, KIND, facts)

    @property
    def counts(self) -> dict[str, int]:
        return {
            "items": self.items.num_rows,
            "interactions": self.interactions.num_rows,
            "users": len(self.user_ids),
        }

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the whole content (32 hex digits): the same rows in the same order give the same one."""
        return fingerprint_of(self.items, self.interactions, self.users)

    @cached_property
    def items_fingerprint(self) -> str:
        """Hash of the catalogue alone; new interactions do not change it."""
        return fingerprint_of(self.items)

    # Items

    @cached_property
    def item_ids(self) -> tuple[str, ...]:
        return tuple(self.items["id"].to_pylist())

    @cached_property
    def item_positions(self) -> Mapping[str, int]:
        """Position of each item id in ``item_ids``."""
        return {item_id: position for position, item_id in enumerate(self.item_ids)}

    def has_item(self, item_id: str) -> bool:
        return item_id in self.item_positions

    def item(self, item_id: str) -> Item:
        """The item with this id; DataError when there is none."""
        position = self.item_positions.get(item_id)
        if position is None:
            raise DataError(f"no item has the id {item_id!r}, or that title", hint=self._near_items(item_id))
        return _as_item(self.items.slice(position, 1).to_pylist()[0])

    def _near_items(self, text: str) -> str:
        near = ", ".join(map(repr, self._titles.near(text[:MAX_TITLE])))
        return f"near are {near}" if near else "give an item's id or its whole title"

    def iter_items(self) -> Iterator[Item]:
        """Every item in the order of ``item_ids``; made as they are asked for."""
        for batch in self.items.to_batches(max_chunksize=10_000):
            yield from map(_as_item, batch.to_pylist())

    @cached_property
    def item_counts(self) -> NDArray[np.int64]:
        """Number of interactions per item, shape (len(item_ids),)."""
        return np.bincount(self.codes().item, minlength=len(self.item_ids))

    def find_title(self, text: str) -> str | None:
        """Id of the item with this title, or None.

        Case, accents, punctuation and a moved article ("Matrix, The") do not matter; a year in brackets does.
        Of several items with the title the one with the most interactions is taken, then the first.
        """
        return self._titles.find(text)

    @cached_property
    def _titles(self) -> TitleIndex:
        years = self.items["year"].to_pylist() if "year" in self.items.column_names else None
        return TitleIndex(self.item_ids, self.items["title"].to_pylist(), years, self.item_counts)

    # Users and their interactions

    @cached_property
    def user_ids(self) -> tuple[str, ...]:
        """Users in order of first appearance, then those of the users table without any interaction."""
        seen = dict.fromkeys(self.interactions["user_id"].to_pylist())
        if self.users is not None:
            seen.update(dict.fromkeys(self.users["user_id"].to_pylist()))
        return tuple(seen)

    @cached_property
    def user_positions(self) -> Mapping[str, int]:
        """Position of each user id in ``user_ids``."""
        return {user_id: position for position, user_id in enumerate(self.user_ids)}

    def history(self, user_id: str, *, limit: int | None = None) -> UserHistory:
        """What the user did, oldest first; with ``limit`` only the latest so many entries.

        Raises:
            UnknownUserError: neither interactions nor users table name this user.
        """
        position = self.user_positions.get(user_id)
        if position is None:
            raise UnknownUserError(f"no user has the id {user_id!r}", hint=self._known_users(user_id))
        start, stop = self._user_bounds[position], self._user_bounds[position + 1]
        if limit is not None:
            start = max(start, stop - max(limit, 0))
        rows = self._codes.row[start:stop]
        columns = [*INTERACTION_FIELDS, *self.context_columns]
        events = self.interactions.select(columns).take(pa.array(rows)).to_pylist()
        entries = tuple(
            HistoryEntry(
                title=self._display_titles[item],
                item_id=event["item_id"],
                timestamp=event["timestamp"],
                event=event["event"],
                value=event["value"],
                context={name: event[name] for name in self.context_columns if event[name] is not None},
            )
            for event, item in zip(events, self._codes.item[start:stop].tolist(), strict=True)
        )
        return UserHistory(user_id=user_id, entries=entries, value_range=self.value_range)

    def _known_users(self, user_id: str) -> str:
        if not self.user_ids:
            return "the data hold no users; give a history instead"
        # Edit distance against a million ids would take longer than the answer is worth.
        near = difflib.get_close_matches(user_id, self.user_ids[:20_000], n=3)
        return f"known are {', '.join(near or self.user_ids[:3])}{' …' if len(self.user_ids) > 3 else ''}"

    @cached_property
    def _display_titles(self) -> list[str]:
        titles = self.items["title"].to_pylist()
        if "year" not in self.items.column_names:
            return titles  # type: ignore[no-any-return]
        years = self.items["year"].to_pylist()
        return [
            title if year is None or f"({year})" in title else f"{title} ({year})"
            for title, year in zip(titles, years, strict=True)
        ]

    def codes(self) -> InteractionCodes:
        """Interactions as integer codes; see ``InteractionCodes``. The arrays are read-only."""
        return self._codes

    @cached_property
    def _codes(self) -> InteractionCodes:
        user = _positions(self.interactions["user_id"], self.user_ids)
        item = _positions(self.interactions["item_id"], self.item_ids)
        time = pc.fill_null(self.interactions["timestamp"], float("nan")).to_numpy().astype(np.float64)
        order = np.lexsort((np.where(np.isnan(time), -np.inf, time), user))
        arrays = (user[order], item[order], time[order], order.astype(np.int64))
        for array in arrays:
            array.setflags(write=False)
        return InteractionCodes(user=arrays[0], item=arrays[1], timestamp=arrays[2], row=arrays[3])

    @cached_property
    def _user_bounds(self) -> list[int]:
        """Where each user's run starts in ``codes()``; one more entry than users."""
        bounds: list[int] = np.searchsorted(self._codes.user, np.arange(len(self.user_ids) + 1)).tolist()
        return bounds

    def sequences(self) -> dict[str, NDArray[np.int32]]:
        """Item positions (into ``item_ids``) of every user with interactions, oldest first."""
        bounds = self._user_bounds
        return {
            user_id: self._codes.item[bounds[position] : bounds[position + 1]]
            for position, user_id in enumerate(self.user_ids)
            if bounds[position] < bounds[position + 1]
        }

    @cached_property
    def value_range(self) -> tuple[float, float] | None:
        """Lowest and highest value where the values are ratings; None without values, or for counts."""
        bounds = pc.min_max(self.interactions["value"])
        low, high = bounds["min"].as_py(), bounds["max"].as_py()
        if low is None or low == high or max(-low, high) > MAX_SCALE:
            return None
        return low, high

    @cached_property
    def context_values(self) -> Mapping[str, frozenset[str]]:
        """The values of each context column, in lower case."""
        return {
            name: frozenset(
                value for value in pc.unique(pc.utf8_lower(self.interactions[name])).to_pylist() if value
            )
            for name in self.context_columns
        }

    @cached_property
    def event_names(self) -> frozenset[str]:
        return frozenset(pc.unique(self.interactions["event"]).to_pylist())

    def without_events(self, names: Collection[str]) -> Dataset:
        """The same data without the events of these names; itself where there are none."""
        if not self.event_names & set(names):
            return self
        unwanted = pc.is_in(self.interactions["event"], value_set=pa.array(sorted(names), pa.string()))
        return replace(self, interactions=self.interactions.filter(pc.invert(unwanted)).combine_chunks())

    @property
    def context_columns(self) -> tuple[str, ...]:
        return tuple(name for name in self.interactions.column_names if name not in INTERACTION_FIELDS)

    def describe(self) -> dict[str, Any]:
        """Counts, ranges and columns as plain JSON values."""
        from tastemaker.data.describe import describe

        return describe(self)


def refuse_foreign_folder(folder: Path, kind: str) -> None:
    """Raise StorageError when ``folder`` holds anything but a ``kind``: replacing it would lose that."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    try:
        read_manifest(folder, kind, check_files=False)
    except (ArtifactError, NotADirectoryError) as error:
        raise StorageError(
            f"{folder} exists and holds no {kind}; it is left alone", hint="choose another folder"
        ) from error


def _positions(column: pa.ChunkedArray, ids: tuple[str, ...]) -> NDArray[np.int32]:
    found = pc.index_in(column, value_set=pa.array(ids, pa.string()))
    codes: NDArray[np.int32] = found.to_numpy().astype(np.int32)
    return codes


def _as_item(row: dict[str, Any]) -> Item:
    attributes: dict[str, AttributeValue] = {}
    for name, value in row.items():
        if name in ("id", "title", "description") or value is None or value in ("", []):
            continue
        attributes[name] = tuple(value) if isinstance(value, list) else value
    return Item(id=row["id"], title=row["title"], description=row["description"], attributes=attributes)
