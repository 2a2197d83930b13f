"""Jobs on a Dask cluster: of this machine, or of many.

Workers write checkpoints themselves, so on many machines the store is a folder they all see or the project's database;
only the coordinator reports. Dask runs a job again by itself when its worker is lost: by then it may be finished, and
its checkpoint is found.
"""

from collections.abc import Iterator
from importlib import import_module
from types import TracebackType
from typing import Any, Final, Self

from meta_pipeline.errors import InputError
from meta_pipeline.hyperband.executors import WorkersDied
from meta_pipeline.hyperband.jobs import Job, Outcome, run_job


class DaskExecutor:
    """Runs jobs on Dask's workers.

    Parameters
    ----------
    address
        Of a scheduler, `tcp://HOST:8786`; None starts a cluster of processes on this machine.
    workers
        Processes of the cluster that is started; with an address, jobs in flight: by default the cluster's threads.
    patience
        Seconds in which a scheduler must answer.
    """

    def __init__(self, address: str | None = None, *, workers: int | None = None, patience: float = 15.0) -> None:
        self.address = address
        self._workers = workers
        self._patience = patience
        self._client: Any = None
        self._cluster: Any = None

    def map_unordered(self, jobs: Iterator[Job | None]) -> Iterator[Outcome]:
        """Run jobs on the cluster.

        Raises
        ------
        InputError
            If there is no scheduler at the address.
        WorkersDied
            If a job kills its workers again and again; Dask names it.
        """
        from distributed.scheduler import KilledWorker

        client = self._opened()
        room = self._workers or max(1, sum(client.nthreads().values()))
        running = _dask().as_completed([])
        ended = False
        while True:
            while running.count() < room and not ended:
                job = next(jobs, _END)
                if job is None:
                    break
                if not isinstance(job, Job):
                    ended = True
                else:
                    # Pure would make Dask remember by content; our own checkpoints do that, and survive.
                    running.add(client.submit(run_job, job, pure=False, retries=0))
            if running.is_empty():
                return
            try:
                yield next(running).result()
            except KilledWorker as error:
                raise WorkersDied(f"a job killed its Dask workers again and again: {error}") from error

    def _opened(self) -> Any:
        if self._client is None:
            if self.address is None:
                self._cluster = _dask().LocalCluster(
                    n_workers=self._workers or 1, threads_per_worker=1, processes=True, dashboard_address=None
                )
            try:
                self._client = _dask().Client(self._cluster or self.address, timeout=self._patience)
            except OSError as error:
                raise InputError(f"there is no Dask scheduler at {self.address!r}: {error}") from error
        return self._client

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of the cluster, and end it if it was started here."""
        for opened in (self._client, self._cluster):
            if opened is not None:
                opened.close()
        self._client = self._cluster = None


_END: Final = object()


def _dask() -> Any:
    return import_module("distributed")  # half of it has no types
