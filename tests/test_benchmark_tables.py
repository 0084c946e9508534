"""Benchmarks' tables: rows become Markdown, and the page around them stays as it is."""

from dataclasses import dataclass

import pytest

from benchmarks.tables import column, markdown, write_table


@dataclass(frozen=True)
class Row:
    what: str
    seconds: float = column("s", ".2f")
    ratio: float | None = None


def test_rows_become_a_markdown_table():
    assert markdown([Row("ours", 0.5, 2.0), Row("theirs", 1.234, None)]) == (
        "| what | s | ratio |\n| --- | --- | --- |\n| ours | 0.50 | 2 |\n| theirs | 1.23 | - |"
    )


def test_a_table_is_written_between_its_markers_again_and_again(tmp_path):
    page = tmp_path / "speed.md"
    page.write_text("Before\n<!-- a -->\nold\n<!-- /a -->\nbetween\n<!-- b -->\n<!-- /b -->\nafter\n")
    for text in ("first", r"second \1"):
        write_table(text, "a", page)
        assert page.read_text() == (
            f"Before\n<!-- a -->\n{text}\n<!-- /a -->\nbetween\n<!-- b -->\n<!-- /b -->\nafter\n"
        )


def test_a_table_without_a_place_is_refused(tmp_path):
    page = tmp_path / "speed.md"
    page.write_text("nothing here")
    with pytest.raises(ValueError, match="0 places for the table a"):
        write_table("text", "a", page)
