"""How every plot of ours looks: one colour and marker per system, and SVG text without anything of the clock.

matplotlib is an extra and is imported when the first plot is drawn. The same figures give the same text.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tastemaker.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito (2008), told apart with any colour vision; the base of a comparison is grey.
_COLOURS = ("#5f6b76", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#9a6a00")
_MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*")
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "tastemaker",
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica Neue", "Helvetica", "Arial", "DejaVu Sans"],
    "font.size": 9.5,
    "text.color": "#1f2429",
    "axes.labelcolor": "#4a525a",
    "axes.edgecolor": "#9aa3ab",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#e7eaed",
    "grid.linewidth": 0.8,
    "xtick.color": "#4a525a",
    "ytick.color": "#4a525a",
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
}


def look(place: int) -> dict[str, Any]:
    return {"color": _COLOURS[place % len(_COLOURS)], "marker": _MARKERS[place % len(_MARKERS)]}


def legend(axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(
        handles, labels, loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=min(len(labels), 5), fontsize=9
    )


def require_matplotlib() -> None:
    """Raise MissingExtraError without matplotlib: better now than after an hour's work."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(package="matplotlib", extra="report") from error


@contextmanager
def figure(width: float, height: float) -> Iterator[tuple[Axes, list[str]]]:
    """Axes to draw on; afterwards the list holds the figure as SVG text, without its XML header."""
    require_matplotlib()
    import matplotlib as mpl
    from matplotlib.figure import Figure

    drawn: list[str] = []
    with mpl.rc_context(_STYLE):
        drawing = Figure(figsize=(width, height), layout="constrained")
        yield drawing.subplots(), drawn
        text = io.StringIO()
        drawing.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    drawn.append(svg[svg.index("<svg") :])
