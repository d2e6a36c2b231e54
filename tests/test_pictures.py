"""The pictures in the documents are there, small, for light and dark pages, and load nothing from elsewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PICTURES = sorted((ROOT / "docs" / "pictures").glob("*.svg"))


@pytest.mark.parametrize("document", [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")], ids=lambda path: path.name)
def test_every_picture_of_a_document_is_there(document: Path) -> None:
    for target in re.findall(r'(?:src|srcset)="([^":]+)"', document.read_text()):
        assert (document.parent / target).exists(), target


def test_each_is_there_for_light_and_for_dark_pages() -> None:
    light, dark = (
        {path.stem.removesuffix(theme) for path in PICTURES if path.stem.endswith(theme)}
        for theme in ("-light", "-dark")
    )
    assert light == dark
    assert len(light) * 2 == len(PICTURES) > 0


@pytest.mark.parametrize("picture", PICTURES, ids=lambda path: path.name)
def test_a_picture_is_small_and_loads_nothing(picture: Path) -> None:
    text = picture.read_text()
    assert len(text.encode()) < 30_000
    assert re.findall(r"""(?:href|src)=["'](?!#)|url\((?!#)|@import|@font-face|<script""", text) == []


def test_no_line_of_a_drawing_is_ended_by_a_semicolon() -> None:
    """Mermaid takes it for the end of a statement, and then nothing is drawn."""
    drawings = [
        drawing
        for document in ROOT.glob("docs/*.md")
        for drawing in re.findall(r"```mermaid\n(.*?)```", document.read_text(), re.DOTALL)
    ]
    assert len(drawings) >= 2
    assert [drawing for drawing in drawings if ";" in drawing] == []
