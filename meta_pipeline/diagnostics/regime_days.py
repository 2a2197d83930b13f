"""One regime label per day where several markets have theirs.

Belongs here: when the labels of markets agree. Does not belong here: how a regime is told (lab), or what happened in it
(evidence).
"""

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.str_]


def agreed_labels(regimes: Mapping[str, Labels] | None, markets: Collection[str]) -> Labels | None:
    """Return the label of each day on which all markets agree; an empty text where they do not.

    Parameters
    ----------
    regimes
        As in `propose`: by market, or "" for all of them.
    markets
        Those that are looked at together.

    Returns
    -------
    ndarray or None
        Shape (n_days,); None where one of the markets has no labels.
    """
    found = [(regimes or {}).get(market, (regimes or {}).get("")) for market in sorted(set(markets))]
    known = [labels for labels in found if labels is not None]
    if not known or len(known) < len(found):
        return None
    same = np.all([labels == known[0] for labels in known], axis=0)
    agreed: Labels = np.where(same, known[0], "")
    return agreed
