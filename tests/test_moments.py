"""One person in ten situations: how alike two lists are, what is asked, and what the report shows of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from tastemaker.agent.cli.app import app, run
from tastemaker.data.dataset import Dataset
from tastemaker.errors import ConfigError, TastemakerError, UnknownUserError
from tastemaker.eval.offline.moments import MOMENTS, rank_biased_overlap, several_moments, situations
from tastemaker.eval.offline.page import render_page
from tastemaker.eval.offline.questions import Questions, questions
from tastemaker.index.build import build_index
from tastemaker.prompts.domains import load_domain, shipped_domains
from tastemaker.testing.data import SEEN, film_data
from tastemaker.testing.embedders import HashEmbedder
from tastemaker.workspace import Workspace

FANS = 16
KINDS = {"comedy": ("family", 8), "thriller": ("alone", 8), "documentary": (None, 6)}
"""Company in which a kind is watched, if anybody said, and how many films of it there are."""

WATCHED = [
    {"family": "comedy", "alone": "thriller"}.get(moment.get("company", ""), "documentary")
    for moment in MOMENTS
]
"""What ``films`` has for each moment: of a company that nobody named, the most popular kind."""

ODD = "<b>15"
LISTED = 3


def films() -> Dataset:
    """Everybody has had three in a row of each kind; documentaries are fewest, so each was had most often.

    There are no times: but for the company nothing is known of a situation.
    """
    shelf = [(kind, number) for kind, (_, size) in KINDS.items() for number in range(size)]
    seen = [
        (fan if fan != f"fan-{FANS - 1}" else ODD, f"{kind}-{(number + step) % size}", company)
        for number, fan in enumerate(f"fan-{number}" for number in range(FANS))
        for kind, (company, size) in KINDS.items()
        for step in range(LISTED)
    ]
    users, items, company = zip(*seen, strict=True)
    return Dataset.from_tables(
        pa.table(
            {
                "id": [f"{kind}-{number}" for kind, number in shelf],
                "title": [f"{kind.title()} {number}" for kind, number in shelf],
                "genres": pa.array([[kind.title()] for kind, _ in shelf], pa.list_(pa.string())),
            }
        ),
        pa.table({"user_id": users, "item_id": items, "company": pa.array(company, pa.string())}),
    )


def workspace(folder: Path, weights: dict[str, float]) -> Workspace:
    place = Workspace(folder)
    films().save(place.data)
    build_index(films(), place.index, HashEmbedder())
    place.config.write_text("domain: films\nllm: none\ncandidates: 15\nexplain: template\n")
    place.retriever.mkdir()
    cases = dict.fromkeys(("history", "both", "words", "nobody"), weights)
    (place.retriever / "weights.json").write_text(json.dumps(cases))
    return place


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The situation decides; where nothing is known of it, popularity."""
    return workspace(tmp_path_factory.mktemp("situated") / "w", {"popularity": 1.0, "situation": 10.0})


@pytest.fixture(autouse=True)
def _hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "tastemaker.agent.assemble.load_embedder", lambda source, progress=None: HashEmbedder()
    )


def words(place: Workspace, folder: Path, users: str) -> list[str]:
    return ["report", "-w", str(place.root), "--users", users, "--out", str(folder), "--workers", "1"]


