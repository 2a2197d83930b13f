"""A search as a Dagster job: plan, evaluate in batches, plan again, on whatever executor the job is given.

Belongs here: the graph. An operation costs seconds on the executors that spread work, so that evaluations travel in
batches of half a minute or more, never one by one. Between operations nothing is passed on: each reads the ledger in
PostgreSQL, writes what it finds there, and may be run again, here or elsewhere, at the cost of one evaluation.
"""

from collections.abc import Iterator
from typing import Any, Final

import dagster as dg

WAVES: Final = 15
"""Rungs of one iteration of R = 81 and eta = 3: each wave evaluates one rung. A search with more is launched again."""


class SearchOfRun(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Which search a run works on.

    Parameters
    ----------
    search
        Its name. It was begun by `meta-pipeline search run --executor dagster`.
    batch_seconds
        For how long a batch should keep a worker busy, by the evaluations so far.
    workers
        How many batches there are at least, where there are as many evaluations.
    lease_seconds
        For how long an evaluation that says nothing is believed to be under way.
    """

    search: str
    batch_seconds: float = 30.0
    workers: int = 2
    lease_seconds: float = 900.0


@dg.op(ins={"after": dg.In(dg.Nothing)}, out=dg.DynamicOut(dg.Nothing))
def plan_batches(context: dg.OpExecutionContext, search_of_run: SearchOfRun) -> Iterator[dg.DynamicOutput[None]]:
    """Draw and promote what the ledger allows, and share out the evaluations that can be made now."""
    from meta_pipeline.orchestration.search_batches import plan_wave

    planned = plan_wave(search_of_run, run_id=context.run_id, step=context.op_handle.name)
    context.log.info(planned.said)
    for number in range(planned.batches):
        yield dg.DynamicOutput(None, mapping_key=f"b{number}")


@dg.op(ins={"planned": dg.In(dg.Nothing)}, out=dg.Out(dg.Nothing))
def evaluate_batch(context: dg.OpExecutionContext, search_of_run: SearchOfRun) -> None:
    """Evaluate one batch, reporting each evaluation as soon as its checkpoint is kept."""
    from meta_pipeline.orchestration.search_batches import evaluate_one_batch

    key = context.get_mapping_key()
    assert key is not None, "this operation is mapped over batches"
    step = context.op_handle.name.replace("evaluate", "plan")
    done = evaluate_one_batch(
        search_of_run, run_id=context.run_id, step=step, number=int(key[1:]), say=context.log.info
    )
    context.log.info(done)


@dg.op(ins={"after": dg.In(dg.Nothing)}, out=dg.Out(dg.Nothing))
def conclude(context: dg.OpExecutionContext, search_of_run: SearchOfRun) -> None:
    """Write down what was found so far, and say whether the search is finished."""
    from meta_pipeline.orchestration.search_batches import conclude_run

    result = conclude_run(search_of_run)
    context.log.info(result.said)
    context.add_output_metadata(result.metadata)


def search_job(name: str, *, waves: int = WAVES, executor: dg.ExecutorDefinition | None = None) -> dg.JobDefinition:
    """Return the job of a search on an executor of Dagster.

    Parameters
    ----------
    name
        Of the job.
    waves
        Rungs that one run evaluates at most.
    executor
        Any that Dagster has; None: in one process or several, as the run's configuration says.
    """

    @dg.job(
        name=name,
        executor_def=executor or dg.multi_or_in_process_executor,
        resource_defs={"search_of_run": SearchOfRun.configure_at_launch()},
        op_retry_policy=dg.RetryPolicy(max_retries=2, delay=1),
        description="Hyperband: one search, rung by rung, its evaluations in batches. Interrupted, launch it again.",
    )
    def search() -> None:
        after: Any = None
        for wave in range(1, waves + 1):
            plan = plan_batches.alias(f"plan_{wave}")
            batches = plan() if after is None else plan(after)
            evaluate = evaluate_batch.alias(f"evaluate_{wave}")
            after = batches.map(evaluate).collect()
        conclude(after)

    return search


hyperband_search = search_job("hyperband_search")
