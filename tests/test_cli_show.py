"""What a terminal shows: nothing is cut off, markup in titles stays text, fallbacks are said."""

from __future__ import annotations

import io

from rich.console import Console

from tastemaker.agent.cli.show import show_items, show_trace
from tastemaker.answers import Recommendation, RecommendedItem, Trace
from tastemaker.types import Candidate, Explanation, Item, Ranked, Request


def shown(title: str, text: str) -> str:
    ranked = Ranked(rank=1, candidate=Candidate(item=Item(id="1", title=title), score=1.0), score=0.5)
    line = RecommendedItem(ranked=ranked, explanation=Explanation(text=text, verified=True))
    out = io.StringIO()
    answer = Recommendation(request=Request(), items=(line,), trace=Trace())
    show_items(Console(file=out, width=70), answer)
    return out.getvalue()


def test_long_chinese_texts_are_folded_not_cut() -> None:
    text = "因为你喜欢这部电影所以推荐这部喜剧片" * 5
    out = shown("霸王别姬" * 12, text)
    assert "…" not in out
    assert sum(out.count(sign) for sign in "因为你喜欢这部电影所以推荐这部喜剧片") >= len(text)


def test_markup_in_titles_is_text() -> None:
    assert "[red]Alien[/red]" in shown("[red]Alien[/red]", "[bold]why[/bold]")


def test_an_empty_list_says_so() -> None:
    out = io.StringIO()
    show_items(Console(file=out), Recommendation(request=Request(), items=(), trace=Trace()))
    assert "Nothing fits" in out.getvalue()


def test_a_fallback_is_said() -> None:
    out = io.StringIO()
    show_trace(Console(file=out, width=200), Trace(degraded="no model [x]"))
    assert "degraded: no model [x]" in out.getvalue()
    assert "no language model" in out.getvalue()
