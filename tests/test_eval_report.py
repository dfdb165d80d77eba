"""The report holds every figure and plot, stands alone, and is the same for the same runs."""

from __future__ import annotations

import builtins
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tastemaker.errors import DataError, MissingExtraError
from tastemaker.eval.protocols import Protocol, make_protocol
from tastemaker.eval.report import write_report
from tastemaker.eval.run import Reranked, ScoredList, pool_draws, run_system
from tastemaker.eval.runfile import save_run
from tastemaker.testing.data import film_data
from tastemaker.types import Request


@pytest.fixture(scope="module")
def protocol() -> Protocol:
    return make_protocol(film_data(), "loo")


@pytest.fixture(scope="module")
def runs(protocol: Protocol, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A retriever with the target third for half of the users, and a reranker that puts it first there."""
    folder = tmp_path_factory.mktemp("runs")
    targets = {q.request.request_id: (i % 2, q.target) for i, q in enumerate(protocol.questions)}

    def retriever(requests: Sequence[Request]) -> list[ScoredList]:
        found = [targets[request.request_id] for request in requests]
        return [[("x", 3.0), ("y", 2.0), (t if odd else "z", 1.0)] for odd, t in found]

    def reranker(requests: Sequence[Request]) -> list[Reranked]:
        return [
            Reranked(items=[*found][::-1], candidates=tuple(one for one, _ in found))
            for found in ([(one, -score) for one, score in some] for some in retriever(requests))
        ]

    for name, system in {"retriever <b>": retriever, "reranker": reranker}.items():
        made = {"command": f"tastemaker eval run --system '{name}'", "commit": "abc", "date": "2026-01-01"}
        save_run(run_system(name, system, protocol), folder / name, made=made)
    return [folder / "retriever <b>", folder / "reranker"]


class Page(HTMLParser):
    """Tags that are open at the end, text, and every address that would be loaded."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.loaded: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "br"):
            self.open.append(tag)
        self.loaded += [value or "" for name, value in attrs if name in ("src", "href") and value]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_one_page_stands_alone_with_figures_and_plots(runs: list[Path], tmp_path: Path) -> None:
    page, markdown, *plots = write_report(runs, tmp_path / "report")
    html = page.read_text(encoding="utf-8")
    parsed = Page(html)
    assert parsed.open == []
    assert parsed.tags.count("svg") == len(plots) == 5
    assert "script" not in parsed.tags
    assert all(address.startswith("#") for address in parsed.loaded), "SVG parts refer to each other only"
    assert "@import" not in html
    text = " ".join(parsed.texts)
    assert "retriever <b>" in text
    assert "<b>" not in html.replace("&lt;b&gt;", "")
    # 15 of 30 users have the target third, 1 / log2(4) = .5, or first: N@10 .25 and .5.
    for figure in ("0.2500", "0.5000", "+100.0 %", "base", "--system 'reranker'", "abc", "2026-01-01"):
        assert figure in text, figure
    told = markdown.read_text(encoding="utf-8")
    assert all(f"]({plot.name})" in told for plot in plots)
    assert "| reranker | 0.5000 (" in told
    for plot in plots:
        assert ET.parse(plot).getroot().tag.endswith("svg")
    position = (tmp_path / "report" / "by-position.svg").read_text(encoding="utf-8")
    assert "order of the retriever" in position
    assert "not found" in position


def test_the_same_runs_give_the_same_report(runs: list[Path], tmp_path: Path) -> None:
    first, again = (write_report(runs, tmp_path / name) for name in ("first", "again"))
    for one, other in zip(first, again, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name


def test_retrievers_alone_have_no_plot_by_position(runs: list[Path], tmp_path: Path) -> None:
    written = write_report(runs[:1], tmp_path)
    assert {path.name for path in written} == {
        "report.html",
        "report.md",
        "overview.svg",
        "by-history.svg",
        "by-popularity.svg",
        "ceiling.svg",
    }


def test_draws_show_their_spread(protocol: Protocol, tmp_path: Path) -> None:
    draws = []
    for hits in (1.0, 0.0):
        system = lambda requests, hits=hits: [  # noqa: E731
            [(q.target, 1.0)] if hits else []
            for q in protocol.questions
            if q.request in requests
        ]  # fmt: skip
        draws.append(run_system("f", system, protocol))
    save_run(pool_draws(draws), tmp_path / "draws")
    page, markdown, *_ = write_report([tmp_path / "draws"], tmp_path / "report")
    assert "sd 0.7071" in page.read_text(encoding="utf-8")
    assert "over 2 draws" in markdown.read_text(encoding="utf-8")


def test_what_cannot_be_reported(runs: list[Path], protocol: Protocol, tmp_path: Path) -> None:
    other = Protocol(name="loo", description="", train=protocol.train, questions=protocol.questions[:3])
    save_run(run_system("few", lambda requests: [[] for _ in requests], other), tmp_path / "few")
    with pytest.raises(DataError, match="different questions"):
        write_report([runs[0], tmp_path / "few"], tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_without_matplotlib_the_extra_is_named(
    runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported = builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return imported(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"pip install 'tastemaker\[report\]'"):
        write_report(runs, tmp_path / "report")
    assert not (tmp_path / "report").exists()
