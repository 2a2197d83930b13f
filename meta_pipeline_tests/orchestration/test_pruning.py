"""Old runs go; what approvals, changes and the catalog refer to stays."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from meta_pipeline.orchestration.acting import ACTING
from meta_pipeline.orchestration.pruning import PAGE, prunable, prune_runs

LATER = datetime.now(UTC) + timedelta(days=100)


@dg.asset
def thing() -> None:
    """Anything."""


@dg.job
def chore() -> None:
    """Nothing."""


@pytest.fixture
def instance() -> dg.DagsterInstance:
    return dg.DagsterInstance.ephemeral()


def finished(instance: dg.DagsterInstance, **tags: str) -> str:
    run = instance.create_run_for_job(chore, status=dg.DagsterRunStatus.SUCCESS, tags={**tags})
    return run.run_id


def test_old_finished_runs_go_and_young_and_unfinished_ones_stay(instance: dg.DagsterInstance) -> None:
    old = {finished(instance) for _ in range(3)}
    instance.create_run_for_job(chore, status=dg.DagsterRunStatus.STARTED)
    assert set(prunable(instance, before=LATER)) == old
    assert list(prunable(instance, before=datetime.now(UTC) - timedelta(days=1))) == []


def test_runs_in_which_a_person_acted_stay_for_ever(instance: dg.DagsterInstance) -> None:
    finished(instance, **{ACTING: "gate"})
    assert list(prunable(instance, before=LATER)) == []


def test_the_run_of_an_assets_latest_materialisation_stays(instance: dg.DagsterInstance) -> None:
    first, second = (dg.materialize([thing], instance=instance).run_id for _ in range(2))
    assert list(prunable(instance, before=LATER)) == [first]
    assert second != first


def test_more_runs_than_fit_on_a_page_all_go(instance: dg.DagsterInstance) -> None:
    old = {finished(instance) for _ in range(PAGE + 3)}
    assert set(prunable(instance, before=LATER)) == old


def test_the_job_says_how_many_went_and_a_dry_run_deletes_nothing(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished(instance)

    def run(**config: object) -> dict[str, object]:
        result = prune_runs.execute_in_process(
            instance=instance, run_config={"ops": {"delete_old_runs": {"config": config}}}
        )
        metadata = result.filter_events(lambda event: event.is_successful_output)[0].step_output_data.metadata
        return {name: value.value for name, value in metadata.items()}

    assert run(keep_days=1) == {"runs": 0, "deleted": 0}
    monkeypatch.setattr("meta_pipeline.orchestration.pruning.datetime", _Tomorrow)
    before = instance.get_runs_count()
    assert run(keep_days=1, dry_run=True)["deleted"] == 0
    assert run(keep_days=1)["deleted"] == before + 1  # the dry run's own run is old by now, too
    with pytest.raises(dg.Failure, match="keep_days is 0; give at least 1 day"):
        run(keep_days=0)


class _Tomorrow(datetime):
    @classmethod
    def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
        return datetime.now(UTC) + timedelta(days=2)
