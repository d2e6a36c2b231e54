"""`python -m bench.plots`: draws what stands in the tables of docs/performance.md, into docs/pictures.

From the page itself, so that a picture shows what is written beside it, whenever it is drawn. One for a light page and
one for a dark one; the same figures give the same bytes.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_DOCS = Path(__file__).parent.parent / "docs"
_THEMES = {
    "light": {"text": "#1f2328", "faint": "#8c959f", "v3": "#0969da", "v4": "#bc4c00", "others": "#8c959f"},
    "dark": {"text": "#e6edf3", "faint": "#7d8590", "v3": "#58a6ff", "v4": "#f0883e", "others": "#7d8590"},
}
_APIS = ("v3", "v4")

_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))

Theme = dict[str, str]
Row = dict[str, str]


_DRAWINGS: dict[str, tuple[str, ...]] = {
    "startup": ("A first run", "A run with nothing to do"),
    "readiness": ("From the server's readiness to the token on disk",),
    "keys": ("Many keys on the server",),
}
"""Each with the sections whose tables are in it."""


def draw() -> None:
    page = (_DOCS / "performance.md").read_text()
    functions: dict[str, Callable[..., Figure]] = {"startup": _startup, "readiness": _readiness, "keys": _keys}
    tables = {name: [rows_of(page, section) for section in sections] for name, sections in _DRAWINGS.items()}
    (_DOCS / "pictures").mkdir(exist_ok=True)
    for theme, colours in _THEMES.items():
        style: dict[Any, Any] = {
            "svg.fonttype": "none",  # text stays text
            "svg.hashsalt": "chirpstack-init-job",
            "font.size": 9,
            "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
            "axes.edgecolor": colours["faint"],
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": 10,
            "axes.titlelocation": "left",
            "legend.frameon": False,
            **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), colours["text"]),
        }
        with mpl.rc_context(style):
            for name, rows in tables.items():
                if all(rows):
                    target = _DOCS / "pictures" / f"{name}-{theme}.svg"
                    figure = functions[name](*rows, theme=colours)
                    figure.savefig(target, transparent=True, bbox_inches="tight", metadata=_NO_METADATA)


def _startup(*tables: list[Row], theme: Theme) -> Figure:
    figure = Figure(figsize=(7.6, 3.6), layout="constrained")
    places = figure.subplots(2, 1, sharex=True)
    for place, title, rows in zip(places, _DRAWINGS["startup"], tables, strict=True):
        imports = [row for row in rows if "tenacity" in row["program"]]
        programs = [row for row in rows if not row["program"].startswith("python") and "left on" not in row["program"]]
        real = [row for row in programs if "real" in row["program"]]
        for row in [*imports, *(real or programs)][::-1]:
            name = row["program"]
            api = next((api for api in _APIS if api in name), "")
            label = name if api else "(a) the imports alone"
            middle, (low, high) = number(row["median, ms"]), ends(row["middle half"])
            colour = theme[api] if name.startswith("the job") else theme["others"]
            place.barh(label, middle, color=colour, height=0.7)
            place.errorbar(middle, label, xerr=[[middle - low], [high - middle]], color=theme["text"], linewidth=1)
            place.annotate(f"{middle:.0f}", (high, label), (4, 0), textcoords="offset points", va="center")
        place.set_title(title)
        _bare(place)
    places[-1].set_xlabel("ms, median and middle half")
    return figure


def _readiness(rows: list[Row], theme: Theme) -> Figure:
    figure = Figure(figsize=(7.6, 1.9), layout="constrained")
    place = figure.subplots()
    for row in rows[::-1]:
        api = row["simulated server"]
        low, high = ends(row["middle half"])
        middle, worst = number(row["median, ms"]), number(row["worst, ms"])
        place.plot([high, worst], [api, api], color=theme[api], linewidth=1)
        place.barh(api, high - low, left=low, color=theme[api], height=0.45)
        place.plot(middle, api, "|", color=theme["text"], markersize=18, markeredgewidth=2)
        place.plot(worst, api, "o", color=theme[api], markersize=5)
        place.annotate(f"{middle:.0f}", (middle, api), (0, 13), textcoords="offset points", ha="center")
        place.annotate(f"{worst:.0f}", (worst, api), (6, 0), textcoords="offset points", va="center")
    for limit, what in ((150, "at most: the median"), (300, "at most: the worst")):
        place.axvline(limit, color=theme["faint"], linestyle="--", linewidth=1)
        place.annotate(what, (limit, 1), (-3, 0), ("data", "axes fraction"), "offset points", ha="right", va="top")
    place.set_xlim(0, 310)
    place.set_ylim(-0.6, 1.9)
    place.set_xlabel("ms: the middle half as a bar, the median as a line, the worst as a dot")
    _bare(place)
    return figure


def _keys(rows: list[Row], theme: Theme) -> Figure:
    figure = Figure(figsize=(7.6, 2.7), layout="constrained")
    time, memory = figure.subplots(1, 2)
    for api in _APIS:
        points = [row for row in rows if row["first run"].startswith(api)]
        sizes = [number(row["first run"].partition(", ")[2]) for row in points]
        for place, column in ((time, "median, s"), (memory, "peak, MiB")):
            values = [number(row[column]) for row in points]
            place.plot(sizes, values, "o-", color=theme[api], label=api, markersize=4)
    for place, title, top in ((time, "Time of a first run, s", None), (memory, "Peak memory, MiB", 45)):
        place.set_title(title)
        place.set_xscale("log")
        place.set_xticks([10, 10_000, 100_000], ["10", "10,000", "100,000"])
        place.minorticks_off()
        place.set_ylim(0, top)
        place.set_xlabel("keys on the server")
    memory.axhline(40, color=theme["faint"], linestyle="--", linewidth=1)
    memory.annotate("at most", (10, 40), (0, 3), textcoords="offset points")
    time.legend()
    return figure


def _bare(place: Axes) -> None:
    place.spines["left"].set_visible(False)
    place.tick_params(axis="y", length=0)


def rows_of(page: str, section: str) -> list[Row]:
    """Of the first table in it, as far as they have figures."""
    text = page.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in re.findall(r"^\|.*$", text, re.MULTILINE)
    ]
    header, _, *rows = lines
    return [dict(zip(header, row, strict=True)) for row in rows]


def number(text: str) -> float:
    """Of `10,000 keys` or `0.53`."""
    return float(text.split(" ", maxsplit=1)[0].replace(",", ""))


def ends(text: str) -> tuple[float, float]:
    """Of `72-76`."""
    low, _, high = text.partition("-")
    return float(low), float(high)


if __name__ == "__main__":
    draw()
