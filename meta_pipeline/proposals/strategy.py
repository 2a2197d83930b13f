"""A strategy as it is declared: its knobs, and the configuration it runs with."""

from collections.abc import Mapping
from dataclasses import dataclass

from meta_pipeline.canonical import JsonValue, canonical_json
from meta_pipeline.errors import InputError
from meta_pipeline.proposals.knobs import Knob
from meta_pipeline.proposals.parameters import RiskLimits


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """A strategy as it is declared: what it is, its knobs, and the configuration it runs with.

    Parameters
    ----------
    strategy_id, family
        At most 64 characters each. Strategies of one family share what is learned about their knobs.
    live_config
        The configuration at the time of the declaration. Later ones come from applied proposals only.
    risk_limits
        How much more risk one proposed change may bring.

    Raises
    ------
    InputError
        If an id is empty or too long, a path is declared twice, or the configuration cannot be
        written as JSON.
    """

    strategy_id: str
    knobs: tuple[Knob, ...]
    live_config: Mapping[str, JsonValue]
    family: str = ""
    description: str = ""
    risk_limits: RiskLimits = RiskLimits()  # noqa: RUF009 -- frozen

    def __post_init__(self) -> None:
        for name, least in (("strategy_id", 1), ("family", 0)):
            text = getattr(self, name)
            if not least <= len(text) <= 64 or "\x00" in text or text != text.strip():
                raise InputError(f"{name} is {text!r}; it must have {least} to 64 characters, without spaces around")
        paths = [knob.path for knob in self.knobs]
        twice = sorted({path for path in paths if paths.count(path) > 1})
        if twice:
            raise InputError(f"strategy {self.strategy_id}: {', '.join(twice)} declared twice; declare each knob once")
        try:
            canonical_json(dict(self.live_config))
        except (TypeError, ValueError) as error:
            raise InputError(f"strategy {self.strategy_id}: the live configuration is no JSON: {error}") from error
