"""The promotion gate: what a model must show before it may override anybody.

Every check is asked and answered with a sentence; a model that fails one stays a candidate, and the champion stays.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from meta_pipeline.canonical import JsonValue
from meta_pipeline.counted import counted
from meta_pipeline.meta_model.lift import Lift
from meta_pipeline.meta_model.prediction_log import REAL
from meta_pipeline.meta_model.training_settings import GateSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check: its name, whether it passed, what was measured, what is needed, and both in a sentence."""

    name: str
    passed: bool
    measured: str
    needed: str
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The gate's answer."""

    checks: tuple[Check, ...]

    @property
    def promoted(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)

    @property
    def reasons(self) -> tuple[str, ...]:
        """The sentences of the checks that failed."""
        return tuple(check.sentence for check in self.checks if not check.passed)

    def as_dict(self) -> dict[str, JsonValue]:
        """Return the verdict, ready for JSON."""
        return {
            "promoted": self.promoted,
            "checks": [
                {
                    "name": check.name,
                    "passed": check.passed,
                    "measured": check.measured,
                    "needed": check.needed,
                    "sentence": check.sentence,
                }
                for check in self.checks
            ],
        }


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the gate looks at.

    Parameters
    ----------
    data_kind
        real, synthetic or undeclared.
    n_samples
        Labelled decisions used in all.
    leaks
        What the splitter's audit found.
    threshold
        The risk-controlled threshold; None where no confidence was good enough.
    lifts
        Baseline -> net lift over it on the test days, in per cent per decision.
    champion_lift
        Net lift over the champion on the same days; None where there is no champion.
    champion_problem
        Why the champion could not be compared; None where it could, or where there is none.
    brier_score, reference_brier_score
        Of the model on the test days, and of always saying the frequencies of the days before.
    calibration_error, calibration_noise
        Expected calibration error on the test days, and what chance alone would show.
    largest_answer_share
        Of one action among the model's most probable ones on the test days.
    override_rate, max_override_rate
        Share of test decisions it would override, and the breaker's bound.
    """

    data_kind: str
    n_samples: int
    leaks: tuple[str, ...]
    threshold: float | None
    lifts: Mapping[str, Lift]
    champion_lift: Lift | None
    champion_problem: str | None
    brier_score: float
    reference_brier_score: float
    calibration_error: float
    calibration_noise: float
    largest_answer_share: float
    override_rate: float
    max_override_rate: float


def judge(evidence: Evidence, settings: GateSettings) -> Verdict:
    """Ask every check.

    All lifts must be positive at once, so no correction for their number is owed: the chance that a model without any
    lift passes all is at most the chance that it passes one.
    """
    return Verdict(
        checks=(
            _data_kind(evidence),
            _samples(evidence, settings),
            _leaks(evidence),
            _threshold(evidence),
            *(_lift(name, found) for name, found in evidence.lifts.items()),
            _champion(evidence),
            _brier(evidence),
            _calibration(evidence, settings),
            _diversity(evidence, settings),
            _override_rate(evidence),
        )
    )


def _data_kind(evidence: Evidence) -> Check:
    kind = evidence.data_kind
    if kind == REAL:
        sentence = "trained on real data"
    elif kind == "synthetic":
        sentence = "trained on synthetic data, which can never be promoted"
    else:
        sentence = f"the logs do not say what kind of data they are ({kind}); declare them real if they are"
    return Check(name="data_kind", passed=kind == REAL, measured=kind, needed=REAL, sentence=sentence)


def _samples(evidence: Evidence, settings: GateSettings) -> Check:
    return Check(
        name="samples",
        passed=evidence.n_samples >= settings.min_samples,
        measured=f"{evidence.n_samples:,}",
        needed=f"{settings.min_samples:,} or more",
        sentence=f"{counted(evidence.n_samples, 'labelled decision')}, at least {settings.min_samples:,} needed",
    )


def _leaks(evidence: Evidence) -> Check:
    found = "; ".join(evidence.leaks) or "no leak between training, calibration and test days"
    measured = f"{len(evidence.leaks)}"
    return Check(name="leaks", passed=not evidence.leaks, measured=measured, needed="0", sentence=found)


def _threshold(evidence: Evidence) -> Check:
    threshold = evidence.threshold
    if threshold is None:
        sentence = "no confidence is high enough to bound the share of wrong trades"
    else:
        sentence = f"trades from confidence {threshold:.2f} on keep their bound on wrong ones"
    return Check(
        name="threshold",
        passed=threshold is not None,
        measured="none" if threshold is None else f"{threshold:.2f}",
        needed="one",
        sentence=sentence,
    )


def _lift(name: str, found: Lift) -> Check:
    return Check(
        name=f"lift_over_{name}",
        passed=found.is_positive,
        measured=_figure(found),
        needed="all above 0",
        sentence=f"net lift over {name.replace('_', ' ')} {describe(found)}; its interval must lie above 0",
    )


def describe(found: Lift) -> str:
    """Write a net lift with its interval, for a person."""
    if found.lower is None or found.upper is None:
        return (
            f"{found.estimate:+.4f} % per decision, on {counted(found.n_instants, 'instant')}: too few for an interval"
        )
    return (
        f"{found.estimate:+.4f} % per decision ({100 * found.level:.0f} % interval "
        f"{found.lower:+.4f} to {found.upper:+.4f}, {counted(found.n_decisions, 'decision')})"
    )


def _figure(found: Lift) -> str:
    if found.lower is None or found.upper is None:
        return f"{found.estimate:+.4f} % (no interval)"
    return f"{found.estimate:+.4f} % ({found.lower:+.4f} to {found.upper:+.4f})"


def _champion(evidence: Evidence) -> Check:
    name = "lift_over_champion"
    if evidence.champion_problem is not None:
        why = f"the champion cannot be compared: {evidence.champion_problem}"
        return Check(name=name, passed=False, measured="unknown", needed="all above 0", sentence=why)
    if evidence.champion_lift is None:
        none = "there is no champion to beat"
        return Check(name=name, passed=True, measured="no champion", needed="all above 0", sentence=none)
    return _lift("champion", evidence.champion_lift)


def _brier(evidence: Evidence) -> Check:
    score, reference = evidence.brier_score, evidence.reference_brier_score
    return Check(
        name="brier_score",
        passed=score < reference,
        measured=f"{score:.4f}",
        needed=f"below {reference:.4f}",
        sentence=f"Brier score {score:.4f}, must be below {reference:.4f} of always saying the past frequencies",
    )


def _calibration(evidence: Evidence, settings: GateSettings) -> Check:
    allowed = settings.max_calibration_error + evidence.calibration_noise
    return Check(
        name="calibration",
        passed=evidence.calibration_error <= allowed,
        measured=f"{evidence.calibration_error:.3f}",
        needed=f"{allowed:.3f} or less",
        sentence=(
            f"expected calibration error {evidence.calibration_error:.3f}, at most "
            f"{settings.max_calibration_error:.3f} + {evidence.calibration_noise:.3f} that chance would show"
        ),
    )


def _diversity(evidence: Evidence, settings: GateSettings) -> Check:
    share = evidence.largest_answer_share
    return Check(
        name="diversity",
        passed=share <= settings.max_answer_share,
        measured=f"{100 * share:.1f} %",
        needed=f"{100 * settings.max_answer_share:.0f} % or less",
        sentence=f"{100 * share:.1f} % of its answers are the same, at most {100 * settings.max_answer_share:.0f} %",
    )


def _override_rate(evidence: Evidence) -> Check:
    rate, bound = evidence.override_rate, evidence.max_override_rate
    return Check(
        name="override_rate",
        passed=0.0 < rate <= bound,
        measured=f"{100 * rate:.1f} %",
        needed=f"above 0, {100 * bound:.0f} % or less",
        sentence=f"it would override {100 * rate:.1f} % of decisions, must be above 0 and at most {100 * bound:.0f} %",
    )
