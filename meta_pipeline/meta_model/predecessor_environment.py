"""The predecessor's environment variables, read from a mapping that the edge hands in."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from meta_pipeline.errors import InputError
from meta_pipeline.meta_model.arbiter import ACCEPTANCE
from meta_pipeline.meta_model.decision_settings import DecisionSettings

_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off"})


@dataclass(frozen=True, kw_only=True)
class AgentEnvironment:
    """What the variables say.

    Parameters
    ----------
    enabled
        META_AGENT_ENABLED (default false): whether the meta-model may act.
    meta_threshold
        META_OVERRIDE_THRESHOLD (default 0.65), 0..1.
    fail_open
        META_FAIL_OPEN (default true): errors defer to the ensemble; false: they hold.
    model_dir
        META_V2_MODEL_DIR: folder of artifacts; None where unset.
    arbiter_acceptance
        ARBITER_THRESHOLD (default 0.70) if ARBITER_ENABLED (default false), else None.
    """

    enabled: bool
    meta_threshold: float
    fail_open: bool
    model_dir: Path | None
    arbiter_acceptance: float | None

    def settings(self, models: tuple[str, ...] | None = None) -> DecisionSettings:
        """Return decision settings that obey the variables, for these base models (default: the documented four)."""
        return DecisionSettings(
            models=DecisionSettings.models if models is None else models,
            enabled=self.enabled,
            meta_threshold=self.meta_threshold,
            fail_open=self.fail_open,
            escalate=self.arbiter_acceptance is not None,
        )


def read_environment(environ: Mapping[str, str]) -> AgentEnvironment:
    """Read the predecessor's variables.

    Raises
    ------
    InputError
        If a variable has a value that cannot be used; the message names it. A setting that cannot be read must not
        silently become its default.
    """
    folder = environ.get("META_V2_MODEL_DIR", "").strip()
    arbiter = _switch(environ, "ARBITER_ENABLED", default=False)
    return AgentEnvironment(
        enabled=_switch(environ, "META_AGENT_ENABLED", default=False),
        meta_threshold=_share(environ, "META_OVERRIDE_THRESHOLD", default=0.65),
        fail_open=_switch(environ, "META_FAIL_OPEN", default=True),
        model_dir=Path(folder) if folder else None,
        arbiter_acceptance=_share(environ, "ARBITER_THRESHOLD", default=ACCEPTANCE) if arbiter else None,
    )


def _switch(environ: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = environ.get(name, "").strip().lower()
    if not text:
        return default
    if text not in _TRUE | _FALSE:
        raise InputError(f"{name} is {environ[name]!r}; write true or false")
    return text in _TRUE


def _share(environ: Mapping[str, str], name: str, *, default: float) -> float:
    text = environ.get(name, "").strip()
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        raise InputError(f"{name} is {environ[name]!r}; write a number from 0 to 1") from None
    if not 0.0 <= value <= 1.0:
        raise InputError(f"{name} is {environ[name]!r}; it must be from 0 to 1")
    return value
