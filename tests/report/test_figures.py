from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from PIL import Image

from icrl.records import Record
from icrl.report import figures
from icrl.report.comparison import Comparison, load_comparisons
from icrl.report.illustrations import ILLUSTRATIONS, illustrate
from icrl.report.style import MODEL_STYLES, model_styles, save
from icrl.spec.parse import parse

Data = dict[str, Any]


@pytest.fixture
def comparison(results: Path) -> Comparison:
    [comparison] = load_comparisons(results)
    return comparison


def line(axes: Axes, label: str) -> tuple[np.ndarray, np.ndarray]:
    [found] = [line for line in axes.get_lines() if line.get_label() == label]
    return np.asarray(found.get_xdata(), float), np.asarray(found.get_ydata(), float)


def legend(figure: Figure) -> list[str]:
    [found] = figure.legends
    return [text.get_text() for text in found.get_texts()]


def test_adaptation_curves_are_mean_scores_by_trial(comparison: Comparison):
    figure = figures.adaptation_curves(comparison.headline)
    train, held_out = figure.axes
    trials, scores = line(train, "S5")
    assert trials.tolist() == [1, 2]
    np.testing.assert_allclose(scores, [0.25, 0.75])
    np.testing.assert_allclose(line(held_out, "S5")[1], [0.5, 1.0])
    np.testing.assert_allclose(line(held_out, "MLP (memoryless)")[1], [0.5, 0.5])
    assert train.get_ylabel() == "normalised score"
    assert train.get_title(loc="left") == "Training tasks, unseen projections (mean of 1)"


def test_only_trials_beyond_those_of_training_are_shaded(make_data: Callable[..., Data]):
    beyond = "beyond the trials of training"
    known = figures.adaptation_curves([parse(Record, make_data())])
    assert beyond not in legend(known)
    more = figures.adaptation_curves([parse(Record, make_data() | {"trials_per_episode": 1})])
    assert beyond in legend(more)
    [shade] = [patch for patch in more.axes[0].patches if patch.get_label() == beyond]
    assert shade.get_window_extent().transformed(more.axes[0].transData.inverted()).x0 == pytest.approx(1.5)


def test_without_references_the_axis_says_return(make_data: Callable[..., Data]):
    figure = figures.adaptation_curves([parse(Record, make_data(references=False))])
    assert figure.axes[0].get_ylabel() == "return per trial"
    np.testing.assert_allclose(line(figure.axes[0], "S5")[1], [15.0, 25.0])


def test_a_split_without_a_reference_has_an_axis_of_returns_beside_one_of_scores(make_data: Callable[..., Data]):
    data = make_data()
    data["references"] = {"pendulum": data["references"]["pendulum"]}
    train, held_out = figures.adaptation_curves([parse(Record, data)]).axes
    assert (train.get_ylabel(), held_out.get_ylabel()) == ("normalised score", "return per trial")
    np.testing.assert_allclose(line(train, "S5")[1], [0.25, 0.75])
    np.testing.assert_allclose(line(held_out, "S5")[1], [-20.0, 0.0])


def test_any_model_is_named_in_the_legend_as_it_is_written_and_told_apart(
    tmp_path: Path, make_data: Callable[..., Data]
):
    names = ["lr_$10^{-3$", "_hidden", "$nothing$", *(f"mine{number}" for number in range(7))]
    records = [parse(Record, make_data(model)) for model in names]
    for draw in (figures.adaptation_curves, figures.reward_by_step, figures.bars_per_task):
        figure = draw(records)
        save(figure, tmp_path / "figure.png")  # mathematics that is none fails when it is drawn
        assert sorted(name.strip() for name in legend(figure) if name.strip() in names) == sorted(names)
    styles = model_styles([*names, *MODEL_STYLES, *(f"more{number}" for number in range(40))])
    assert len({colour for colour, _ in styles.values()}) == len(styles)
    assert len({marker for _, marker in model_styles([*MODEL_STYLES, *names]).values()}) == len(MODEL_STYLES) + 10


