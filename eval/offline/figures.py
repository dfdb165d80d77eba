"""The plots of a report, as SVG text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tastemaker.eval.drawing import figure, legend, look
from tastemaker.eval.offline.record import Record
from tastemaker.eval.offline.summary import texts_of

_KINDS = {"history": "history", "context": "situation", "wish": "wish"}
_PLACES = ((1, 5), (6, 10), (11, 20), (21, 50), (51, 10_000))


def figures(records: Sequence[Record], summary: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Title, SVG and a sentence on how to read it, for every plot that the records can fill.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    good = [record for record in records if record["status"] == "ok" and record["items"]]
    deletions = [one for record in good for one in record.get("deletions", ())]
    if deletions:
        yield {
            "title": "Does what is cited matter?",
            "svg": _deletions(deletions),
            "text": "Every dot is an explained item: how far its log-odds fall without the cited pieces, and "
            "without as many others drawn at random. Right of the dashes the cited ones matter more.",
        }
    if pieces := _influences(good):
        yield {
            "title": "What the evidence weighs",
            "svg": _evidence(pieces),
            "text": "Cited pieces by kind: the fall of the item's log-odds without the piece, and the part "
            "of it that the retriever alone would have noticed. Boxes hold the middle half.",
        }
    if summary.get("ranking") is not None:
        yield {
            "title": "Ranking quality",
            "svg": _ranking(summary["ranking"]),
            "text": "The item that came next, in the order served and in the retriever's, over all "
            "candidates; intervals of 95 % over users.",
        }
    if good:
        yield {
            "title": "Popularity",
            "svg": _popularity(good),
            "text": "Mean popularity percentile of each list and of the history it answers; .5 is a blind "
            "draw from the catalogue.",
        }
        yield {
            "title": "Where the items come from",
            "svg": _places(good),
            "text": "The place that the retriever alone gave to what is listed.",
        }
    if lengths := [len(item["explanation"]["text"].split()) for _, item in texts_of(good)]:
        yield {
            "title": "Length of the explanations",
            "svg": _lengths(lengths),
            "text": "Words per explanation, cut at blanks.",
        }


def _deletions(deletions: Sequence[dict[str, Any]]) -> str:
    cited = np.array([one["fall_cited"] for one in deletions])
    drawn = np.array([one["fall_drawn"] for one in deletions])
    with figure(5.6, 3.6) as (axes, done):
        axes.scatter(cited, drawn, s=14, color=look(1)["color"], alpha=0.45, linewidths=0)
        ends = [float(min(cited.min(), drawn.min())), float(max(cited.max(), drawn.max()))]
        axes.plot(ends, ends, color="#1f2429", linestyle=(0, (3, 3)), linewidth=0.9)
        axes.set_xlabel("fall without the cited pieces (nats)")
        axes.set_ylabel("fall without others (nats)")
    return done[0]


def _influences(good: Sequence[Record]) -> dict[str, list[tuple[float, float]]]:
    """(whole, retriever's part) of every measured piece, by kind."""
    found: dict[str, list[tuple[float, float]]] = {}
    for _, item in texts_of(good):
        for piece in item["explanation"]["evidence"]:
            if piece["influence"] is not None:
                own = piece["influence"], piece["retrieval_influence"] or 0.0
                found.setdefault(piece["kind"], []).append(own)
    return {kind: found[kind] for kind in _KINDS if kind in found}


def _evidence(pieces: dict[str, list[tuple[float, float]]]) -> str:
    with figure(5.6, 1.2 + 0.8 * len(pieces)) as (axes, done):
        for place, kind in enumerate(pieces):
            for part, shift in ((0, -0.17), (1, 0.17)):
                colour = look(part + 1)["color"]
                axes.boxplot(
                    [own[part] for own in pieces[kind]],
                    positions=[place + shift],
                    orientation="horizontal",
                    widths=0.26,
                    whis=(5, 95),
                    showfliers=False,
                    patch_artist=True,
                    boxprops={"facecolor": colour, "alpha": 0.35, "edgecolor": colour},
                    medianprops={"color": colour, "linewidth": 2},
                    whiskerprops={"color": colour},
                    capprops={"color": colour},
                )
        for part, label in enumerate(("whole", "retriever alone")):
            axes.plot([], [], color=look(part + 1)["color"], linewidth=6, alpha=0.5, label=label)
        axes.set_yticks(range(len(pieces)), [f"{_KINDS[kind]}\n{len(pieces[kind]):,}" for kind in pieces])
        axes.set_ylim(len(pieces) - 0.5, -0.5)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("influence (nats); whiskers: 5 to 95 %")
        legend(axes)
    return done[0]


def _ranking(ranking: dict[str, Any]) -> str:
    systems = ("retriever", "served")
    names = list(ranking["served"]["metrics"])
    with figure(5.6, 3.2) as (axes, done):
        for turn, system in enumerate(systems):
            values = np.array([ranking[system]["metrics"][name] for name in names])
            ends = np.array([ranking[system]["ci95"][name] for name in names]).T
            x = np.arange(len(names)) + (turn - 0.5) * 0.16
            own = look(turn)
            axes.errorbar(
                x, values, yerr=np.abs(ends - values), linestyle="none", markersize=5, label=system, **own
            )
        axes.set_xticks(range(len(names)), names)
        axes.grid(axis="x", visible=False)
        axes.set_ylim(bottom=0)
        legend(axes)
    return done[0]


def _popularity(good: Sequence[Record]) -> str:
    listed = [float(np.mean(told)) for record in good if (told := _popularities(record))]
    past = [record["history"]["popularity"] for record in good if record["history"]["popularity"] is not None]
    with figure(5.6, 3.0) as (axes, done):
        bins = np.linspace(0, 1, 31)
        for place, (label, values) in enumerate((("histories", past), ("lists", listed))):
            axes.hist(values, bins=bins.tolist(), color=look(place)["color"], alpha=0.5, label=label)
        axes.set_xlim(0, 1)
        axes.set_xlabel("popularity percentile")
        axes.set_ylabel("requests")
        legend(axes)
    return done[0]


def _popularities(record: Record) -> list[float]:
    return [item["popularity"] for item in record["items"] if item["popularity"] is not None]


def _places(good: Sequence[Record]) -> str:
    places = np.array([item["retrieval_rank"] for record in good for item in record["items"]])
    shares = [float(((places >= first) & (places <= last)).mean()) for first, last in _PLACES]
    labels = [f"{first}–{last}" if last < 10_000 else f"{first}+" for first, last in _PLACES]
    with figure(5.6, 2.9) as (axes, done):
        axes.bar(range(len(shares)), shares, width=0.6, color=look(1)["color"], alpha=0.75)
        axes.set_xticks(range(len(labels)), labels)
        axes.grid(axis="x", visible=False)
        axes.set_xlabel("place that the retriever gave")
        axes.set_ylabel("share of listed items")
    return done[0]


def _lengths(lengths: Sequence[int]) -> str:
    with figure(5.6, 2.9) as (axes, done):
        bins = np.arange(0.5, max(lengths) + 1.5)
        axes.hist(lengths, bins=bins.tolist(), color=look(1)["color"], alpha=0.75)
        axes.set_xlim(left=0)
        axes.set_xlabel("words")
        axes.set_ylabel("explanations")
    return done[0]
