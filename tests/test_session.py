"""Sessions: an event counts in the very next answer, and what was turned down does not come back."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from tastemaker import Recommender
from tastemaker.agent.cli.app import app
from tastemaker.agent.requests import build_request
from tastemaker.answers import Recommendation
from tastemaker.data.dataset import Dataset
from tastemaker.errors import DataError, RequestError
from tastemaker.index.build import build_index
from tastemaker.index.popularity import PopularityRetriever, event_weights
from tastemaker.prompts.domains import load_domain, shipped_domains
from tastemaker.prompts.render import PromptRenderer
from tastemaker.testing.data import film_data, taste_of
from tastemaker.testing.embedders import HashEmbedder
from tastemaker.types import HistoryEntry, Request, UserHistory
from tastemaker.workspace import Workspace

FAN = "thriller-fan-3"


@pytest.fixture(autouse=True)
def _no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "tastemaker.agent.assemble.load_embedder", lambda source, progress=None: HashEmbedder()
    )


def place_for(folder: Path, dataset: Dataset, domain: str = "films") -> Path:
    place = Workspace(folder / "workspace")
    dataset.save(place.data)
    build_index(dataset, place.index, HashEmbedder())
    place.config.write_text(f"domain: {domain}\nllm: none\ncandidates: 15\nexplain: template\n")
    return place.root


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return place_for(tmp_path_factory.mktemp("films"), film_data())


@pytest.fixture
def rec(made: Path) -> Recommender:
    return Recommender.load(made)


def ids(answer: Recommendation) -> list[str]:
    return [item.id for item in answer]


def test_a_click_changes_the_next_answer_and_no_other(rec: Recommender) -> None:
    session = rec.session(user_id=FAN, k=5)
    before = session.recommend()
    session.event("click", "comedy-5")
    after = session.recommend()
    assert {taste_of(name) for name in ids(before)} == {"thriller"}
    assert "comedy" in {taste_of(name) for name in ids(after)}
    assert ids(rec.recommend(user_id=FAN, k=5)) == ids(before)


def test_what_was_turned_down_never_comes_back_and_its_like_sinks(rec: Recommender) -> None:
    session = rec.session(user_id=FAN, k=10)
    gone: set[str] = set()
    for _ in range(4):
        first = session.recommend().items[0]
        assert first.id not in gone
        session.event("not_now", first.id)
        gone.add(first.id)
        assert not gone & set(ids(session.recommend()))
    # Also not by its title, nor for a wish, nor in a longer list.
    everything = session.recommend(k=40, wish="thriller")
    assert not gone & set(ids(everything))


def test_rejections_weigh_on_what_is_like_them(rec: Recommender) -> None:
    plain = rec.recommend(wish="a film", k=40, context={})
    rejected = rec.recommend(
        wish="a film", k=40, context={}, session=[{"id": "comedy-1", "event": "dislike"}]
    )
    before = {item.id: item.ranked.candidate.sources.get("avoided") for item in plain}
    after = {item.id: item.ranked.candidate.sources["avoided"] for item in rejected}
    assert set(before.values()) == {None}
    index = rec.parts.index
    cosines = {id_: float(index.vector(id_) @ index.vector("comedy-1")) for id_ in after}
    nearest, farthest = max(cosines, key=cosines.__getitem__), min(cosines, key=cosines.__getitem__)
    assert after[farthest] - after[nearest] == pytest.approx(cosines[nearest] - cosines[farthest], abs=1e-5)


def test_the_latest_event_of_an_item_counts_and_undo_takes_it_back(rec: Recommender) -> None:
    session = rec.session(user_id=FAN, k=40)
    wanted = ids(session.recommend())[0]
    session.event("dislike", wanted)
    assert wanted not in ids(session.recommend())
    session.event("like", wanted)  # seen and liked: in the history, so not recommended again
    asked = session.recommend().request
    assert asked.rejected == ()
    assert asked.history.entries[-1].item_id == wanted
    assert session.undo() is not None
    assert session.undo() is not None
    assert wanted in ids(session.recommend())
    session.reset()
    assert session.events == ()
    assert session.undo() is None


def first(rec: Recommender) -> str:
    return ids(rec.recommend(user_id=FAN, k=1))[0]


def test_a_thousand_views_later_what_was_turned_down_is_still_out(
    rec: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tastemaker.agent.session.MAX_EVENTS", 50)
    session, turned_down = rec.session(user_id=FAN, k=40), first(rec)
    session.event("dislike", turned_down)
    for _ in range(60):
        session.event("view", "comedy-1")
    assert len(session.events) == 51
    assert turned_down not in ids(session.recommend())
    again = rec.session(user_id=FAN, k=40, session=session.events)
    assert again.events == session.events
    assert turned_down not in ids(again.recommend())
    for _ in range(50):
        assert session.undo()["event"] == "view"  # type: ignore[index]
    assert session.undo()["event"] == "dislike"  # type: ignore[index]
    assert turned_down in ids(session.recommend())


def test_what_a_forgotten_event_took_back_does_not_stand_again(
    rec: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tastemaker.agent.session.MAX_EVENTS", 5)
    session = rec.session(user_id=FAN)
    for name, item in (("dislike", "comedy-2"), ("view", "comedy-1"), ("like", "comedy-2")):
        session.event(name, item)
    for _ in range(4):
        session.event("view", "comedy-1")
    assert [one["event"] for one in session.events] == ["dislike", "like", *["view"] * 4]
    session.event("view", "comedy-1")
    assert [one["event"] for one in session.events] == ["view"] * 5
    assert session.recommend().request.rejected == ()


def test_a_rejection_repeated_and_undone_still_stands(
    rec: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tastemaker.agent.session.MAX_EVENTS", 5)
    session = rec.session(user_id=FAN)
    session.event("dislike", "comedy-2")
    for _ in range(9):
        session.event("view", "comedy-1")
    for name in ("hate", "like"):
        session.event(name, "comedy-2")
        session.undo()
        assert [one.item_id for one in session.recommend().request.rejected] == ["comedy-2"]


def test_a_session_that_can_keep_no_more_out_says_so(
    rec: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tastemaker.agent.session.MAX_REJECTED", 2)
    session = rec.session(user_id=FAN)
    for item in ("comedy-1", "comedy-2", "comedy-1"):
        session.event("dislike", item)
    with pytest.raises(RequestError, match="has turned down 2 items"):
        session.event("dislike", "comedy-3")
    session.event("view", "comedy-3")
    assert len(session.events) == 4


@pytest.mark.parametrize(
    ("domain", "against", "then", "lifted"),
    [
        ("music", "skip", "play", False),
        ("music", "skip", "view", False),
        ("music", "skip", "impression", False),
        ("music", "dislike", "seen", False),
        ("music", "dislike", "interaction", False),
        ("music", "dislike", "like", True),
        ("music", "not now", "More Like", True),
        ("products", "hide", "click", False),
        ("products", "refund", "purchase", True),
        ("generic", "不喜欢", "喜欢", True),
    ],
)
def test_only_a_clear_yes_takes_a_rejection_back(domain: str, against: str, then: str, lifted: bool) -> None:
    told = [{"id": "comedy-1", "event": name} for name in (against, then)]
    request = build_request(film_data(), session=told, domain=domain)
    wanted, rejected = (
        [entry.event for entry in side] for side in (request.history.entries, request.rejected)
    )
    assert (wanted, rejected) == (([then], []) if lifted else ([], [against]))


@pytest.mark.parametrize("name", ["flargle", "gespart", "ratings", "不知道"])
def test_an_event_that_nobody_knows_says_nothing_and_is_told(rec: Recommender, name: str) -> None:
    session, item = rec.session(user_id=FAN, k=40), first(rec)
    session.event(name, item)
    answer = session.recommend()
    assert item in ids(answer)
    (note,) = (one for one in answer.to_dict()["notes"] if name in one)
    assert "films" in note
    assert "dislike" in note
    assert answer.request.rejected == ()


@pytest.mark.parametrize("domain", shipped_domains())
@pytest.mark.parametrize(
    "name",
    ["hate", "thumbs down", "block", "hide", "boring", "not_interested", "不喜欢", "dislike", "Not-Now"],
)
def test_what_people_say_against_a_thing_is_known_in_every_domain(domain: str, name: str) -> None:
    request = build_request(film_data(), session=[{"id": "comedy-1", "event": name}], domain=domain)
    assert [entry.item_id for entry in request.rejected] == ["comedy-1"]
    assert request.notes == ()


@pytest.mark.parametrize("at", [float("nan"), float("inf"), "yesterday", True, 1e300, [1], 10**400])
def test_an_event_s_time_is_a_moment(rec: Recommender, at: object) -> None:
    session = rec.session(user_id=FAN)
    with pytest.raises(RequestError, match=r"at is .*; finite seconds since 1970 are wanted"):
        session.event("like", "comedy-1", at=at)  # type: ignore[arg-type]
    with pytest.raises(RequestError):
        rec.recommend(session=[{"id": "comedy-1", "event": "like", "time": at}])
    assert session.events == ()
    session.event("like", "comedy-1", at=1_600_000_000)
    assert len(session.recommend(k=3)) == 3


def test_a_session_s_events_are_its_own(rec: Recommender) -> None:
    with pytest.raises(RequestError, match="events of its own"):
        rec.session(user_id=FAN).recommend(session=[])


def test_a_whole_title_is_found_and_a_misspelt_one_gets_near_ones(rec: Recommender) -> None:
    title = rec.dataset.item("comedy-1").display_title
    for item in ({"id": title}, {"title": title}, {"id": title, "title": title}, title):
        event = item if isinstance(item, str) else {**item, "event": "dislike"}
        request = rec.request(session=[event])
        found = request.history.entries if isinstance(item, str) else request.rejected
        assert [entry.item_id for entry in found] == ["comedy-1"]
    wrong = title.replace("B", "P", 1)
    for ask in (
        lambda: rec.session().event("click", wrong),
        lambda: rec.recommend(session=[{"id": wrong, "event": "click"}]),
    ):
        with pytest.raises(DataError) as refused:
            ask()
        assert wrong in str(refused.value)
        assert "The Brass Comedy" in str(refused.value.hint)


def test_events_need_a_name_and_an_item_of_the_catalogue(rec: Recommender) -> None:
    session = rec.session(user_id=FAN)
    with pytest.raises(DataError, match="Nonesuch"):
        session.event("click", "Nonesuch")
    with pytest.raises(RequestError, match="a name is wanted"):
        session.event(" ", "comedy-1")
    with pytest.raises(DataError, match="Nonesuch"):
        rec.recommend(session=[{"title": "Nonesuch", "event": "click"}])
    assert session.events == ()


def test_the_prompt_tells_the_session() -> None:
    history = UserHistory(entries=(HistoryEntry(title="Alien", timestamp=0.0),))
    rejected = (HistoryEntry(title="Heat", event="not_now", timestamp=60.0),)
    request = Request(history=history, rejected=rejected)
    renderer = PromptRenderer(lambda texts: [len(text.split()) for text in texts], domain="films")
    assert renderer.match_prompt(request, ()).user.endswith("Alien\n- Heat | not now\n-")
    assert "- Heat | not now" in renderer.title_prompt(request, ()).user


def test_what_was_heard_may_come_again_what_was_skipped_not(tmp_path: Path) -> None:
    rec = Recommender.load(place_for(tmp_path, film_data(), "music"))
    heard = rec.dataset.history(FAN).item_ids
    again = ids(rec.recommend(user_id=FAN, k=40))
    assert set(heard) & set(again)
    skipped = rec.recommend(user_id=FAN, k=40, session=[{"id": heard[0], "event": "skip"}])
    assert heard[0] not in ids(skipped)


def shop(events: list[tuple[str, str, str]]) -> Dataset:
    users, items, names = zip(*events, strict=True)
    shelf = pa.table({"id": ["a", "b", "c"], "title": ["Kettle", "Pan", "Lamp"]})
    return Dataset.from_tables(
        shelf, pa.table({"user_id": users, "item_id": items, "event": names, "timestamp": range(len(users))})
    )


def test_a_purchase_weighs_more_than_views_and_a_return_nothing() -> None:
    data = shop([("u", "a", "view"), ("v", "a", "view"), ("w", "b", "purchase"), ("x", "c", "return")])
    weigh = load_domain("products").weight
    assert event_weights(data, weigh).tolist() == [0.2, 0.2, 1.0, 0.0]
    found = PopularityRetriever(data, weigh=weigh).retrieve([Request()], 3)[0]
    assert [one.item.id for one in found] == ["b", "a", "c"]
    assert [one.item.id for one in PopularityRetriever(data).retrieve([Request()], 1)[0]] == ["a"]


def test_events_that_speak_against_an_item_do_not_make_it_a_neighbour(tmp_path: Path) -> None:
    """Everybody who had the kettle sent the lamp back and bought the pan."""
    events = [(f"u{n}", item, name) for n in range(6) for item, name in
              (("a", "purchase"), ("c", "return"), ("b", "purchase"))]  # fmt: skip
    rec = Recommender.load(place_for(tmp_path, shop(events), "products"))
    answer = rec.recommend(history=["a"], k=2)
    assert ids(answer) == ["b", "c"]
    first, second = (item.ranked.candidate.sources["popularity"] for item in answer)
    assert second < first


def test_events_on_the_command_line(made: Path) -> None:
    def run(*words: str) -> str:
        done = CliRunner().invoke(
            app, ["recommend", "-w", str(made), "--user", FAN, "-k", "5", "--json", *words]
        )
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.stdout

    assert '"id": "comedy-' not in run()
    assert '"id": "comedy-' in run("--event", "click=comedy-5", "--no-explain")
    with pytest.raises(RequestError, match="NAME=ITEM"):
        run("--event", "click")
    with pytest.raises(DataError, match="Nonesuch"):
        run("--event", "click=Nonesuch")
