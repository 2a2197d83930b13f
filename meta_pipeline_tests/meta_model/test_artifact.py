"""Stored models: written, addressed, checked when read. M15 to M18 and M20 of the predecessor's failures."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from meta_pipeline.errors import ArtifactBroken, InputError, NotFound
from meta_pipeline.meta_model import DecisionSettings, MetaModel, decide
from meta_pipeline.meta_model.artifact import argmax_shares, read_artifact, write_artifact
from meta_pipeline.meta_model.artifact_store import FolderStore, load_model, save_model
from meta_pipeline_tests.meta_model.builders import MODELS, SPLIT, model_saying, random_model, votes


def stored(model: MetaModel | None = None, **changes: Any) -> bytes:
    """Write a model, with parts of its document replaced."""
    base = random_model() if model is None else model
    known = MetaModel(
        models=base.models,
        weights=base.weights,
        symbols=base.symbols,
        threshold=base.threshold,
        metadata={"data_kind": "synthetic"},
    )
    document = json.loads(write_artifact(known))
    return json.dumps({**document, **changes}).encode()


def edited(change: Callable[[dict[str, Any]], object]) -> bytes:
    document = json.loads(stored())
    change(document)
    return json.dumps(document).encode()


def test_a_model_survives_being_kept(tmp_path: Path) -> None:
    pooled = MetaModel(
        models=MODELS,
        weights=random_model(1).weights,
        symbols={"WTI": random_model(2).weights},
        threshold=None,
        metadata={"data_kind": "real", "n_samples": 1234},
    )
    store = FolderStore(tmp_path / "models")
    kept = save_model(pooled, store)
    again = load_model(store, kept.sha256)
    assert [path.name for path in (tmp_path / "models").iterdir()] == [f"{kept.sha256}.json"]
    assert save_model(pooled, store).sha256 == kept.sha256
    assert again.metadata == {"data_kind": "real", "n_samples": 1234}
    assert again.threshold is None
    features = np.random.default_rng(0).uniform(size=(50, 26)).astype(np.float32)
    for symbol in ("WTI", "SP500"):
        expected = pooled.probabilities_of(features, [symbol] * 50)
        assert (again.probabilities_of(features, [symbol] * 50) == expected).all()


def test_a_changed_file_is_refused_by_its_address(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    kept = save_model(read_artifact(stored()), store)
    file = store.path(kept.sha256)
    file.write_bytes(file.read_bytes().replace(b"synthetic", b"realistic"))
    with pytest.raises(ArtifactBroken, match="changed or cut"):
        load_model(store, kept.sha256)
    with pytest.raises(ArtifactBroken, match="changed or cut"):
        read_artifact(file.read_bytes(), expected=kept.sha256)


def test_a_missing_file_and_a_name_that_is_no_address_are_told_apart(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    with pytest.raises(NotFound, match="restore the file, or make it anew"):
        store.get("0" * 64)
    with pytest.raises(InputError, match="64 hexadecimal digits"):
        store.get("../../etc/passwd")


def test_M15_a_collapsed_model_is_refused_for_use() -> None:
    collapsed = model_saying(0.2, 0.7, 0.1)
    with pytest.raises(ArtifactBroken, match="answers HOLD to every ballot"):
        read_artifact(stored(collapsed))
    assert argmax_shares(read_artifact(stored(collapsed), for_use=False)) == {"SELL": 0, "HOLD": 1, "BUY": 0}
    shares = argmax_shares(random_model())
    assert sum(shares.values()) == pytest.approx(1.0)
    assert sum(share > 0 for share in shares.values()) >= 2


def test_M15_other_coefficients_do_not_pass_the_canaries() -> None:
    def nudge(document: dict[str, Any]) -> None:
        document["weights"]["coefficients"][0][0][0] += 1e-6

    with pytest.raises(ArtifactBroken, match="canaries"):
        read_artifact(edited(nudge))


def test_M16_a_model_of_other_classes_is_refused() -> None:
    def two_classes(document: dict[str, Any]) -> None:
        document["schema"]["classes"] = ["SELL", "BUY"]

    def two_rows(document: dict[str, Any]) -> None:
        document["weights"]["coefficients"] = [rows[:2] for rows in document["weights"]["coefficients"]]

    with pytest.raises(ArtifactBroken, match="classes are"):
        read_artifact(edited(two_classes))
    with pytest.raises(ArtifactBroken, match="have shape"):
        read_artifact(edited(two_rows))


def test_M17_features_are_compared_by_name_and_not_by_number() -> None:
    def reverse(document: dict[str, Any]) -> None:
        document["schema"]["feature_names"].reverse()

    def forge(document: dict[str, Any]) -> None:
        document["schema"]["sha256"] = "0" * 64

    with pytest.raises(ArtifactBroken, match="not those of base models"):
        read_artifact(edited(reverse))
    with pytest.raises(ArtifactBroken, match="its schema has the sha256"):
        read_artifact(edited(forge))
    other = random_model(models=("tft", "xgb", "lgbm", "nhits"))  # as wide, of other models
    decision = decide(votes(SPLIT), model=other, settings=DecisionSettings())
    assert (decision.reason, decision.use_meta) == ("feature_dim_mismatch", False)


def test_M18_a_pickle_is_refused_without_being_run(tmp_path: Path) -> None:
    witness = tmp_path / "executed"

    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (witness,))

    for content in (pickle.dumps(Payload()), b"\x80\x04", b"", b"[]", b'{"format": "other"}'):
        with pytest.raises(ArtifactBroken):
            read_artifact(content)
    assert not witness.exists()


@pytest.mark.parametrize("part", ["schema", "weights", "symbols", "threshold", "canary", "metadata"])
def test_M20_an_artifact_that_is_not_whole_says_what_it_lacks(part: str) -> None:
    document = json.loads(stored())
    del document[part]
    with pytest.raises(ArtifactBroken, match=f"lacks {part}"):
        read_artifact(json.dumps(document).encode())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 2}, "format version 2"),
        ({"metadata": {}}, "what kind of data"),
        ({"threshold": 1.5}, "threshold is 1.5"),
        ({"canary": {"inputs": [], "outputs": {}}}, "no canary inputs"),
        ({"weights": {"coefficients": [[[float("nan")] * 26] * 3], "intercepts": [[0.0] * 3]}}, "finite"),
        ({"weights": {"coefficients": [[[0.0] * 20] * 3], "intercepts": [[0.0] * 3]}}, "take 20 features"),
        ({"weights": {"coefficients": "none"}}, "cannot be used"),
    ],
)
def test_what_cannot_be_a_model_is_refused_with_its_reason(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ArtifactBroken, match=message):
        read_artifact(stored(**change))
