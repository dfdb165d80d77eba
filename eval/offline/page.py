"""The page of a report: everything inside, so that it opens from a disk without a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from tastemaker.eval.offline.figures import figures
from tastemaker.eval.offline.record import Record

_HEADLINE = (
    ("statement_precision", "statements that hold", "share", "by the verifier"),
    ("statement_precision_second_checker", "by the second checker", "share", "nothing false found in them"),
    ("explained_share", "items explained", "share", "of all listed"),
    ("fallback_share", "fallbacks to a template", "share", "the model's text was cut whole"),
    ("faithfulness_win_rate", "cited matters more", "share", "than as much uncited, by deletion"),
    ("faithfulness_ratio", "times as much", "ratio", "fall without cited over fall without others"),
    ("unique_sentence_ratio", "texts given once", "share", "unique sentence ratio"),
    ("evidence_share", "cite the request", "share", "history, situation or wish"),
)
_MORE = (
    ("Truth", ("statements", "draft_precision", "second_checker_read_share", "llm_share")),
    (
        "Faithfulness",
        (
            "deletions",
            "sufficiency_win_rate",
            "sufficiency_fall",
            "sufficiency_fall_uncited",
            "stability_listed",
            "stability_cited",
        ),
    ),
    (
        "Texts",
        (
            "skeletons",
            "skeleton_repeat_rate",
            "distinct_1",
            "distinct_2",
            "mean_words",
            "reading_ease",
            "reading_grade",
        ),
    ),
)
_MEANINGS = {
    "statements": "statements checked",
    "draft_precision": "statements of the model that were kept",
    "second_checker_read_share": "sentences that the second checker could read",
    "llm_share": "texts worded by the language model",
    "deletions": "items tested by deletion",
    "sufficiency_win_rate": "cited alone keeps more than others alone",
    "sufficiency_fall": "fall with nothing but the cited (nats)",
    "sufficiency_fall_uncited": "fall with nothing but others (nats)",
    "stability_listed": "listed again after shuffling the history",
    "stability_cited": "cited again, of items in both lists (Jaccard)",
    "skeletons": "texts left when names are masked",
    "skeleton_repeat_rate": "texts that another user reads but for names",
    "distinct_1": "distinct-1",
    "distinct_2": "distinct-2",
    "mean_words": "words per explanation",
    "reading_ease": "reading ease (Flesch; 60 to 70 is plain)",
    "reading_grade": "reading grade (Flesch-Kincaid, years)",
}


def render_page(records: Sequence[Record], summary: dict[str, Any]) -> str:
    """HTML of the report, without links to anything outside.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    environment = Environment(
        loader=PackageLoader("tastemaker.eval"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"share": _percent, "ratio": _ratio, "plain": _plain, "signed": _signed}
    return environment.get_template("offline.html.j2").render(
        records=records,
        summary=summary,
        headline=[one for one in _HEADLINE if one[0] in summary],
        more=_MORE,
        meanings=_MEANINGS,
        figures=list(figures(records, summary)),
        scale=_scale(records),
    )


def _scale(records: Sequence[Record]) -> dict[str, float]:
    """The largest influence in nats among the items of each request: the full length of a bar."""
    return {
        record["request_id"]: max(
            (
                abs(value)
                for item in record["items"]
                if item["explanation"]
                for piece in item["explanation"]["evidence"]
                for value in (piece["influence"], piece["retrieval_influence"])
                if value is not None
            ),
            default=1.0,
        )
        or 1.0
        for record in records
        if record["status"] == "ok"
    }


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} ×"


def _plain(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"


def _signed(value: float) -> str:
    return f"{value:+.2f}"
