import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_pipeline.errors import ArtifactBroken, InputError
from meta_pipeline.hyperband.brackets import Hyperband
from meta_pipeline.hyperband.vote_sums import VoteSums, ladder, pieces, trees_of_piece

SUMS = {"entry": np.array([1.5, np.nan, -0.0], dtype=np.float32), "exit": np.array([7.0], dtype=np.float32)}
KEPT = VoteSums(forests="f" * 64, fingerprint="e" * 64, units=9, sums=SUMS)
EXPECTED = {"forests": "f" * 64, "fingerprint": "e" * 64, "units": 9}


def test_sums_come_back_to_the_last_bit() -> None:
    read = VoteSums.from_bytes(KEPT.to_bytes(), forests="f" * 64, fingerprint="e" * 64, units=9)
    assert {name: values.tobytes() for name, values in read.sums.items()} == {n: v.tobytes() for n, v in SUMS.items()}
    assert read.to_bytes() == KEPT.to_bytes()


def test_one_flipped_bit_anywhere_is_seen() -> None:
    content = KEPT.to_bytes()
    for at in range(len(content)):
        broken = bytearray(content)
        broken[at] ^= 1
        with pytest.raises(ArtifactBroken, match="evaluate anew"):
            VoteSums.from_bytes(bytes(broken), forests="f" * 64, fingerprint="e" * 64, units=9)
    for length in (0, 5, 40, len(content) - 1):
        with pytest.raises(ArtifactBroken, match="cut or changed"):
            VoteSums.from_bytes(content[:length], forests="f" * 64, fingerprint="e" * 64, units=9)


@pytest.mark.parametrize("name", ["forests", "fingerprint", "units"])
def test_a_checkpoint_of_something_else_is_refused(name: str) -> None:
    other = {**EXPECTED, name: 27 if name == "units" else "0" * 64}
    with pytest.raises(ArtifactBroken, match=f"the checkpoint's {name} is"):
        VoteSums.from_bytes(KEPT.to_bytes(), **other)  # type: ignore[arg-type]


@given(most=st.integers(1, 2000), eta=st.integers(2, 10))
def test_pieces_end_where_hyperbands_rungs_do(most: int, eta: int) -> None:
    brackets = Hyperband(maximum_resource=most, eta=eta).brackets
    rungs = {resource for bracket in brackets for resource in bracket.resources}
    assert rungs == set(ladder(most, eta))


def test_the_way_between_rungs_goes_over_all_rungs_between() -> None:
    rungs = ladder(81, 3)
    assert rungs == (1, 3, 9, 27, 81)
    assert pieces(rungs, 0, 9) == [(0, 1), (1, 3), (3, 9)]
    assert pieces(rungs, 0, 3) + pieces(rungs, 3, 27) == pieces(rungs, 0, 27)
    for wrong in ((0, 5), (2, 9), (9, 9), (27, 9)):
        with pytest.raises(InputError, match="pieces end at 1, 3, 9, 27, 81"):
            pieces(rungs, *wrong)
    with pytest.raises(InputError, match="max_resource is 0"):
        ladder(0, 3)


@given(trees=st.integers(1, 500), most=st.integers(1, 300), eta=st.integers(2, 5))
def test_pieces_add_up_to_the_forest_and_the_first_one_has_a_tree(trees: int, most: int, eta: int) -> None:
    steps = pieces(ladder(most, eta), 0, most)
    counts = [trees_of_piece(trees, most, step) for step in steps]
    assert sum(counts) == trees
    assert counts[0] >= 1
    assert min(counts) >= 0
