"""What a section hands back, and how it becomes Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Verdict:
    what: str
    at_most: str
    measured: str
    met: bool | None
    """None: not measured, and `measured` says why."""

    def row(self) -> tuple[str, ...]:
        return self.what, self.at_most, self.measured, {True: "yes", False: "**no**", None: "-"}[self.met]


@dataclass
class Section:
    title: str
    parts: list[str] = field(default_factory=list)
    """Paragraphs and tables."""
    verdicts: list[Verdict] = field(default_factory=list)

    def limit(self, what: str, limit: float, value: float | None, unit: str = "", missing: str = "") -> None:
        """A target with its figure, or why there is none."""
        digits = 2 if unit == " x" else 0 if unit == " ms" else 1
        met = None if value is None else round(value, digits) <= limit
        measured = missing if value is None else f"{value:.{digits}f}{unit}"
        self.verdicts.append(Verdict(what, f"{limit:.{digits}f}{unit}", measured, met))


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The first column to the left, the others to the right; readable as text as well."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]
        return "| " + " | ".join([cells[0].ljust(widths[0]), *padded[1:]]) + " |"

    rule = [":" + "-" * (widths[0] - 1), *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([line(header), line(rule), *(line(row) for row in rows)])


def picture(name: str, alt: str) -> str:
    """Of docs/pictures, as bench/plots.py draws it for a light page and a dark one."""
    dark = f'<source media="(prefers-color-scheme: dark)" srcset="pictures/{name}-dark.svg">'
    return f'<picture>{dark}<img src="pictures/{name}-light.svg" alt="{alt}"></picture>'
