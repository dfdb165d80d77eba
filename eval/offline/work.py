"""The work of a report, in parts that are done once: a killed run goes on where it was.

Requests are dealt into parts of ``PART``, always the same ones. A part is answered as one batch and written
whole; a report is over when no part is missing. So the result does not depend on how often the work was cut
off, nor on which process did which part.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from typing import Any

import numpy as np

from tastemaker.agent.assemble import load_parts
from tastemaker.artifacts import atomic_file, write_json
from tastemaker.config import Settings
from tastemaker.data.dataset import Dataset
from tastemaker.errors import ConfigError, TastemakerError
from tastemaker.eval.offline.questions import Questions, questions
from tastemaker.eval.offline.record import Record, Recorder, failed
from tastemaker.protocols import ProgressCallback
from tastemaker.types import Language, Request
from tastemaker.workspace import Workspace

PART = 8
"""Requests answered together: 40 explanations of five items each fill a batch of the language model."""

Rows = list[tuple[Record, dict[str, float]]]
"""Records with the milliseconds that each stage took."""

STAGE = "explaining"
_WORK = ".work"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that the records of a report follow from. Values only: it travels to other processes.

    ``users``: see ``questions``. ``probe``: so many requests, drawn at random, have their evidence tested.
    """

    workspace: Path
    settings: Settings
    users: str
    k: int
    seed: int
    probe: int
    language: Language | None = None

    def identity(self, dataset: Dataset, questions: Questions) -> dict[str, Any]:
        """What must be the same for a report to be continued, by the names that users know."""
        return {
            "users": self.users,
            "questions": questions.description,
            "k": self.k,
            "seed": self.seed,
            "probe": self.probe,
            "language": self.language,
            "part": PART,
            "data": dataset.fingerprint,
            **{f"setting {name}": value for name, value in self.settings.as_dict().items()},
            "models": _models(self.workspace, self.settings),
            "requests": _digest(one.request for one in questions.asked),
        }


def _digest(requests: Iterable[Request]) -> str:
    """Of everything that is asked, in order."""
    told = hashlib.sha256()
    for one in requests:
        history = [
            (entry.title, entry.item_id, entry.timestamp, entry.event, entry.value) for entry in one.history
        ]
        asked = [one.request_id, one.user_id, history, one.context.as_mapping(), one.wish, one.k]
        limits = [[str(limit) for limit in one.filters], sorted(one.exclude), one.language]
        told.update(json.dumps([asked, limits]).encode())
    return told.hexdigest()[:16]


def _models(workspace: Path, settings: Settings) -> str:
    """A digest of what the workspace has learned: manifests name every file by its sha256."""
    folders = [workspace / name for name in ("index", "retriever", "ranker")]
    if settings.adapter is not None:
        folders.append(Path(settings.adapter))
    told = hashlib.sha256()
    for path in sorted(path for folder in folders for path in folder.rglob("*.json")):
        told.update(str(path).encode() + path.read_bytes())
    return told.hexdigest()[:16]


class Worker:
    """Answers parts of a plan. Models are loaded when the first part is asked for."""

    def __init__(self, plan: Plan, progress: ProgressCallback | None = None) -> None:
        self._plan = plan
        self._progress = progress

    @cached_property
    def dataset(self) -> Dataset:
        return Dataset.load(Workspace(self._plan.workspace).require_data())

    @cached_property
    def questions(self) -> Questions:
        plan = self._plan
        return questions(
            self.dataset,
            plan.users,
            k=plan.k,
            seed=plan.seed,
            language=plan.language,
            domain=plan.settings.domain,
        )

    @cached_property
    def _recorder(self) -> Recorder:
        plan = self._plan
        parts = load_parts(
            Workspace(plan.workspace), plan.settings, self._progress, train=self.questions.train
        )
        order = np.random.default_rng(plan.seed).permutation(len(self.questions.asked))
        probed = frozenset(order[: plan.probe].tolist())
        return Recorder(parts, plan.settings, seed=plan.seed, probed=probed)

    @property
    def parts(self) -> list[range]:
        """The numbers of the requests of each part."""
        total = len(self.questions.asked)
        return [range(first, min(first + PART, total)) for first in range(0, total, PART)]

    def answer(self, part: int) -> Rows:
        """The part's records; a request that fails is recorded as such, and the others are answered."""
        asked = [(number, self.questions.asked[number]) for number in self.parts[part]]
        recorder = self._recorder
        try:
            return recorder.records(asked)
        except Exception:
            # Whose fault it was is found out one by one.
            out = []
            for one in asked:
                try:
                    out += recorder.records([one])
                except Exception as error:
                    out.append((failed(one[1], error), {}))
            return out

    def warm_up(self) -> None:
        """Load everything; raises what cannot be loaded."""
        _ = self._recorder


