"""From what happened to a better model: events enter the data, and become training material."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.agent.store import TAKEN_BACK, Impression, Store, StoredEvent
from tastemaker.artifacts import atomic_file
from tastemaker.config import resolve
from tastemaker.data.dataset import Dataset
from tastemaker.data.tables import INTERACTION_FIELDS
from tastemaker.index.build import build_index
from tastemaker.index.store import ItemIndex
from tastemaker.prompts.domains import Domain, load_domain
from tastemaker.protocols import Embedder
from tastemaker.types import field_name
from tastemaker.workspace import Workspace

KNOWN_BEFORE = ("seen",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Synced:
    """``dataset`` with the new events; ``added`` of them, ``known`` before, ``nobodys`` without a user,
    ``unknown`` about items that the catalogue has no more, ``unheard`` with names that neither the domain nor
    the data know: "flargle" may mean the worst, and would count for its item.
    """

    dataset: Dataset
    added: int
    known: int
    nobodys: int
    unknown: int
    unheard: int = 0


def synced(dataset: Dataset, store: Store, domain: Domain | None = None) -> Synced:
    """The data with the store's events behind them, each once however often this is done.

    An event's situation, as far as the data have columns for it, is that of the list it was shown in.
    """
    columns = dataset.interactions.select(["user_id", "item_id", "event", "timestamp"]).to_pylist()
    known = {tuple(row.values()) for row in columns}
    new: list[StoredEvent] = []
    counts = {"known": 0, "nobodys": 0, "unknown": 0, "unheard": 0}
    for one in standing(store.events()):
        if one.user_id is None:
            counts["nobodys"] += 1
        elif not dataset.has_item(one.item_id):
            counts["unknown"] += 1
        elif domain is not None and domain.said(one.event) is None and one.event not in dataset.event_names:
            counts["unheard"] += 1
        elif (one.user_id, one.item_id, one.event, one.time) in known:
            counts["known"] += 1
        else:
            known.add((one.user_id, one.item_id, one.event, one.time))
            new.append(one)
    shown = {one.request_id: one for one in store.impressions()}
    return Synced(dataset=with_events(dataset, new, shown), added=len(new), **counts)


def standing(events: Sequence[StoredEvent]) -> list[StoredEvent]:
    """The events not taken back later: in the same conversation or, outside of any, as the same user."""
    kept: list[StoredEvent] = []
    for one in events:
        if one.event == TAKEN_BACK:
            kept = [had for had in kept if not _undoes(one, had)]
        else:
            kept.append(one)
    return kept


def _undoes(taken_back: StoredEvent, had: StoredEvent) -> bool:
    """Who is nobody, in no conversation, takes nothing back: others are nobody too."""
    if had.item_id != taken_back.item_id or had.session_id != taken_back.session_id:
        return False
    if taken_back.session_id is not None:
        return True
    return taken_back.user_id is not None and had.user_id == taken_back.user_id


def with_events(
    dataset: Dataset, events: Sequence[StoredEvent], shown: Mapping[str, Impression] | None = None
) -> Dataset:
    """The data with these events of known users and items behind them. ``shown``: lists by request id."""
    if not events:
        return dataset
    rows = [_row(one, (shown or {}).get(one.request_id or ""), dataset.context_columns) for one in events]
    new = pa.Table.from_pylist(rows, schema=dataset.interactions.schema)
    return Dataset.from_tables(dataset.items, pa.concat_tables([dataset.interactions, new]), dataset.users)


def _row(one: StoredEvent, shown: Impression | None, columns: Sequence[str]) -> dict[str, Any]:
    situation = (
        {field_name(name): value for name, value in shown.context.items()} if shown is not None else {}
    )
    row: dict[str, Any] = dict.fromkeys((*INTERACTION_FIELDS, *columns))
    row |= {name: situation.get(field_name(name)) for name in columns}
    return row | {
        "user_id": one.user_id,
        "item_id": one.item_id,
        "timestamp": one.time,
        "event": one.event,
        "value": one.value,
    }


def without_events(dataset: Dataset, events: Sequence[StoredEvent]) -> Dataset:
    """The data without those of these events that have entered them (``synced``)."""
    told = {(one.user_id, one.item_id, one.event, one.time) for one in events}
    rows = dataset.interactions.select(["user_id", "item_id", "event", "timestamp"]).to_pylist()
    kept = [tuple(row.values()) not in told for row in rows]
    if all(kept):
        return dataset
    return Dataset.from_tables(dataset.items, dataset.interactions.filter(pa.array(kept)), dataset.users)


def without_user(dataset: Dataset, user_id: str) -> Dataset:
    """The data without a user."""
    users = dataset.users
    if users is not None:
        users = users.filter(pc.not_equal(users["user_id"], user_id))
    events = dataset.interactions
    return Dataset.from_tables(dataset.items, events.filter(pc.not_equal(events["user_id"], user_id)), users)


def sync(workspace: Workspace, store: Store, embedder: Embedder) -> Synced:
    """Let the store's events enter a workspace's data, and make the index fit them.

    A user encoder that was trained before no longer fits and has to be trained again.
    """
    domain = load_domain(resolve(workspace.config)[0].domain)
    found = synced(Dataset.load(workspace.require_data()), store, domain)
    _keep_data(workspace, found.dataset, embedder, changed=found.added > 0)
    return found


def forget_user(workspace: Workspace, embedder: Embedder, user_id: str) -> int:
    """Delete a user from a workspace's data; how many interactions that were."""
    before = Dataset.load(workspace.require_data())
    known = user_id in before.user_positions
    after = without_user(before, user_id) if known else before
    _keep_data(workspace, after, embedder, changed=known)
    return before.counts["interactions"] - after.counts["interactions"]


