"""What the README says is there is there, and the other way round."""

import re
from pathlib import Path

from tools.list_files import HEADING, files

ROOT = Path(__file__).parents[1]


def test_every_file_is_in_the_readmes_list_and_no_other():
    listed = (ROOT / "README.md").read_text().split(HEADING)[1].split("\n## ")[0]
    assert set(re.findall(r"^    (\S+\.py)", listed, re.M)) == {str(path) for path in files()}


def test_the_readmes_links_and_pictures_exist():
    text = (ROOT / "README.md").read_text()
    assert all((ROOT / target).exists() for target in re.findall(r"\]\(((?!http)[^)#]+)", text))
