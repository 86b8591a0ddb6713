"""results/index.html: it needs no network, its links lead somewhere, and nothing in it is wider than a phone."""

import json
import re
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from icrl.commands.report import report
from icrl.report.claims import CLAIMS, findings
from icrl.report.comparison import load_comparisons
from icrl.report.grid import load_grids
from icrl.report.page import OUTCOMES, PAGE, STYLE, _html
from icrl.report.paper import PAPER

RESULTS = Path(__file__).parents[2] / "results"
VOID = {"meta", "img", "br", "hr", "path", "line", "polygon", "polyline"}


class Page(HTMLParser):
    """Every element with its attributes and the classes and tags around it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str], list[str]]] = []
        self._around: list[tuple[str, str]] = []
        self.feed(text)
        assert self._around == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.elements.append((tag, attributes, [around for pair in self._around for around in pair]))
        if tag not in VOID:
            self._around.append((tag, attributes.get("class", "")))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}, []))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._around.pop()[0] == tag

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes, _ in self.elements if name == tag]


MADE: dict[str, str] = {}
"""What `icrl report` wrote, made once: figures take seconds."""


@pytest.fixture
def page(results: Path, capsys: pytest.CaptureFixture[str]) -> str:
    if not MADE:
        report(results)
        assert str(results / PAGE) in capsys.readouterr().out.splitlines()
        MADE.update({name: (results / name).read_text() for name in (PAGE, "README.md")})
    return MADE[PAGE]


def test_every_link_leads_to_a_place_on_the_page(page: str):
    parsed = Page(page)
    anchors = [attributes["id"] for _, attributes, _ in parsed.elements if "id" in attributes]
    assert [anchor for anchor, count in Counter(anchors).items() if count > 1] == []
    links = [attributes["href"] for attributes in parsed.all("a")]
    assert len(links) >= 3
    assert [link for link in links if link.removeprefix("#") not in anchors] == []


def test_it_needs_no_network_and_follows_the_theme(page: str):
    parsed = Page(page)
    assert not {tag for tag, *_ in parsed.elements} & {"script", "link", "iframe", "object", "video"}
    assert parsed.all("img")
    assert [img["src"][:30] for img in parsed.all("img") if not img["src"].startswith("data:image/png;base64,")] == []
    assert "url(" not in page
    assert "@import" not in page
    assert "prefers-color-scheme: dark" in STYLE
    light, dark = re.findall(r"--paper: (#\w+)", STYLE)
    assert light != dark


def test_nothing_is_wider_than_a_phone(page: str):
    parsed = Page(page)
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in parsed.all("meta")
    assert [around for tag, _, around in parsed.elements if tag == "table" and "scroll" not in around] == []
    assert not [a for _, a, _ in parsed.elements if "width" in a.get("style", "") or {"width", "height"} & a.keys()]
    for rule in (".scroll { overflow-x: auto", "img { display: block; max-width: 100%", "main { min-width: 0"):
        assert rule in STYLE
    assert "overflow-wrap: anywhere" in STYLE
    fixed = [float(width) for width in re.findall(r"(?<!max-)(?<!min-)width: ([\d.]+)rem", STYLE)]
    columns = [float(width) for width in re.findall(r"minmax\(([\d.]+)rem", STYLE)]
    assert max([*fixed, *columns], default=0) <= 18


def test_it_holds_every_number_of_the_readme_and_a_curve_of_every_task(page: str):
    text = re.sub(r"<[^>]*>", " ", page)
    numbers = re.findall(r"-?\d+\.\d+ \[[^]]*\]", MADE["README.md"])
    assert numbers
    assert [number for number in numbers if number not in text] == []
    assert re.findall(r'<svg [^>]*aria-label="(\w+)"', page) == ["pendulum", "reacher"]
    assert "No record bears on a claim" in page


def test_a_claim_is_judged_by_its_records(results: Path, make_data: Callable[..., dict[str, Any]]):
    folder = results / "records" / "meta_brax" / "cpu"
    folder.mkdir(parents=True)
    (results / "references" / "meta_brax.json").write_text(
        json.dumps(json.loads((results / "references" / "probe.json").read_text()) | {"experiment": "meta_brax"})
    )
    for model, shift in (("s5", 0.0), ("mlp", -0.5)):
        data = make_data(model, "signed_permutation", shift) | {"experiment": "meta_brax", "scale": "cpu"}
        (folder / f"{model}.json").write_text(json.dumps(data))
    found = findings(load_comparisons(results), [])
    assert [(finding.experiment, finding.scale, finding.outcome) for finding in found] == [
        ("meta_brax", "cpu", "in part"),
        ("meta_brax", "cpu", "in part"),
    ]
    assert "last trial 0.75 [0.68, 0.82], without memory 0.25 [" in found[0].because

    data = make_data("mlp", "signed_permutation", 0.0) | {"experiment": "meta_brax", "scale": "cpu"}
    data["tasks"]["reacher"]["returns"] = [[[-20.0, 0.0]] * 2] * 2
    (folder / "mlp.json").write_text(json.dumps(data))
    s5 = make_data("s5", "signed_permutation", -0.6) | {"experiment": "meta_brax", "scale": "cpu"}
    (folder / "s5.json").write_text(json.dumps(s5))
    assert findings(load_comparisons(results), [])[0].outcome == "not"


def test_only_what_compares_with_the_paper_is_called_reproduced():
    found = findings(load_comparisons(RESULTS), load_grids(RESULTS))
    assert len(found) == len(CLAIMS)
    assert {finding.outcome for finding in found} <= OUTCOMES.keys()
    for finding in found:
        published = PAPER.get(finding.experiment)
        if published is None or published.within is None:
            assert finding.outcome != "reproduced"


def test_a_figure_may_have_any_name_that_a_file_may_have(tmp_path: Path):
    (tmp_path / "größe & co.png").write_bytes(b"a picture")
    assert "data:image/png;base64,YSBwaWN0dXJl" in _html("![a picture](<größe & co.png>)", tmp_path)
