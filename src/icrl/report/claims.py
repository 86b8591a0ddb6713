"""The paper's claims, and how far the records bear each out: reproduced, in part, or not.

A claim is reproduced only under the paper's own conditions. Where `icrl.report.paper` gives no verdict, since learner,
budget or tasks are others, the most that can be said is "in part".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from icrl.records import Record, Split
from icrl.report.comparison import MEMORYLESS, Comparison, label, on_ladder, place
from icrl.report.grid import Grid
from icrl.report.intervals import gain, means
from icrl.report.paper import PAPER, ours_beside, verdict

Outcome = Literal["reproduced", "in part", "not"]


@dataclass(frozen=True)
class Finding:
    """What the records say of a claim."""

    claim: str
    where: str
    """Of the paper."""
    experiment: str
    """Ours."""
    scale: str
    outcome: Outcome
    because: str


@dataclass(frozen=True)
class Claim:
    """What the paper says, and how records are judged by it."""

    words: str
    where: str
    experiment: str
    judge: Callable[[Sequence[Record]], tuple[Outcome, str] | None]
    """Of the records of the experiment; None if they hold nothing of it."""


def beside_the_paper(*models: str) -> Callable[[Sequence[Record]], tuple[Outcome, str] | None]:
    """Whether all that compares with the paper's numbers is level with them, or on S5's side of them."""

    def judge(records: Sequence[Record]) -> tuple[Outcome, str] | None:
        published = PAPER[records[0].experiment]
        verdicts = {
            (what, record.model): verdict(published, what, record, ours)
            for what, record, ours in ours_beside(published, records)
            if record.model in models
        }
        compared = {where: found for where, found in verdicts.items() if found}
        if not compared:
            return None
        good = [found in (("level", "above") if model == "s5" else ("level", "below"))
                for (_, model), found in compared.items()]  # fmt: skip
        names = " and ".join(label(model) for model in models)
        because = f"{names}: {sum(good)} of {len(good)} values are as the paper's, or differ in S5's favour"
        return "reproduced" if all(good) else "in part" if any(good) else "not", because

    return judge


def adapts(split: Split, rung: str) -> Callable[[Sequence[Record]], tuple[Outcome, str] | None]:
    """Whether S5 gains within an episode, and ends above the memoryless agent where that is recorded: in part."""

    def judge(records: Sequence[Record]) -> tuple[Outcome, str] | None:
        found = {record.model: record for record in records if record.rung == rung and on_ladder(record)}
        s5, memoryless = found.get("s5"), found.get(MEMORYLESS)
        if s5 is None or split not in s5.splits:
            return None
        last = means(s5, split)[s5.last_trial]
        signs, because = [], [f"last trial {last.format()}"]
        if memoryless:
            without = means(memoryless, split)[memoryless.last_trial]
            signs.append(last.is_above(without))
            because.append(f"without memory {without.format()}")
        if s5.last_trial:
            gained = gain(s5, split)
            signs.append(gained.low > 0)
            because.append(f"gain within an episode {gained.format()}")
        seeds = f"{len(s5.seeds)} seed{'s' if len(s5.seeds) > 1 else ''}"
        return ("in part" if any(signs) else "not", f"{', '.join(because)} ({seeds})") if signs else None

    return judge


CLAIMS = (
    Claim("S5 carries a bit over hundreds of steps where an LSTM with the same unroll loses it",
          "figure 1", "memory_length", beside_the_paper("s5", "lstm")),
    Claim("S5 is as good as the best, or better, on tasks of POPGym that need memory",
          "table of the appendix", "popgym", beside_the_paper("s5")),
    Claim("S5's return rises over the trials of a CartPole behind changed signs",
          "figure 3, easier projections", "meta_cartpole", adapts("train", "sign")),
    Claim("S5's return rises over the trials of a CartPole behind Gaussian projections",
          "figure 3", "meta_cartpole", adapts("train", "gaussian")),
    Claim("One agent adapts in context to many control tasks behind random projections",
          "figure 5", "meta_dm_control", adapts("train", "gaussian")),
    Claim("It adapts to control tasks that it was never trained on",
          "figure 6", "meta_dm_control", adapts("held_out", "gaussian")),
    Claim("One agent adapts in context to small tasks of Brax behind signed permutations",
          "figure 5, other tasks", "meta_brax", adapts("train", "signed_permutation")),
    Claim("One agent adapts in context to small tasks of Brax behind Gaussian projections",
          "figure 5, other tasks", "meta_brax", adapts("train", "gaussian")),
    Claim("It adapts to tasks of Brax that it was never trained on, behind signed permutations",
          "figure 6, other tasks", "meta_brax", adapts("held_out", "signed_permutation")),
)  # fmt: skip
"""In the order of the overview."""


SCALES = ("paper", "gpu", "cpu")
"""Which records are judged: those of the first scale that holds something of a claim; others come last."""


def findings(comparisons: Iterable[Comparison], grids: Iterable[Grid]) -> list[Finding]:
    """What the records say of each claim that they hold something of, at the largest scale that does."""
    records: dict[tuple[str, str], list[Record]] = {}
    for group in (*comparisons, *grids):
        records.setdefault((group.experiment, group.scale), []).extend(group.records)
    found = []
    for claim in CLAIMS:
        scales = sorted({scale for name, scale in records if name == claim.experiment}, key=lambda s: place(SCALES, s))
        judged = ((scale, claim.judge(records[claim.experiment, scale])) for scale in scales)
        for scale, outcome in judged:
            if outcome:
                found.append(Finding(claim.words, claim.where, claim.experiment, scale, *outcome))
                break
    return found
