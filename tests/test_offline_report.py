"""The offline report on a small workspace: what it asks, what it writes, and what cuts it off."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from tastemaker.agent.cli.app import app
from tastemaker.agent.pipeline import Pipeline
from tastemaker.data.dataset import Dataset
from tastemaker.errors import ConfigError, DataError, RequestError, TastemakerError
from tastemaker.eval.offline.questions import questions
from tastemaker.eval.offline.work import PART, Store
from tastemaker.index.build import build_index
from tastemaker.testing.data import FANS, SEEN, TASTES, film_data
from tastemaker.testing.embedders import HashEmbedder
from tastemaker.workspace import Workspace

USERS = 2 * FANS
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
PROMISED = {
    "statement_precision",
    "statement_precision_second_checker",
    "explained_share",
    "fallback_share",
    "evidence_share",
    "faithfulness_win_rate",
    "faithfulness_ratio",
    "sufficiency_win_rate",
    "stability_listed",
    "unique_sentence_ratio",
    "skeleton_repeat_rate",
    "distinct_1",
    "distinct_2",
    "mean_words",
    "reading_ease",
    "ranking",
    "lists",
    "position",
    "timings_ms",
    "command",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Thirty fans of two tastes, answered without a language model."""
    place = Workspace(tmp_path_factory.mktemp("films") / "w")
    film_data().save(place.data)
    build_index(film_data(), place.index, HashEmbedder())
    place.config.write_text("domain: films\nllm: none\ncandidates: 15\nexplain: template\n")
    return place


@pytest.fixture(autouse=True)
def _hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "tastemaker.agent.assemble.load_embedder", lambda source, progress=None: HashEmbedder()
    )


def report(
    place: Workspace, folder: Path, *words: str, users: str = str(USERS), code: int = 0
) -> dict[str, Any]:
    """The summary; raises what the command raises."""
    command = ["report", "-w", str(place.root), "--users", users, "--out", str(folder), "--workers", "1"]
    done = CliRunner().invoke(app, [*command, "--probe", "5", "-k", "3", "--json", *words])
    if isinstance(done.exception, TastemakerError):
        raise done.exception
    assert done.exit_code == code, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def records_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "requests.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def whole(place: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished report over everybody."""
    folder = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tastemaker.agent.assemble.load_embedder", lambda source, progress=None: HashEmbedder())
        report(place, folder)
    return folder


def test_it_says_what_it_promises_and_counts_what_it_wrote(whole: Path) -> None:
    summary = json.loads((whole / "summary.json").read_text())
    assert summary.keys() >= PROMISED
    records = records_of(whole)
    assert (summary["requests"], summary["items"], summary["failed"]) == (USERS, 3 * USERS, 0)
    assert len(records) == len({record["request_id"] for record in records}) == USERS
    told = [item["explanation"]["text"] for record in records for item in record["items"]]
    assert all(told)
    assert summary["explained_share"] == 1.0
    assert summary["unique_sentence_ratio"] == round(len(set(told)) / len(told), 4)
    checked = [one for record in records for item in record["items"] for one in item["statements"]]
    assert summary["statements"] == len(checked)
    assert summary["statement_precision"] == 1.0
    assert summary["probed_requests"] == 5 == sum("deletions" in record for record in records)
    hits = [record["target"]["rank"] == 1 for record in records]
    assert summary["ranking"]["served"]["metrics"]["ndcg@5"] >= sum(hits) / USERS
    assert len((whole / "timings.jsonl").read_text().splitlines()) == USERS


def test_the_item_that_came_is_known_and_nothing_has_learned_from_it(whole: Path) -> None:
    data = film_data()
    for record in records_of(whole):
        past = [entry.item_id for entry in data.history(record["user_id"])]
        assert record["target"]["id"] == past[-1]
        assert record["history"]["entries"] == SEEN - 1
        assert past[-1] not in [entry["id"] for entry in record["history"]["latest"]]


def test_a_what_if_takes_the_strongest_evidence_away(whole: Path) -> None:
    for record in records_of(whole):
        pieces = [
            (piece["influence"], piece["ref"])
            for item in record["items"]
            for piece in item["explanation"]["evidence"]
            if piece["kind"] == "history"
        ]
        assert (record["what_if"] is None) == (not pieces)
        if pieces:
            assert record["what_if"]["without"]["id"] in [
                ref for value, ref in pieces if value == max(pieces)[0]
            ]


