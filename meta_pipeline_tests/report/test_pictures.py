import hashlib
import io
import subprocess
import sys
import warnings
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from matplotlib.figure import Figure
from PIL import Image

from meta_pipeline.backtests.aggregates import Aggregate, Dimension
from meta_pipeline.proposals.candidate import Rule
from meta_pipeline.report import drawings, pictures
from meta_pipeline.report.pictures import Bar
from meta_pipeline_tests.report.builders import candidate, effect
from meta_pipeline_tests.report.test_text import HOSTILE, any_text

DAYS = np.datetime64("2000-01-03", "s") + np.arange(6000) * np.timedelta64(1, "D")


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def has_colour(png: bytes, colour: str) -> bool:
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return bool((np.abs(pixels(png) - wanted).max(axis=2) <= 6).any())


def noise(seed: int, n: int = 6000) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0003, 0.01, n)


def market(label: str, sharpe: float | None, error: float | None = 0.2) -> Aggregate:
    body = {} if error is None else {"sharpe_standard_error": error}
    return Aggregate(
        dimension=Dimension.MARKET, label=label, n_runs=5, n_distinct=4, n_days=500, sharpe=sharpe, body=body
    )


PICTURES = {
    "candidates": lambda: pictures.candidates_picture(
        [candidate(knob=name) for name in HOSTILE] + [candidate(suppressed_by=Rule.NOT_BETTER)] * 40
    ),
    "bars": lambda: pictures.intervals_picture(
        [Bar(label=name, value=0.1 * i, lower=-0.2, upper=0.3 * i) for i, name in enumerate(HOSTILE)],
        title="<b>$x$",
        axis="[red]",
    ),
    "aggregates": lambda: pictures.aggregates_picture([market(name, 0.1 * i) for i, name in enumerate(HOSTILE)]),
    "equity": lambda: pictures.equity_picture(DAYS, {"incumbent": noise(1), "$challenger_": noise(2)}),
    "modes": lambda: pictures.modes_picture(
        [(datetime(2026, 1, day, tzinfo=UTC), pictures.MODES[day % 4]) for day in range(1, 9)],
        end=datetime(2026, 1, 10, tzinfo=UTC),
        title="<b>$x$",
    ),
    "nothing": lambda: pictures.candidates_picture([]),
}


def test_modes_have_a_time_axis_over_any_span_from_one_instant_to_decades() -> None:
    begin = np.datetime64("2026-11-21T06:23:54", "s")
    spans = [0, *np.unique(np.geomspace(1, 20 * 365 * 86400, 120).astype(int))]
    for span in spans:
        figure = Figure()
        moments, end = [begin], begin + np.timedelta64(int(span), "s")
        drawings.steps_drawing(moments, ["NORMAL"], order=pictures.MODES, end=end, title="").draw(figure)
        (axes,) = figure.axes
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            ticks = axes.xaxis.get_majorticklocs()
        left, right = axes.get_xlim()
        assert 1 <= sum(left <= tick <= right for tick in ticks) <= 8
        assert right - left <= max(span, 60) / 86400 + 1e-9


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_a_small_png_and_the_same_bytes_each_time(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        png = PICTURES[name]()
    assert png.startswith(b"\x89PNG\r\n")
    assert len(png) <= pictures.MAX_BYTES == 65536
    assert PICTURES[name]() == png
    assert b"matplotlib" not in png.lower()
    assert pixels(png).std() > 1


def test_what_another_library_did_to_the_defaults_of_matplotlib_changes_no_byte(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import matplotlib as mpl

    bars = [Bar(label="a", value=1.0, lower=0.5, upper=2.0)]
    before = pictures.intervals_picture(bars, title="t", axis="x")
    monkeypatch.setitem(mpl.rcParams, "axes.facecolor", "black")
    monkeypatch.setitem(mpl.rcParams, "font.size", 23.0)
    assert pictures.intervals_picture(bars, title="t", axis="x") == before


def test_another_process_draws_the_same_bytes_and_nobody_loads_pyplot() -> None:
    code = (
        "import sys, hashlib\n"
        "from meta_pipeline.report.pictures import Bar, intervals_picture\n"
        "png = intervals_picture([Bar(label='a', value=1.0, lower=0.5, upper=2.0)], title='t', axis='x')\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "print(hashlib.sha256(png).hexdigest())"
    )
    elsewhere = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    here = pictures.intervals_picture([Bar(label="a", value=1.0, lower=0.5, upper=2.0)], title="t", axis="x")
    assert elsewhere.strip() == hashlib.sha256(here).hexdigest()


@settings(max_examples=10, deadline=None)
@given(any_text)
def test_any_name_can_be_drawn_without_a_warning(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pictures.intervals_picture([Bar(label=name, value=0.1)], title=name, axis=name)


def test_a_character_the_font_lacks_is_written_as_its_escape() -> None:
    assert pictures.drawable("a日") == "a\\u65e5"
    assert pictures.drawable("\x1b[31m") == "\\x1b[31m"
    assert len(pictures.drawable("x" * 500)) <= 60


def test_proposed_and_not_proposed_differ_by_colour_and_by_shape() -> None:
    proposed = pictures.candidates_picture([candidate()])
    stopped = pictures.candidates_picture([candidate(suppressed_by=Rule.NOT_BETTER)])
    assert has_colour(proposed, pictures.BLUE)
    assert not has_colour(stopped, pictures.BLUE)
    filled, hollow = ((pixels(png)[:, 450:, :].min(axis=2) < 130).sum() for png in (proposed, stopped))
    assert filled > hollow


def test_a_change_that_is_proposed_for_its_risk_is_drawn_once_and_filled() -> None:
    stopped = candidate(suppressed_by=Rule.NOT_BETTER)
    risk = replace(candidate(), effect=effect(-0.1, 0.02, "volatility"), other_effects=(effect(),))
    for order in ([stopped, risk], [risk, stopped]):
        assert pictures.candidates_picture(order) == pictures.candidates_picture([candidate()])


def test_a_candidate_without_an_estimate_is_left_out_of_the_picture() -> None:
    assert pictures.candidates_picture([candidate(estimate=None)]) == pictures.candidates_picture([])


def test_equity_of_a_ruined_run_stays_at_zero_and_gaps_are_flat() -> None:
    returns = np.array([0.1, np.nan, -1.5, 0.5])
    assert drawings.equity(returns).tolist() == pytest.approx([1.1, 1.1, 0.0, 0.0])


def test_thinning_keeps_the_deepest_drawdown() -> None:
    crash = np.zeros(6000)
    crash[3001], crash[3002] = -0.5, 1.0
    deep = pictures.equity_picture(DAYS, {"a": crash})
    assert deep != pictures.equity_picture(DAYS, {"a": np.zeros(6000)})


def test_an_aggregate_without_a_figure_is_left_out_and_one_without_an_error_has_no_interval() -> None:
    assert pictures.aggregates_picture([market("SPX", None)]) == pictures.aggregates_picture([])
    assert pictures.aggregates_picture([market("SPX", 0.5, None)]) != pictures.aggregates_picture([market("SPX", 0.5)])
