"""results/index.html: the same as results/README.md to browse, one file that needs no network.

An overview with a finding for each of the paper's claims; then every experiment, with curves of every task. The text
is that of `icrl.report.readme`; figures are inside, and follow neither theme but stand on white.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape, unescape
from pathlib import Path
from urllib.parse import unquote

from markdown_it import MarkdownIt

from icrl.report.claims import Finding, findings
from icrl.report.comparison import Comparison
from icrl.report.curves import task_curves
from icrl.report.grid import Grid
from icrl.report.readme import INTRODUCTION, experiment_sections

PAGE = "index.html"
OUTCOMES = {"reproduced": "yes", "in part": "part", "not": "no"}
"""What a claim came to, and the style of its mark."""

STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --pale: #59636e; --line: #d1d9e0; --paper: #ffffff; --card: #f6f8fa;
  --link: #0969da; --yes: #1a7f37; --part: #9a6700; --no: #b42318; --bright: none; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --pale: #9aa4af; --line: #3d444d; --paper: #0d1117;
  --card: #161b22; --link: #6cb6ff; --yes: #3fb950; --part: #d29922; --no: #ff7b72;
  --bright: brightness(1.4); } }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; scroll-padding-top: 1rem; }
body { margin: 0; background: var(--paper); color: var(--ink); overflow-wrap: anywhere;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
a { color: var(--link); text-decoration: none; } a:hover { text-decoration: underline; }
nav { position: sticky; top: 0; max-height: 100vh; overflow-y: auto; padding: 1.6rem 1.2rem; font-size: .93rem; }
nav strong { display: block; font-size: 1.15rem; margin-bottom: .6rem; }
nav a { display: block; padding: .22rem 0; }
main { min-width: 0; padding: 1.2rem 2rem 5rem; max-width: 64rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: .6rem 0 .4rem; }
h2 { font-size: 1.4rem; margin: 3.2rem 0 .6rem; padding-top: 1rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.08rem; margin: 2rem 0 .5rem; }
.lead, .where, figcaption { color: var(--pale); }
.scroll { overflow-x: auto; margin: .6rem 0 1rem; border: 1px solid var(--line); border-radius: 8px; }
table { border-collapse: collapse; font-size: .88rem; overflow-wrap: normal; min-width: 100%; }
th, td { padding: .42rem .7rem; text-align: left; vertical-align: top; border-top: 1px solid var(--line); }
thead th { border-top: 0; background: var(--card); } tbody tr:hover { background: var(--card); }
td { font-variant-numeric: tabular-nums; } td > code { white-space: nowrap; }
code { font: .88em ui-monospace, "SFMono-Regular", "DejaVu Sans Mono", monospace; }
img { display: block; max-width: 100%; height: auto; background: #ffffff; border: 1px solid var(--line);
  border-radius: 8px; padding: 6px; }
.claims { display: grid; gap: .7rem; margin: 1rem 0; }
.claim { display: grid; grid-template-columns: 7.2rem minmax(0, 1fr); gap: .2rem 1rem; padding: .8rem 1rem;
  background: var(--card); border: 1px solid var(--line); border-left: 5px solid var(--mark); border-radius: 8px; }
.claim b { color: var(--mark); } .claim p { margin: 0; } .claim .why { font-size: .9rem; color: var(--pale); }
.yes { --mark: var(--yes); } .part { --mark: var(--part); } .no { --mark: var(--no); }
.curves { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 15.5rem), 1fr)); gap: .8rem; }
.curves figure { margin: 0; padding: .5rem .6rem; border: 1px solid var(--line); border-radius: 8px; min-width: 0; }
.curves svg { display: block; width: 100%; height: auto; }
.curves polyline, .legend i { filter: var(--bright); } .curves figcaption { font-size: .85rem; }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; font-size: .88rem; margin: .5rem 0; }
.legend i { display: inline-block; width: 1.1rem; height: .25rem; border-radius: 2px; margin: 0 .4rem .2rem 0; }
details { margin: 1rem 0; } summary { cursor: pointer; font-weight: 600; }
@media (min-width: 62rem) { body { display: grid; grid-template-columns: 15rem minmax(0, 1fr); }
  nav { border-right: 1px solid var(--line); height: 100vh; } }
@media (max-width: 61.99rem) { nav { position: static; border-bottom: 1px solid var(--line); padding: .9rem 1.1rem; }
  nav a { display: inline-block; margin-right: 1rem; } main { padding: .6rem 1.1rem 4rem; }
  .claim { grid-template-columns: minmax(0, 1fr); } h1 { font-size: 1.55rem; } }
"""


