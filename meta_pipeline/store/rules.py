"""The rules that come from the settings, and the state of the kill file: read before a transaction begins."""

from dataclasses import dataclass
from datetime import timedelta

from meta_pipeline.settings import Settings
from meta_pipeline.store import kill_file


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What the checks need of the settings.

    Parameters
    ----------
    killed
        What the kill file said when the act began; it is read again under the lock, and either one freezes.
    """

    settings: Settings
    killed: str | None

    @property
    def require_signed(self) -> bool:
        """Whether an approval takes a signature."""
        return self.settings.require_signed_approvals

    @property
    def window(self) -> timedelta:
        """In which changes are counted."""
        return timedelta(hours=self.settings.change_window_hours)

    @property
    def approval_lifetime(self) -> timedelta:
        """How long an approval holds."""
        return timedelta(hours=self.settings.approval_hours)

    def killed_now(self) -> str | None:
        """Say what the kill file says, now or when the act began; None: nothing."""
        return self.killed or kill_file.found(self.settings)


def rules_of(settings: Settings) -> Rules:
    """Read the rules. Needs no database."""
    return Rules(settings=settings, killed=kill_file.found(settings))