def test_what_was_cut_off_goes_on_and_ends_the_same(place: Workspace, whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "cut")
    parts = sorted((tmp_path / "cut" / ".work").glob("part-*.jsonl"))
    assert len(parts) == -(-USERS // PART)
    untouched = parts[0].stat().st_mtime_ns
    for lost in parts[1:3]:
        lost.unlink()
    for name in ("index.html", "requests.jsonl", "summary.json", "timings.jsonl"):
        (tmp_path / "cut" / name).unlink()
    report(place, tmp_path / "cut")
    assert parts[0].stat().st_mtime_ns == untouched
    assert (tmp_path / "cut" / "requests.jsonl").read_bytes() == (whole / "requests.jsonl").read_bytes()
    first, second = (json.loads((one / "summary.json").read_text()) for one in (whole, tmp_path / "cut"))
    for changing in ("timings_ms", "command", "load_average"):
        first.pop(changing), second.pop(changing)
    assert first == second


def test_another_plan_is_refused_and_nothing_is_lost(place: Workspace, whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "kept")
    with pytest.raises(ConfigError, match="begun with k 3, not 4") as refused:
        report(place, tmp_path / "kept", "-k", "4")
    assert "--restart" in str(refused.value.hint)
    assert (tmp_path / "kept" / "requests.jsonl").read_bytes() == (whole / "requests.jsonl").read_bytes()
    again = report(place, tmp_path / "kept", "-k", "4", "--restart")
    assert again["items"] == 4 * USERS


def test_one_failure_is_recorded_and_ends_nothing(
    place: Workspace, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = Pipeline.answer_batch

    def fails(self: Pipeline, requests: Any) -> Any:
        if any(request.user_id == "comedy-fan-3" for request in requests):
            raise RuntimeError("the disk is on fire")
        return answer(self, requests)

    monkeypatch.setattr(Pipeline, "answer_batch", fails)
    summary = report(place, tmp_path / "r")
    assert (summary["requests"], summary["failed"], summary["items"]) == (USERS, 1, 3 * (USERS - 1))
    [failed] = [record for record in records_of(tmp_path / "r") if record["status"] == "failed"]
    assert (failed["user_id"], failed["error"]) == ("comedy-fan-3", "RuntimeError: the disk is on fire")
    assert "the disk is on fire" in (tmp_path / "r" / "index.html").read_text()
    # The disk was replaced: the same command tries again what had failed.
    monkeypatch.setattr(Pipeline, "answer_batch", answer)
    assert report(place, tmp_path / "r")["failed"] == 0
    assert (tmp_path / "r" / "requests.jsonl").read_bytes() == (whole / "requests.jsonl").read_bytes()


def test_another_file_of_the_same_name_is_another_report(place: Workspace, tmp_path: Path) -> None:
    names = tmp_path / "ids.txt"
    names.write_text("comedy-fan-1\ncomedy-fan-2\n")
    assert "2 users of a file" in report(place, tmp_path / "r", users=str(names))["questions"]
    names.write_text("thriller-fan-1\nthriller-fan-2\n")
    with pytest.raises(ConfigError, match="begun with requests"):
        report(place, tmp_path / "r", users=str(names))


def test_other_models_make_another_report(place: Workspace, tmp_path: Path) -> None:
    own = Workspace(tmp_path / "w")
    shutil.copytree(place.root, own.root)
    before = report(own, tmp_path / "r")
    (own.root / "retriever").mkdir()
    (own.root / "retriever" / "weights.json").write_text('{"history": {"popularity": 1}}')
    with pytest.raises(ConfigError, match="begun with models"):
        report(own, tmp_path / "r")
    after = report(own, tmp_path / "r", "--restart")
    assert after["lists"] != before["lists"]


def test_line_breaks_of_every_kind_may_stand_in_a_title(place: Workspace, tmp_path: Path) -> None:
    asked = {"request_id": "a\u2028b", "history": [{"title": "Foo\u0085Bar", "rating": 5}], "wish": "space"}
    (tmp_path / "r.jsonl").write_text(json.dumps(asked, ensure_ascii=False) + "\n", encoding="utf-8")
    assert report(place, tmp_path / "r", users=str(tmp_path / "r.jsonl"))["requests"] == 1
    again = report(place, tmp_path / "r", "--against", str(tmp_path / "r"), users=str(tmp_path / "r.jsonl"))
    assert again["against"]["requests"] == 1


def test_other_peoples_files_are_left_alone(place: Workspace, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("mine")
    with pytest.raises(ConfigError, match="holds other files"):
        report(place, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]


def test_a_report_that_never_began_keeps_no_folder_from_another(
    place: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any, **options: Any) -> Any:
        raise ConfigError("the server is away")

    with monkeypatch.context() as patch:
        patch.setattr("tastemaker.eval.offline.work.load_parts", broken)
        with pytest.raises(ConfigError, match="the server is away"):
            report(place, tmp_path / "r")
    assert report(place, tmp_path / "r", "-k", "2")["items"] == 2 * USERS


def test_a_text_that_claims_nothing_explains_nothing(
    place: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "tastemaker.agent.explain_words.TemplateWriter.texts", lambda *args: iter(["Recommended."])
    )
    assert report(place, tmp_path / "r")["explained_share"] == 0.0


def test_what_is_taken_away_does_not_come_back_as_a_recommendation(whole: Path) -> None:
    gone = [record["what_if"] for record in records_of(whole) if record["what_if"]]
    assert gone
    assert all(change["without"]["id"] not in json.dumps(change["after"]) for change in gone)


def test_against_another_report(place: Workspace, whole: Path, tmp_path: Path) -> None:
    same = report(place, tmp_path / "same", "--against", str(whole))["against"]
    assert same["requests"] == USERS
    assert (same["list_overlap"], same["first_kept"], same["same_text"]) == (1.0, 1.0, 1.0)
    assert same["test"]["p"] == 1.0
    other = report(place, tmp_path / "other", "--against", str(whole), "--set", "candidates=3")["against"]
    assert other["figures"]["items"] == [3 * USERS, 3 * USERS]
    page = (tmp_path / "other" / "index.html").read_text()
    assert f"Against {whole}" in page
    with pytest.raises(DataError, match="holds no finished report"):
        report(place, tmp_path / "third", "--against", str(tmp_path))
    assert not (tmp_path / "third").exists()


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [
            value or ""
            for name, value in attrs
            if name in ("src", "href", "action", "data", "srcset", "poster")
        ]


def test_the_page_needs_nothing_but_itself(whole: Path) -> None:
    page = (whole / "index.html").read_text()
    links = _Links()
    links.feed(page)
    assert all(one.startswith("#") for one in links.found)
    assert not re.search(r"@import|url\((?!#)|fetch\(|XMLHttpRequest", page)
    for record in records_of(whole):
        assert f'id="request-{record["request_id"]}"' in page


def test_what_users_typed_is_shown_and_not_run(place: Workspace, tmp_path: Path) -> None:
    wish = "</script><script>document.title='gone'</script> & more"
    line = json.dumps({"user_id": "comedy-fan-1", "wish": wish, "request_id": "<b>1"})
    (tmp_path / "asked.jsonl").write_text(line + "\n")
    report(place, tmp_path / "r", users=str(tmp_path / "asked.jsonl"))
    page = (tmp_path / "r" / "index.html").read_text()
    assert wish not in page
    assert "&lt;script&gt;document.title" in page
    [record] = records_of(tmp_path / "r")
    assert (record["request_id"], record["wish"], record["target"]) == ("<b>1", wish, None)


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_it_opens_in_a_browser_without_a_network(whole: Path, tmp_path: Path) -> None:
    assert CHROMIUM is not None
    first = records_of(whole)[0]["request_id"]
    done = subprocess.run(
        [
            CHROMIUM,
            *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={tmp_path}",
            "--dump-dom",
            f"{(whole / 'index.html').as_uri()}#request-{first}",
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert f"{USERS} of {USERS}" in done.stdout
    assert re.search(rf'<details[^>]*id="request-{first}"[^>]*open', done.stdout)


@pytest.mark.parametrize(
    ("users", "message"),
    [
        ("0", "users is 0"),
        ("many", "neither a number nor a file"),
        ("-3", "neither a number nor a file"),
    ],
)
def test_who_is_asked_must_be_a_number_or_a_file(
    place: Workspace, tmp_path: Path, users: str, message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        report(place, tmp_path / "r", users=users)
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("comedy-fan-1\nnobody\n", "nobody"),
        ('{"user_id": "comedy-fan-1"}\n{"user": 3}\n', "line 2 holds 'user'; known are request_id, user_id"),
        ('{"user_id": "comedy-fan-1"}\n[3]\n', "line 2 holds a list"),
        ('{"user_id": \n', "line 1 is no JSON"),
        ('{"request_id": "a"}\n{"request_id": "a", "k": 2}\n', "lines 1 and 2 have the same request_id 'a'"),
    ],
)
def test_a_file_that_cannot_be_used(place: Workspace, tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "asked").write_text(content)
    with pytest.raises(TastemakerError, match=re.escape(message)):
        report(place, tmp_path / "r", users=str(tmp_path / "asked"))
    assert not (tmp_path / "r").exists()


def test_options_that_make_no_sense(place: Workspace, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="nothing to report"):
        report(place, tmp_path / "r", "--set", "explain=none")
    with pytest.raises(RequestError, match="language is 'fr'"):
        report(place, tmp_path / "r", "--language", "fr")


def test_users_of_a_file_are_asked_in_its_order_and_once(tmp_path: Path) -> None:
    (tmp_path / "ids").write_text("thriller-fan-2\n\ncomedy-fan-0\nthriller-fan-2\n")
    found = questions(film_data(), str(tmp_path / "ids"), k=3, seed=0)
    assert [one.request.user_id for one in found.asked] == ["thriller-fan-2", "comedy-fan-0"]
    assert all(one.target for one in found.asked)


def test_somebody_with_too_few_events_is_asked_about_all_of_them(tmp_path: Path) -> None:
    data = film_data()
    rows = [{"user_id": "short", "item_id": f"{TASTES[0]}-1", "timestamp": 5.0}]
    events = [
        {"user_id": user, "item_id": entry.item_id, "timestamp": entry.timestamp}
        for user in data.sequences()
        for entry in data.history(user)
    ]
    items = [{"id": item.id, "title": item.title} for item in data.iter_items()]
    (tmp_path / "ids").write_text("short\n")
    [asked] = questions(Dataset.from_records(rows + events, items), str(tmp_path / "ids"), k=3, seed=0).asked
    assert asked.target is None
    assert asked.request.history.item_ids == (f"{TASTES[0]}-1",)


def test_a_language_holds_for_everybody() -> None:
    found = questions(film_data(), "4", k=3, seed=0, language="zh")
    assert {one.request.language for one in found.asked} == {"zh"}


def test_a_part_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.begin({"k": 1}, restart=False)
    with pytest.raises(TypeError):
        store.write(0, [({"request_id": "1", "bad": object()}, {})])
    assert store.missing([1]) == [0]


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe", b'[{"request_id": 1}, {}]\n', b'{"a"', b"[3]\n"])
def test_a_damaged_part_is_done_again(place: Workspace, whole: Path, tmp_path: Path, damage: bytes) -> None:
    shutil.copytree(whole, tmp_path / "r")
    (tmp_path / "r" / ".work" / "part-00001.jsonl").write_bytes(damage)
    report(place, tmp_path / "r")
    assert (tmp_path / "r" / "requests.jsonl").read_bytes() == (whole / "requests.jsonl").read_bytes()


@pytest.mark.parametrize("damage", ["", "{", "[1, 2]"])
def test_a_damaged_plan_is_refused_and_nothing_is_lost(
    place: Workspace, whole: Path, tmp_path: Path, damage: str
) -> None:
    shutil.copytree(whole, tmp_path / "r")
    (tmp_path / "r" / ".work" / "plan.json").write_text(damage)
    with pytest.raises(ConfigError) as refused:
        report(place, tmp_path / "r")
    assert "--restart" in str(refused.value.hint)
    assert len(list((tmp_path / "r" / ".work").glob("part-*.jsonl"))) == -(-USERS // PART)
    report(place, tmp_path / "r", "--restart")
    assert (tmp_path / "r" / "requests.jsonl").read_bytes() == (whole / "requests.jsonl").read_bytes()


def test_a_report_where_everything_fails_says_so(
    place: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: Pipeline, requests: Any) -> Any:
        raise RuntimeError("no")

    monkeypatch.setattr(Pipeline, "answer_batch", fails)
    summary = report(place, tmp_path / "r", code=1)
    assert (summary["failed"], summary["items"], summary["explained_share"]) == (USERS, 0, None)
    assert (tmp_path / "r" / "index.html").read_text().count("RuntimeError: no") == USERS


VALUES = st.one_of(st.none(), st.integers(), st.text(max_size=8), st.lists(st.text(max_size=5), max_size=2))
FIELDS = ["user_id", "history", "wish", "context", "k", "filters", "language", "request_id"]
LINES = st.lists(
    st.one_of(
        st.text(max_size=20),
        st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=3).map(json.dumps),
        st.sampled_from(["comedy-fan-1", '{"user_id": "comedy-fan-1"}', '{"wish": "funny"}']),
    ),
    max_size=4,
)


@given(lines=LINES)
def test_any_file_is_asked_about_or_refused_in_words(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    path = tmp_path_factory.mktemp("asked") / "lines"
    path.write_text("\n".join(lines), encoding="utf-8", errors="surrogatepass")
    try:
        found = questions(film_data(), str(path), k=3, seed=0)
    except TastemakerError:
        return
    assert found.asked
    assert all(one.request.request_id for one in found.asked)