def write_page(
    comparisons: Sequence[Comparison],
    captions: Mapping[str, Mapping[Path, str]],
    path: Path,
    grids: Sequence[Grid] = (),
    benchmarks: Iterable[str] = (),
) -> Path:
    """Write the page of all comparisons and grids, and sections of benchmarks; return its path.

    `captions` of figures are by their names.
    """
    markdown = experiment_sections(comparisons, captions, path.parent, grids)
    by_name = {comparison.name: comparison for comparison in comparisons}
    sections = []
    for name, text in markdown.items():
        curves = task_curves(by_name[name].headline) if name in by_name else ""
        before, heading, after = text.partition("### How it was made\n")
        sections.append(_html(before, path.parent) + curves + _html(heading + after, path.parent))
    sections += [_html(text, path.parent) for text in benchmarks]
    introduction = _html(INTRODUCTION.partition("\n\n")[2].partition("\n\n")[2], path.parent)
    overview = _overview(findings(comparisons, grids), list(markdown))
    headings = [heading for section in sections for heading in re.findall(r'<h2 id="(.*?)">(.*?)</h2>', section)]
    links = [("overview", "Overview"), ("words", "What the numbers mean"), *headings]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>icrl: results</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<nav><strong>icrl</strong>"
        + "".join(f'<a href="#{anchor}">{words}</a>\n' for anchor, words in links)
        + f"</nav>\n<main>\n{overview}\n"
        f'<h2 id="words">What the numbers mean</h2>\n{introduction}\n' + "\n".join(sections) + "\n</main>\n</body>\n"
        "</html>\n",
        encoding="utf-8",
    )
    return path


def _overview(found: Sequence[Finding], names: Sequence[str]) -> str:
    """A card for each claim, with a link to the first section of its experiment."""
    cards = []
    for finding in found:
        near = [name for name in names if name.startswith(f"{finding.experiment}-{finding.scale}")]
        where = f'<a href="#{near[0]}">{escape(finding.experiment)}, {escape(finding.scale)} scale</a>' if near else ""
        cards.append(
            f'<div class="claim {OUTCOMES[finding.outcome]}"><b>{finding.outcome}</b><div><p>{escape(finding.claim)} '
            f'<span class="where">({escape(finding.where)})</span></p>'
            f'<p class="why">{where}: {escape(finding.because)}</p></div></div>'
        )
    claims = (
        f'<div class="claims">{"".join(cards)}</div>' if cards else "<p>No record bears on a claim of the paper.</p>"
    )
    return (
        '<h1 id="overview">Results</h1>\n<p class="lead">What the paper (Lu et al. 2023, arXiv 2303.03982) claims, and '
        "what the records here say of it. A claim is reproduced under the paper's own conditions only; where learner, "
        f"budget or tasks are others, the most it can be is in part.</p>\n{claims}"
    )


def _html(text: str, folder: Path) -> str:
    """Markdown as HTML: headings are anchors, tables scroll, figures are inside."""
    html = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    html = re.sub(r"<h2>(.*?)</h2>", lambda found: f'<h2 id="{_anchor(found[1])}">{found[1]}</h2>', html)
    html = html.replace("<table>", '<div class="scroll"><table>').replace("</table>", "</table></div>")
    return re.sub(
        r'<img src="(.*?)"', lambda found: f'<img src="{_inside(folder / unquote(unescape(found[1])))}"', html
    )


def _anchor(heading: str) -> str:
    """`meta_brax, cpu scale` is `meta_brax-cpu`, as the section is named; other headings are themselves."""
    return re.sub(r"\W+", "-", heading.replace(" scale", "")).strip("-")


def _inside(figure: Path) -> str:
    """A figure as a data URI."""
    return f"data:image/png;base64,{base64.b64encode(figure.read_bytes()).decode()}"