def _keep_data(workspace: Workspace, dataset: Dataset, embedder: Embedder, *, changed: bool) -> None:
    if changed:
        dataset.save(workspace.data)
    elif _index_data(workspace) in (None, dataset.fingerprint):
        return
    # No text has changed, so every vector comes from the cache. An index that an interrupted call left
    # behind its data is brought up to them too.
    build_index(dataset, workspace.index, embedder)


def _index_data(workspace: Workspace) -> str | None:
    """Fingerprint of the data that the index was built from; None without an index."""
    if not workspace.index.is_dir():
        return None
    return ItemIndex.load(
        workspace.index, embedder_fingerprint=None, dataset_fingerprint=None
    ).dataset_fingerprint


def examples(store: Store, domain: Domain) -> Iterator[dict[str, Any]]:
    """Ranker training examples: a list that was shown, and which of it was chosen (weight above 0)."""
    for shown, events in _judged(store):
        weights = {one.item_id: _choice(domain, one.event) for one in events}
        chosen = [item for item in shown.items if weights.get(item, 0.0) > 0]
        if chosen:
            yield {
                "request_id": shown.request_id,
                "user_id": shown.user_id,
                "time": shown.time,
                "context": dict(shown.context),
                "wish": shown.wish,
                "candidates": list(shown.items),
                "chosen": chosen,
            }


def preferences(store: Store, domain: Domain) -> Iterator[dict[str, Any]]:
    """Preference pairs within one list: what was taken before what was turned down or passed over.

    Passed over is what stood above a chosen item and got no event: it was seen and not taken.
    """
    for shown, events in _judged(store):
        weights = {one.item_id: _choice(domain, one.event) for one in events}
        for place, better in enumerate(shown.items):
            if weights.get(better, 0.0) <= 0:
                continue
            for at, worse in enumerate(shown.items):
                if weights.get(worse, 0.0) < 0 or (worse not in weights and at < place):
                    yield {
                        "request_id": shown.request_id,
                        "user_id": shown.user_id,
                        "context": dict(shown.context),
                        "wish": shown.wish,
                        "chosen": better,
                        "rejected": worse,
                        "passed_over": worse not in weights,
                    }


def _choice(domain: Domain, event: str) -> float:
    """How much an event says that an item was chosen from a list: nothing, where the domain does not know it,
    or where it says that the item was known before.
    """
    return domain.weight(event) if domain.knows(event) and event not in KNOWN_BEFORE else 0.0


def _judged(store: Store) -> Iterator[tuple[Impression, list[StoredEvent]]]:
    """Lists with the events upon their items, the oldest list first."""
    by_request: dict[str, list[StoredEvent]] = {}
    for one in standing(store.events()):
        if one.request_id is not None:
            by_request.setdefault(one.request_id, []).append(one)
    for shown in store.impressions():
        events = [one for one in by_request.get(shown.request_id, []) if one.item_id in shown.items]
        if events:
            yield shown, events


def write_lines(rows: Iterator[dict[str, Any]], path: Path) -> int:
    """Write JSON lines whole or not at all; how many."""
    count = 0
    with atomic_file(path) as staged, staged.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += 1
    return count
