"""Write the README's list of files anew from their first lines: python tools/list_files.py."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("aios_core", "aios_blender", "training", "benchmarks", "examples", "tools")
HEADING, NEXT = "## Every file in a line\n", "\n## "


def files() -> list[Path]:
    """Every Python file that says something, by folder, relative to the project's root."""
    found = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    found = [path for path in found if ast.get_docstring(ast.parse(path.read_text()))]
    return sorted((p.relative_to(ROOT) for p in found), key=lambda p: (FOLDERS.index(p.parts[0]), p.parent, p.name))


def described(path: Path) -> str:
    """A file and the first sentence of its docstring, without the last point."""
    first = ast.get_docstring(ast.parse((ROOT / path).read_text())).split("\n\n")[0].replace("\n", " ")
    return f"    {path!s:<46} {first.removesuffix('.')}"


def main() -> None:
    """Replace the list in README.md."""
    readme = ROOT / "README.md"
    before, rest = readme.read_text().split(HEADING)
    listed = "\n".join([*map(described, files()), f"    {'tests/':<46} sentences about behaviour; fixtures"])
    readme.write_text(f"{before}{HEADING}\n{listed}\n{NEXT}{rest.split(NEXT, 1)[1]}")


if __name__ == "__main__":
    main()