def test_figures_depend_on_no_settings_of_the_user(tmp_path: Path, comparison: Comparison):
    ours = save(figures.adaptation_curves(comparison.headline), tmp_path / "ours.png").read_bytes()
    with matplotlib.rc_context({"text.usetex": True, "lines.linewidth": 9.0, "axes.facecolor": "red", "font.size": 30}):
        assert save(figures.adaptation_curves(comparison.headline), tmp_path / "theirs.png").read_bytes() == ours


def test_rewards_by_step_are_means_over_seeds_with_references_per_step(comparison: Comparison):
    figure = figures.reward_by_step(comparison.headline)
    pendulum, reacher = figure.axes
    steps, rewards = line(pendulum, "S5")
    # The trials are 4 steps long, and the line is broken between them.
    np.testing.assert_allclose(steps, [0.5, 1.5, 2.5, 3.5, np.nan, 4.5, 5.5, 6.5, 7.5, np.nan])
    np.testing.assert_allclose(rewards, [1, 2, 3, 4, np.nan, 5, 6, 7, 8, np.nan])
    np.testing.assert_allclose(line(reacher, "S5")[1][:4], -4.0)
    assert line(pendulum, "specialist")[1][0] == 30.0 / 4
    assert line(pendulum, "random")[1][0] == 10.0 / 4
    assert line(pendulum, "do nothing")[1][0] == 4.0 / 4


def test_rewards_of_long_trials_are_averaged_within_a_trial(make_data: Callable[..., Data]):
    data = make_data() | {"trial_steps": 32}
    for task in data["tasks"].values():
        task["reward_by_step"] = [[*range(32), *range(100, 132)]] * 2
    figure = figures.reward_by_step([parse(Record, data)])
    steps, rewards = line(figure.axes[0], "S5")
    assert len(steps) == 2 * 9
    np.testing.assert_allclose(rewards[:9], [*np.arange(1.5, 32, 4), np.nan])
    np.testing.assert_allclose(steps[9:11], [34.0, 38.0])
    np.testing.assert_allclose(rewards[9:11], [101.5, 105.5])


def test_what_a_probe_reads_is_a_panel_for_each_quantity_of_each_split(make_data: Callable[..., Data]):
    readings = {
        "train": {"task": [[0.5, 1.0], [0.7, 1.0]], "action_matrix": [[0.0, 0.2]] * 2},
        "held_out": {"action_matrix": [[-9.0, 0.1]] * 2},
    }
    probed = parse(Record, make_data() | {"probe": {"steps": [1, 8], "readings": readings}})
    comparison = Comparison.of(probed, parse(Record, make_data("mlp")))
    [illustration] = [illustration for illustration in ILLUSTRATIONS if illustration.name == "probe"]
    figure = illustration.draw(comparison)
    assert figure is not None
    task, action, unseen = figure.axes
    assert legend(figure) == ["S5", "chance"]  # of the MLP nothing is read
    steps, shares = line(task, "S5")
    assert steps.tolist() == [1, 8]
    np.testing.assert_allclose(shares, [0.6, 1.0])
    np.testing.assert_allclose(line(task, "chance")[1], 1.0)  # of one task
    np.testing.assert_allclose(line(action, "S5")[1], [0.0, 0.2])
    assert [axes.texts[0].get_text() for axes in figure.axes] == ["task", "action matrix", "action matrix"]
    assert unseen.get_title(loc="left") == "Held-out tasks"
    assert unseen.get_ylim() == (-0.5, 1.05)  # how much worse than nothing a reading is does not matter
    assert [line.get_xdata()[0] for line in task.get_lines() if line.get_color() == "#BBBBBB"] == [4]
    nothing = replace(probed, probe=replace(probed.probe, readings={"train": {}}))
    assert illustration.draw(Comparison.of(nothing)) is None


