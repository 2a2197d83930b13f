"""The predecessor's confidence score, kept so that its users can compare. It decides nothing."""

from typing import Final

CONSISTENCY: Final = 0.7  # the predecessor's constant for every proposal


def legacy_confidence(n_runs: int, sharpe_delta: float, consistency: float = CONSISTENCY) -> float:
    """Return the predecessor's score of a difference of mean Sharpe ratios.

    Parameters
    ----------
    n_runs
        Runs at both levels together; twenty count in full.
    sharpe_delta
        Difference of the mean annualised Sharpe ratios; 0.5 counts in full.
    consistency
        Between 0 and 1.

    Returns
    -------
    float
        Between 0 and 1, by 0.4 n / 20 + 0.4 delta / 0.5 + 0.2 consistency, each part clipped. It is no probability: it
        takes runs of the same market days for independent observations, and knows no dispersion.
    """
    size = 0.4 * min(1.0, n_runs / 20)
    gain = 0.4 * min(max(sharpe_delta / 0.5, 0.0), 1.0)
    return size + gain + 0.2 * min(max(consistency, 0.0), 1.0)
