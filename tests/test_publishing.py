"""What a release says of itself in several places is the same, and what GitHub reads is what it can read."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import icrl

ROOT = Path(__file__).parents[1]
TEMPLATES = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def test_version_and_date_are_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    newest, date = re.findall(r"^## (\S+), (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[0]
    assert (icrl.__version__, str(citation["date-released"])) == (newest, date)
    assert citation["version"] == icrl.__version__
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (citation["license"], citation["keywords"]) == (project["license"], project["keywords"])
    assert [citation["authors"]] == [project["authors"]]


def test_the_paper_cited_is_that_of_the_readme():
    [paper] = yaml.safe_load((ROOT / "CITATION.cff").read_text())["references"]
    bibtex = (ROOT / "README.md").read_text().partition("```bibtex")[2]
    assert paper["title"] in bibtex
    names = [f"{author['family-names']}, {author['given-names']}" for author in paper["authors"]]
    assert [name for name in names if name not in bibtex] == []


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_an_issue_template_is_a_form(path: Path):
    form = yaml.safe_load(path.read_text())
    if path.stem == "config":
        assert form == {"blank_issues_enabled": True}
        return
    assert {"name", "description", "body"} <= form.keys()
    assert all({"type", "id", "attributes"} <= field.keys() and field["attributes"]["label"] for field in form["body"])


def test_it_is_told_in_45_lines_how_to_contribute():
    assert len((ROOT / "CONTRIBUTING.md").read_text().splitlines()) <= 45