def test_bars_reach_from_the_floor_to_the_last_trial(comparison: Comparison):
    figure = figures.bars_per_task(comparison.headline)
    pendulum, reacher = figure.axes
    bars = [(bar.get_y(), bar.get_y() + bar.get_height()) for bar in pendulum.patches]
    np.testing.assert_allclose(bars, [(10.0, 25.0), (10.0, 15.0)])
    bars = [(bar.get_y(), bar.get_y() + bar.get_height()) for bar in reacher.patches]
    np.testing.assert_allclose(bars, [(-40.0, 0.0), (-40.0, -20.0)])
    rings = [line.get_ydata()[0] for line in pendulum.get_lines() if line.get_label() == "first trial"]
    assert rings == [15.0, 15.0]
    assert line(pendulum, "specialist")[1][0] == 30.0


def test_a_single_trial_has_no_ring(comparison: Comparison):
    single = [replace(record, trials_per_episode=1) for record in comparison.headline]
    figure = figures.bars_per_task(single)
    assert not [line for axes in figure.axes for line in axes.get_lines() if line.get_label() == "first trial"]


def test_the_ladder_climbs_to_gaussian(comparison: Comparison):
    figure = figures.projection_ladder(comparison.records)
    train, _ = figure.axes
    assert [label.get_text() for label in train.get_xticklabels()] == ["sign", "gaussian"]
    [s5] = [container for container in train.containers if container.get_label() == "S5"]
    np.testing.assert_allclose(s5.lines[0].get_ydata(orig=False), [0.75, 0.5])


def test_learning_curves_are_means_over_seeds():
    lines = [
        {"seed": seed, "env_steps": env_steps, "return/last_trial": env_steps + 10.0 * seed}
        for env_steps in (0, 100, 200)
        for seed in (0, 1)
    ]
    unknown = [{"seed": 0, "env_steps": 300, "return/last_trial": None}, {"seed": 1, "env_steps": 300}]
    figure = figures.learning_curves({"gru": [*lines, *unknown]})
    env_steps, returns = line(figure.axes[0], "GRU")
    assert env_steps.tolist() == [0, 100, 200]
    assert returns.tolist() == [5, 105, 205]


def test_long_learning_curves_are_thinned_to_the_means_of_neighbours():
    lines = [{"env_steps": step, "loss": 2.0 * step} for step in range(1000)]
    figure = figures.learning_curves({"s5": lines}, metric="loss", ylabel="loss")
    env_steps, losses = line(figure.axes[0], "S5")
    assert len(env_steps) == 100
    np.testing.assert_allclose(env_steps[:2], [4.5, 14.5])
    np.testing.assert_allclose(losses, 2.0 * env_steps)


def test_a_model_has_one_colour_in_every_figure(comparison: Comparison):
    for figure in (
        figures.adaptation_curves(comparison.headline),
        figures.reward_by_step(comparison.headline),
        figures.learning_curves({"s5": [{"env_steps": 1, "return/last_trial": 2.0}], "mlp": []}),
    ):
        [found] = [line for line in figure.axes[0].get_lines() if line.get_label() == "S5"]
        assert to_hex(found.get_color()).upper() == MODEL_STYLES["s5"][0]
        assert legend(figure)[0] == "S5"


def test_a_narrow_figure_holds_its_whole_legend(make_data: Callable[..., Data]):
    data = make_data() | {"trials_per_episode": 1}
    del data["tasks"]["reacher"]
    models = ("s5", "s5_no_reset", "gru", "lstm", "mlp")
    figure = figures.adaptation_curves([parse(Record, data | {"model": model}) for model in models])
    FigureCanvasAgg(figure).draw()
    [found] = figure.legends
    assert len(figure.axes) == 1 and len(found.get_texts()) > len(models)
    extent = found.get_window_extent()
    assert figure.bbox.x0 <= extent.x0 and extent.x1 <= figure.bbox.x1


