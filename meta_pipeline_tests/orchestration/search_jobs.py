"""Jobs of searches, where Dagster's processes can load them by name."""

from dagster import JobDefinition

from meta_pipeline.orchestration.search_job import search_job


def small() -> JobDefinition:
    """In one process or several; as many waves as R = 3 has rungs."""
    return search_job("small_search", waves=3)


def first_wave() -> JobDefinition:
    """One wave alone: the first rung, in as many processes as the run's configuration says."""
    return search_job("first_wave", waves=1)


def small_celery() -> JobDefinition:
    """The same on Celery."""
    from meta_pipeline.orchestration.search_celery import celery_search_job

    return celery_search_job("small_search_celery", waves=3)