def report(place: Workspace, folder: Path, users: str) -> dict[str, Any]:
    """The summary; raises what the command raises."""
    options = ["--probe", "2", "-k", str(LISTED), "--json"]
    done = CliRunner().invoke(app, [*words(place, folder, users), *options])
    if isinstance(done.exception, TastemakerError):
        raise done.exception
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def whole(place: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tastemaker.agent.assemble.load_embedder", lambda source, progress=None: HashEmbedder())
        report(place, folder, "moments:fan-0")
    return folder


# How alike two lists are

ranked = st.lists(st.sampled_from("abcdefghijkl"), unique=True, max_size=12)


@pytest.mark.parametrize(
    ("one", "two", "p", "value"),
    [
        # X of d is what the first d places share: X(k) / k * p^k + (1 - p) / p * sum of X(d) / d * p^d.
        ("ab", "ba", 0.9, 1 * 0.81 + 1 / 9 * (0 + 0.81)),
        ("ab", "ba", 0.5, 1 * 0.25 + 1 * (0 + 0.25)),
        ("abc", "abd", 0.9, 2 / 3 * 0.729 + 1 / 9 * (0.9 + 0.81 + 2 / 3 * 0.729)),
        ("abc", "dbc", 0.9, 2 / 3 * 0.729 + 1 / 9 * (0 + 1 / 2 * 0.81 + 2 / 3 * 0.729)),
        ("abc", "cab", 0.9, 1 * 0.729 + 1 / 9 * (0 + 1 / 2 * 0.81 + 0.729)),
        ("ab", "bcd", 0.9, 1 / 2 * 0.81 + 1 / 9 * (0 + 1 / 2 * 0.81)),
        ("a", "a", 0.9, 1.0),
        ("a", "b", 0.9, 0.0),
        ("abc", "ab", 0.9, 1.0),
        ("", "", 0.9, 1.0),
        ("", "a", 0.9, 0.0),
    ],
)
def test_rank_biased_overlap_by_hand(one: str, two: str, p: float, value: float) -> None:
    assert rank_biased_overlap(list(one), list(two), p) == pytest.approx(value)


def test_rank_biased_overlap_in_plain_numbers() -> None:
    assert rank_biased_overlap("ab", "ba") == pytest.approx(0.9)
    assert rank_biased_overlap("abc", "abd") == pytest.approx(0.73)
    assert rank_biased_overlap("abc", "dbc") == pytest.approx(0.585)


@given(ranked, ranked)
def test_it_has_no_direction_and_stays_between_nothing_and_all(one: list[str], two: list[str]) -> None:
    value = rank_biased_overlap(one, two)
    assert value == pytest.approx(rank_biased_overlap(two, one))
    assert -1e-12 <= value <= 1 + 1e-12


@given(ranked)
def test_the_same_list_is_all_of_it(one: list[str]) -> None:
    assert rank_biased_overlap(one, list(one)) == pytest.approx(1.0)


@given(ranked.filter(bool), ranked.filter(bool))
def test_lists_without_a_common_item_have_nothing(one: list[str], two: list[str]) -> None:
    assert rank_biased_overlap(one, [name.upper() for name in two]) == 0.0


@given(ranked.filter(bool), ranked.filter(bool))
def test_what_the_shorter_list_lacks_plays_no_role(one: list[str], two: list[str]) -> None:
    depth = min(len(one), len(two))
    assert rank_biased_overlap(one, two) == rank_biased_overlap(one[:depth], two[:depth])


@given(ranked.filter(lambda names: len(names) > 2), st.data())
def test_another_item_costs_more_the_higher_it_stands(names: list[str], data: st.DataObject) -> None:
    high, low = sorted(data.draw(st.sets(st.sampled_from(range(len(names))), min_size=2, max_size=2)))

    def changed(place: int) -> list[str]:
        return [*names[:place], "new", *names[place + 1 :]]

    top, bottom = (rank_biased_overlap(names, changed(place)) for place in (high, low))
    assert 0 <= top < bottom < 1


# The situations


def test_ten_situations_that_differ() -> None:
    found = situations(load_domain("films"), film_data())
    assert found == list(map(dict, MOMENTS))
    assert len({json.dumps(moment, sort_keys=True) for moment in found}) == 10


@pytest.mark.parametrize("name", shipped_domains())
def test_every_domain_has_ten_that_differ_and_no_field_of_another(name: str) -> None:
    domain = load_domain(name)
    found = situations(domain, film_data())
    assert len({json.dumps(moment, sort_keys=True) for moment in found}) == 10
    told = {field for moment in found for field in moment}
    assert told - {"weekday", "part_of_day", "day_type", "season"} <= {*domain.context, "company"}


def test_a_field_that_neither_domain_nor_data_know_is_left_out() -> None:
    bare = replace(load_domain("films"), context={})
    clock = ("weekday", "part_of_day", "day_type", "season")

    def kept(*names: str) -> list[dict[str, str]]:
        return [{name: value for name, value in moment.items() if name in names} for moment in MOMENTS]

    events = film_data().interactions
    dataset = replace(film_data(), interactions=events.drop_columns(["company"]))
    assert situations(bare, dataset) == kept(*clock)
    assert situations(bare, film_data()) == kept(*clock, "company")
    rained = dataset.interactions.append_column("weather", pa.nulls(events.num_rows, pa.string()))
    assert situations(bare, replace(dataset, interactions=rained)) == kept(*clock, "weather")
    with_mood = replace(bare, context={"mood": ("sad",)})
    assert situations(with_mood, dataset) == kept(*clock, "mood")


def asked(users: str, **options: Any) -> Questions:
    return questions(film_data(), users, k=4, seed=0, domain="films", **options)


def test_one_user_is_asked_ten_times_with_all_that_is_known() -> None:
    found = asked("moments:comedy-fan-3")
    assert found.train is None
    assert found.description == "user comedy-fan-3 in 10 situations; all data"
    assert [dict(one.request.context.as_mapping()) for one in found.asked] == list(map(dict, MOMENTS))
    for one in found.asked:
        assert (one.request.user_id, one.request.k, one.target) == ("comedy-fan-3", 4, None)
        assert one.request.history == film_data().history("comedy-fan-3")
        assert len(one.request.history) == SEEN
    names = [one.request.request_id or "" for one in found.asked]
    assert len(set(names)) == 10
    assert names[3] == "comedy-fan-3 · friday, evening, partner, romantic"


def test_a_language_holds_for_all_ten() -> None:
    assert {one.request.language for one in asked("moments:comedy-fan-3").asked} == {"en"}
    assert {one.request.language for one in asked("moments:comedy-fan-3", language="zh").asked} == {"zh"}


# What is said of the lists


def record(user: str | None, ids: Sequence[str], *, kinds: str | None = "fact") -> dict[str, Any]:
    """An answer; ``kinds``: of the evidence of every item, None for no explanation."""
    explained = None if kinds is None else {"evidence": [{"kind": kind} for kind in kinds.split()]}
    items = [{"id": name, "title": name.upper(), "explanation": explained} for name in ids]
    return {"status": "ok", "user_id": user, "situation": [f"with {''.join(ids)}"], "items": items}


def test_lists_of_one_user_are_compared() -> None:
    records = [
        record("u", "ab", kinds="history context"),
        record("other", "ab"),
        record("u", "ba", kinds="context"),
        record("u", "cd", kinds="fact history"),
    ]
    [found] = several_moments(records)
    assert found == {
        "user_id": "u",
        "situations": [["with ab"], ["with ba"], ["with cd"]],
        "titles": [["A", "B"], ["B", "A"], ["C", "D"]],
        "overlap": [[1.0, 0.9, 0.0], [0.9, 1.0, 0.0], [0.0, 0.0, 1.0]],
        "mean_overlap": 0.3,
        "cites_situation": round(4 / 6, 4),
    }


def test_who_was_asked_once_or_is_nobody_has_no_moments() -> None:
    failed = {"status": "failed", "user_id": "u", "error": "RuntimeError"}
    nobody = [record(None, "ab"), record(None, "ab")]
    assert several_moments([record("u", "ab"), failed, *nobody]) == []
    assert [one["user_id"] for one in several_moments([record("u", "ab"), failed, record("u", "b")])] == ["u"]


def test_without_explanations_nothing_is_said_of_citing() -> None:
    [found] = several_moments([record("u", "a", kinds=None), record("u", "b", kinds=None)])
    assert found["cites_situation"] is None
    [found] = several_moments([record("u", "a", kinds=None), record("u", "b", kinds="context")])
    assert found["cites_situation"] == 1.0


# The report


class _Table(HTMLParser):
    """Rows of the table of moments, and the headings of the page."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.headings: list[str] = []
        self._inside = False
        self._into: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self._inside = ("class", "moments") in attrs
        elif tag == "tr" and self._inside:
            self.rows.append([])
        elif tag in ("td", "th") and self._inside:
            self._into = self.rows[-1]
            self._into.append("")
        elif tag == "h2":
            self._into = self.headings
            self._into.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th", "h2"):
            self._into = None
        elif tag == "table":
            self._inside = False

    def handle_data(self, data: str) -> None:
        if self._into is not None:
            self._into[-1] += data


def page_of(folder: Path) -> _Table:
    found = _Table()
    found.feed((folder / "index.html").read_text(encoding="utf-8"))
    return found


def test_lists_differ_as_the_situations_do(whole: Path) -> None:
    summary = json.loads((whole / "summary.json").read_text())
    assert (summary["requests"], summary["items"], summary["failed"]) == (10, 10 * LISTED, 0)
    assert summary["ranking"] is None
    [found] = summary["moments"]
    assert found["user_id"] == "fan-0"
    assert found["titles"] == [[f"{kind.title()} {number}" for number in (3, 4, 5)] for kind in WATCHED]
    same = [[float(one == two) for two in WATCHED] for one in WATCHED]
    assert found["overlap"] == same
    alike = sum(one == two for one, two in combinations(WATCHED, 2))
    assert alike == 3 + 1 + 10
    assert found["mean_overlap"] == round(alike / 45, 4)


def test_explanations_cite_the_situation_where_it_decided(whole: Path) -> None:
    summary = json.loads((whole / "summary.json").read_text())
    records = [json.loads(line) for line in (whole / "requests.jsonl").read_text().splitlines()]
    assert len({one["request_id"] for one in records}) == 10
    for one, moment, kind in zip(records, MOMENTS, WATCHED, strict=True):
        assert one["context"] == moment
        cited = [
            [piece["ref"] for piece in item["explanation"]["evidence"] if piece["kind"] == "context"]
            for item in one["items"]
        ]
        assert cited == [[] if kind == "documentary" else ["company"]] * LISTED
    [found] = summary["moments"]
    assert found["cites_situation"] == 0.5 == sum(kind != "documentary" for kind in WATCHED) / 10
    assert found["situations"] == [one["situation"] for one in records]
    assert found["situations"][7] == ["with family", "rainy weather", "Sunday", "in the afternoon"]


def test_the_page_sets_the_lists_side_by_side(whole: Path) -> None:
    [found] = json.loads((whole / "summary.json").read_text())["moments"]
    page = page_of(whole)
    assert "User fan-0 in 10 situations" in page.headings
    assert page.rows[0] == ["situation", "list", *(str(number) for number in range(1, 11))]
    for number, row in enumerate(page.rows[1:]):
        assert row[0] == f"{number + 1}. {', '.join(found['situations'][number])}"
        assert row[1] == "; ".join(found["titles"][number])
        assert row[2:] == [f"{value:.2f}" for value in found["overlap"][number]]
    assert len(page.rows) == 11
    text = (whole / "index.html").read_text()
    assert "overlap by 31.1 % on average" in text
    assert "50.0 % of the explanations name the situation" in text


def test_where_the_situation_counts_for_nothing_all_lists_are_one(tmp_path: Path) -> None:
    blind = workspace(tmp_path / "w", {"popularity": 1.0})
    [found] = report(blind, tmp_path / "r", "moments:fan-0")["moments"]
    assert found["titles"] == [["Documentary 3", "Documentary 4", "Documentary 5"]] * 10
    assert (found["mean_overlap"], found["cites_situation"]) == (1.0, 0.0)


def test_an_id_that_looks_like_a_tag_is_shown_and_not_read(place: Workspace, tmp_path: Path) -> None:
    [found] = report(place, tmp_path / "r", f"moments:{ODD}")["moments"]
    assert found["user_id"] == ODD
    assert found["mean_overlap"] == round(14 / 45, 4)
    assert ODD not in (tmp_path / "r" / "index.html").read_text()
    assert f"User {ODD} in 10 situations" in page_of(tmp_path / "r").headings


def test_users_asked_once_each_have_no_such_table(place: Workspace, tmp_path: Path) -> None:
    assert report(place, tmp_path / "r", "4")["moments"] == []
    page = page_of(tmp_path / "r")
    assert page.rows == []
    assert not [one for one in page.headings if "situations" in one]


def test_requests_of_a_file_are_compared_by_user(place: Workspace, tmp_path: Path) -> None:
    asked = [("fan-1", "alone"), ("fan-2", "alone"), ("fan-1", "family"), ("fan-1", "alone")]
    lines = [json.dumps({"user_id": user, "context": {"company": company}}) for user, company in asked]
    (tmp_path / "asked.jsonl").write_text("\n".join(lines) + "\n")
    [found] = report(place, tmp_path / "r", str(tmp_path / "asked.jsonl"))["moments"]
    assert found["user_id"] == "fan-1"
    assert found["situations"] == [["alone"], ["with family"], ["alone"]]
    assert found["overlap"] == [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 1.0]]
    assert found["mean_overlap"] == round(1 / 3, 4)


def test_a_page_without_explanations_shows_a_dash(whole: Path) -> None:
    summary = json.loads((whole / "summary.json").read_text())
    [found] = summary["moments"]
    page = render_page([], {**summary, "moments": [{**found, "cites_situation": None}]})
    assert "– of the explanations name the situation" in page


# Wrong input


def test_another_user_is_another_report(place: Workspace, whole: Path) -> None:
    before = (whole / "summary.json").read_bytes()
    with pytest.raises(ConfigError, match="begun with users 'moments:fan-0', not 'moments:fan-1'"):
        report(place, whole, "moments:fan-1")
    assert (whole / "summary.json").read_bytes() == before


@pytest.mark.parametrize(
    ("users", "says"),
    [
        ("moments:nobody", "no user has the id 'nobody'"),
        ("moments:", "no user has the id ''"),
        ("moments: fan-0", "no user has the id ' fan-0'"),
        ("moments:fan-0,fan-1", "no user has the id 'fan-0,fan-1'"),
        ("moments", "--users is 'moments': neither a number nor a file"),
        ("moment:fan-0", "--users is 'moment:fan-0': neither a number nor a file"),
        ("Moments:fan-0", "--users is 'Moments:fan-0': neither a number nor a file"),
    ],
)
def test_a_user_who_cannot_be_asked(
    place: Workspace,
    tmp_path: Path,
    users: str,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["tastemaker", *words(place, tmp_path / "r", users)])
    with pytest.raises(SystemExit) as stopped:
        run()
    assert stopped.value.code == 2
    out, err = capsys.readouterr()
    assert err.startswith(f"error: {says}")
    assert len(err.splitlines()) == 2
    assert out == ""
    assert not (tmp_path / "r").exists()


def test_who_is_meant_is_told_by_a_near_name() -> None:
    with pytest.raises(UnknownUserError) as refused:
        asked("moments:comedy-fan-33")
    assert "comedy-fan-3" in str(refused.value.hint)