def test_unknown_models_take_colours_that_no_other_has():
    styles = model_styles(["s5", "mine", "yours", "mlp"])
    assert list(styles) == ["s5", "mine", "yours", "mlp"]
    assert len({colour for colour, _ in styles.values()}) == 4


def test_each_split_starts_a_row_of_panels(make_data: Callable[..., Data]):
    data = make_data()
    pendulum = data["tasks"]["pendulum"]
    data["tasks"] |= {f"pendulum_{i}": pendulum for i in range(3)}
    del data["references"]
    figure = figures.bars_per_task([parse(Record, data)])
    headings = [axes.get_title(loc="left") for axes in figure.axes]
    assert headings == ["Training tasks, unseen projections", "", "", "", "Held-out tasks"]
    rows = [cell.rowspan.start for axes in figure.axes if (cell := axes.get_subplotspec())]
    assert rows[-1] == max(rows[:-1]) + 1


def large_record(model: str, rng: np.random.Generator) -> Record:
    """The size of a real one: 11 tasks, 3 seeds, 64 episodes of 4 trials of 64 steps."""
    tasks = {
        f"task_number_{i}": {
            "split": "train" if i < 6 else "held_out",
            "returns": rng.normal(30.0, 9.0, (3, 64, 4)).tolist(),
            "reward_by_step": rng.normal(0.5, 0.05, (3, 256)).tolist(),
            "random": 10.0,
            "do_nothing": 0.0,
        }
        for i in range(11)
    }
    names = ["experiment", "scale", "command", "rung"]
    counts = {"env_steps": 1, "trials_per_episode": 4, "trial_steps": 64, "trials": 4, "num_episodes": 64}
    return parse(
        Record,
        dict.fromkeys(names, "probe")
        | counts
        | {"schema": 1, "model": model, "tasks": tasks, "seeds": [0, 1, 2], "num_parameters": 1, "seconds": 1},
    )


def test_figures_of_a_real_size_are_small_files(tmp_path: Path):
    rng = np.random.default_rng(0)
    records = [large_record(model, rng) for model in ("s5", "gru", "lstm", "transformer", "mlp")]
    for draw in (figures.adaptation_curves, figures.bars_per_task, figures.reward_by_step):
        path = save(draw(records), tmp_path / "figure.png")
        assert path.stat().st_size < 150_000
        with Image.open(path) as image:
            assert image.format == "PNG"
            assert min(image.size) > 300


def test_equal_records_give_equal_bytes(tmp_path: Path, comparison: Comparison):
    first, second = (
        save(figures.adaptation_curves(comparison.headline), tmp_path / name) for name in ("a.png", "b.png")
    )
    assert first.read_bytes() == second.read_bytes()


def test_each_illustration_has_a_name_of_its_own():
    assert len({illustration.name for illustration in ILLUSTRATIONS}) == len(ILLUSTRATIONS)


def test_one_evaluation_is_illustrated_alone_or_beside_the_memoryless(tmp_path: Path, comparison: Comparison):
    s5, mlp = comparison.headline
    assert len(illustrate(Comparison.of(s5), tmp_path / "alone")) == 3
    beside = Comparison.of(s5, mlp)
    assert beside.headline == (s5, mlp)
    assert not beside.has_ladder


def test_a_saved_figure_keeps_the_colour_of_every_model(tmp_path: Path):
    styles = model_styles([*MODEL_STYLES, *(f"variant_{number}" for number in range(8))])
    figure = Figure()
    axes = figure.subplots()
    for number, (colour, _) in enumerate(styles.values()):
        axes.plot([0, 10], [number, number + 5], color=colour)
        axes.fill_between([0, 10], [number - 4, number], [number + 4, number + 10], color=colour, alpha=0.2)
    pixels = np.asarray(Image.open(save(figure, tmp_path / "figure.png")).convert("RGB")).reshape(-1, 3)
    distances = {m: np.abs(pixels - 255 * np.array(to_rgb(colour))).max(-1).min() for m, (colour, _) in styles.items()}
    assert max(distances.values()) < 8, distances
