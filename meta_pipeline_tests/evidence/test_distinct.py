import numpy as np

from meta_pipeline.evidence.distinct import DistinctRuns, distinct_runs, evidence_digest
from meta_pipeline_tests.evidence.worlds import chosen, grid, panel_of, world


def distinct_of(panel: object, declared: list[str]) -> DistinctRuns:
    return distinct_runs(panel, np.arange(panel.n_runs), declared)  # type: ignore[arg-type, attr-defined]


def noise(n_days: int, n: int, seed: int = 0) -> np.ndarray:
    return np.asarray(np.random.default_rng(seed).standard_normal((n_days, n)) * 0.01)


def test_the_same_runs_stored_thirty_times_are_four() -> None:
    panel = panel_of(noise(50, 4), [{"k": i} for i in range(4)])  # A13
    thirty = distinct_of(chosen(panel, list(range(4)) * 30), ["k"])
    once = distinct_of(panel, ["k"])
    assert len(thirty) == 4
    assert thirty.copies.tolist() == [30] * 4
    assert thirty.digest == once.digest


def test_the_order_of_runs_is_decided_by_their_content_alone() -> None:
    panel = world(np.random.default_rng(0), [grid()] * 2, n_days=60)
    order = np.random.default_rng(1).permutation(panel.n_runs)
    shuffled = chosen(panel, order.tolist())
    one, two = distinct_of(panel, ["k0"]), distinct_of(shuffled, ["k0"])
    assert np.array_equal(panel.returns[:, one.columns], shuffled.returns[:, two.columns])
    assert one.digest == two.digest


def test_one_different_bit_makes_another_series() -> None:
    returns = noise(50, 2)
    returns[:, 1] = returns[:, 0]
    returns[10, 1] = np.nextafter(returns[10, 1], 1)
    found = distinct_of(panel_of(returns, [{}, {}]), [])
    assert len(found) == 2
    assert found.n_distinct_series == 2


def test_the_same_returns_on_other_days_are_another_series() -> None:
    returns = np.full((60, 2), np.nan)
    returns[:50, 0] = noise(50, 1)[:, 0]
    returns[10:, 1] = noise(50, 1)[:, 0]
    assert distinct_of(panel_of(returns, [{}, {}]), []).n_distinct_series == 2


def test_runs_of_other_periods_per_year_are_in_blocks_of_their_own() -> None:
    panel = panel_of(noise(50, 2), [{}, {}], periods_per_year=np.array([252.0, 2190.0]))
    assert distinct_of(panel, []).block_labels == (("m|w|c", 252.0), ("m|w|c", 2190.0))


def test_the_digest_of_evidence_knows_neither_order_nor_repetition() -> None:
    assert evidence_digest([b"a", b"b"]) == evidence_digest([b"b", b"a", b"b"])
    assert evidence_digest([b"a"]) != evidence_digest([b"b"])
