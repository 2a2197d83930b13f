"""A run coordinator that writes down who is signed in.

Belongs here: the copy of the proxy's header into a run tag. Does not belong here: what the name may do (acting).
Only useful behind a proxy that signs people in and overwrites the header; without one, anyone can send it.
"""

from typing import ClassVar, Final

from dagster import DagsterRun, QueuedRunCoordinator
from dagster._core.run_coordinator import SubmitRunContext

from meta_pipeline.orchestration.acting import FORWARDED_USER
from meta_pipeline.settings import Settings

HEADER: Final = "X-Forwarded-User"
"""What is read where META_PIPELINE_IDENTITY_HEADER names no other."""


class ForwardedUserRunCoordinator(QueuedRunCoordinator):
    """Dagster's own queue; before a run enters it, the tag `FORWARDED_USER` becomes what the proxy says.

    A tag of that name which came with the request is overwritten: it is a claim, not an identity. Configured in
    `dagster.yaml` (`run_coordinator`), with the options of `QueuedRunCoordinator`.
    """

    writes_forwarded_user: ClassVar[bool] = True
    """What `acting` looks for before it believes the tag."""

    def submit_run(self, context: SubmitRunContext) -> DagsterRun:
        """Write the tag, then queue the run."""
        run = context.dagster_run
        user = (context.get_request_header(Settings().identity_header or HEADER) or "").strip()
        if user or FORWARDED_USER in run.tags:
            # An empty name matches no person, so a forged tag without a proxy's header refuses instead of admits.
            self._instance.add_run_tags(run.run_id, {FORWARDED_USER: user})
        return super().submit_run(context)
