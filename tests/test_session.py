"""Sessions: an event counts in the very next answer, and what was turned down does not come back."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from tastemaker import Recommender
from tastemaker.agent.cli.app import app
from tastemaker.answers import Recommendation
from tastemaker.data.dataset import Dataset
from tastemaker.errors import DataError, RequestError
from tastemaker.index.build import build_index
from tastemaker.index.popularity import PopularityRetriever, event_weights
from tastemaker.prompts.domains import load_domain
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
