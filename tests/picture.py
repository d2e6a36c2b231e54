"""`make pictures`: the first half of `make run`, which is against v4, as a picture for the README.

A real run on a terminal; what is on its screen in the end is drawn, once for a light page and once for a dark one.
"""

import os
import subprocess
import sys
from html import escape
from itertools import groupby
from pathlib import Path

from tests.screen import Screen

_FOLDER = Path(__file__).parent.parent / "docs" / "pictures"
_COLUMNS = 100
_CHAR, _LINE, _EDGE = 8.4, 20, 16  # a character's width and a line's height, at a size of 14
_COLOURS = {
    "light": {"page": "#ffffff", "edge": "#d1d9e0", "default": "#1f2328", "red": "#cf222e", "green": "#116329",
              "brown": "#9a6700"},
    "dark": {"page": "#0d1117", "edge": "#3d444d", "default": "#e6edf3", "red": "#ff7b72", "green": "#3fb950",
             "brown": "#e3b341"},
}  # fmt: skip
"""By the emulator's names; brown is the yellow of old terminals."""
_FONTS = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace"

Row = list[tuple[str, str]]


def main() -> int:
    screen = Screen(_COLUMNS)
    with subprocess.Popen(
        [sys.executable, "-m", "tests.demo"],
        env={"PATH": os.environ["PATH"], "TERM": "xterm"},
        stdout=screen.other_end,
        stderr=screen.other_end,
    ) as process:
        os.close(screen.other_end)
        screen.to_the_end()
    if process.returncode:
        print("\n".join(screen.lines), file=sys.stderr)
        return process.returncode
    _FOLDER.mkdir(exist_ok=True)
    rows = [[(char, "default") for char in "$ make run"], *_first_half(screen.rows)]
    for theme in _COLOURS:
        (_FOLDER / f"run-{theme}.svg").write_text(_drawn(rows, theme))
    return 0


def _first_half(rows: list[Row]) -> list[Row]:
    """Up to where the second server comes."""
    servers = [number for number, row in enumerate(rows) if "".join(char for char, _ in row).startswith("===")]
    return rows[: servers[1] - 1]


def _drawn(rows: list[Row], theme: str) -> str:
    colours = _COLOURS[theme]
    width, height = _COLUMNS * _CHAR + 2 * _EDGE, len(rows) * _LINE + 2 * _EDGE
    texts = []
    for number, row in enumerate(rows):
        column = 0
        for colour, group in groupby(row, key=lambda cell: cell[1]):
            cells = list(group)
            text = "".join(char for char, _ in cells)
            if shown := text.strip():
                # With its length, it has its place in whatever font the reader has.
                x = _EDGE + (column + len(text) - len(text.lstrip())) * _CHAR
                texts.append(
                    f'<text x="{x:.1f}" y="{_EDGE + number * _LINE + 14}" textLength="{len(shown) * _CHAR:.1f}" '
                    f'fill="{colours[colour]}">{escape(shown)}</text>'
                )
            column += len(cells)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" role="img">',
            "<title>make run: a first run of the job makes the key, a second one finds nothing to do</title>",
            f'<rect x="0.5" y="0.5" width="{width - 1:g}" height="{height - 1:g}" rx="6" '
            f'fill="{colours["page"]}" stroke="{colours["edge"]}"/>',
            f'<g font-family="{_FONTS}" font-size="14" style="white-space: pre">',
            *texts,
            "</g>\n</svg>\n",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