class Store:
    """The finished parts of a report in its folder."""

    def __init__(self, folder: Path) -> None:
        self._work = folder / _WORK

    def begin(self, identity: Mapping[str, Any], *, restart: bool) -> None:
        """Make ready for a plan.

        Raises:
            ConfigError: the folder holds parts of another plan.
            StorageError: it cannot be written.
        """
        plan = self._work / "plan.json"
        if not plan.exists() and set(self._work.parent.glob("*")) - {self._work}:
            raise ConfigError(
                f"{self._work.parent} holds other files; a report needs a folder of its own",
                hint="choose another --out",
            )
        known = self._known(plan) if plan.exists() and not restart else None
        if known is not None and known != identity:
            name = next(key for key in {**known, **identity} if known.get(key) != identity.get(key))
            raise ConfigError(
                f"{self._work.parent} holds a report that was begun with {name} {known.get(name)!r}, not "
                f"{identity.get(name)!r}",
                hint="choose another --out, or --restart to throw it away",
            )
        if known is None:
            # Parts without their plan are of nobody knows what.
            for old in [*self._parts(), *filter(Path.is_file, self._work.parent.glob("*"))]:
                old.unlink()
        write_json(plan, identity)

    def forget_if_empty(self) -> None:
        """Nothing was answered, so that another plan may have the folder."""
        if not self._parts():
            (self._work / "plan.json").unlink(missing_ok=True)

    def _parts(self) -> list[Path]:
        return list(self._work.glob("part-*.jsonl"))

    def _known(self, plan: Path) -> dict[str, Any]:
        try:
            found = json.loads(plan.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{plan} cannot be read: {error}", hint="choose another --out, or --restart to throw it away"
            ) from error
        return found if isinstance(found, dict) else {"plan": found}

    def missing(self, sizes: Sequence[int]) -> list[int]:
        """Parts that are not there, not whole, or hold a request that failed, for so many requests each."""
        return [part for part, size in enumerate(sizes) if not _whole(self._rows(part), size)]

    def write(self, part: int, rows: Sequence[tuple[Record, Mapping[str, float]]]) -> None:
        lines = [json.dumps([record, spent], ensure_ascii=False) for record, spent in rows]
        with atomic_file(self._file(part)) as staged:
            staged.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def read(self, parts: int) -> Iterator[tuple[Record, dict[str, float]]]:
        for part in range(parts):
            yield from self._rows(part)

    def _rows(self, part: int) -> Rows:
        """The rows of a part; none where it is missing or damaged, so that it is done again."""
        try:
            lines = self._file(part).read_text(encoding="utf-8").split("\n")
            return [(record, spent) for record, spent in map(json.loads, filter(None, lines))]
        except (OSError, ValueError, TypeError):
            return []

    def _file(self, part: int) -> Path:
        return self._work / f"part-{part:05d}.jsonl"


def _whole(rows: Rows, size: int) -> bool:
    return len(rows) == size and all(record["status"] == "ok" for record, _ in rows)


def work(
    worker: Worker, plan: Plan, store: Store, *, workers: int, progress: ProgressCallback | None = None
) -> None:
    """Answer what is missing, in this process or in ``workers`` others.

    Raises:
        TastemakerError: models or data cannot be loaded.
    """
    parts = worker.parts
    missing = store.missing([len(part) for part in parts])
    total = len(worker.questions.asked)
    done = total - sum(len(parts[part]) for part in missing)
    if progress is not None:
        progress(STAGE, done, total)
    alone = workers == 1 or len(missing) < 2
    finished = _here(worker, missing) if alone else _spread(plan, missing, workers)
    for part, rows in finished:
        store.write(part, rows)
        done += len(rows)
        if progress is not None:
            progress(STAGE, done, total)


def _here(worker: Worker, missing: Sequence[int]) -> Iterator[tuple[int, Rows]]:
    with _one_thread():
        for part in missing:
            yield part, worker.answer(part)


@contextmanager
def _one_thread() -> Iterator[None]:
    """One core per process, whatever their number: sums over more threads end in other digits."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _spread(plan: Plan, missing: Sequence[int], workers: int) -> Iterator[tuple[int, Rows]]:
    pool = ProcessPoolExecutor(
        min(workers, len(missing)), mp_context=get_context("spawn"), initializer=_start, initargs=(plan,)
    )
    try:
        waiting = {pool.submit(_answer, part): part for part in missing}
        for future in as_completed(waiting):
            answer = future.result()
            if isinstance(answer, tuple):
                message, hint = answer
                raise TastemakerError(message, hint=hint)
            yield waiting[future], answer
    except BrokenProcessPool as error:
        raise TastemakerError(
            "a process of the report has died, perhaps for want of memory; what was done is kept",
            hint="run it again, with fewer --workers",
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_worker: Worker | None = None
"""Of this process, where it is one of several: a pool's tasks have no other place to find it."""


def _start(plan: Plan) -> None:
    global _worker
    import torch

    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worker = Worker(plan)


def _answer(part: int) -> Rows | tuple[str, str | None]:
    """The part's rows, or message and hint of what could not be loaded: our errors cannot be pickled."""
    assert _worker is not None
    try:
        return _worker.answer(part)
    except TastemakerError as error:
        return error.message, error.hint


def _end_with_parent() -> None:
    """A killed report leaves no process behind."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
