"""The table of client states: what happens, and what the client then decides. Tested, and printed into the docs.

python -m meta_pipeline_tests.policy.client_states        prints the table
python -m meta_pipeline_tests.policy.client_states --write   puts it into docs/executors.md
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from meta_pipeline.policy.signing import HmacSigner
from meta_pipeline_tests.policy.documents import CAPS, DWELL, EXPIRY, SECRET, STALE, World, document

BEGIN, END = "<!-- client states: begin -->", "<!-- client states: end -->"
PAGE = Path(__file__).parents[2] / "docs" / "executors.md"


@dataclass(frozen=True)
class Scenario:
    """What happens, and what the client decides then: mode, only exits, reasons."""

    happens: str
    play: Callable[[], World]
    mode: str
    reduce_only: bool
    reasons: tuple[str, ...]


def _altered() -> str:
    return document(mode="NORMAL").replace('"max_positions":10', '"max_positions":99')


def _halt(at: float = 0.0) -> str:
    return document(
        2, "DEFENSIVE", at=at, reduce_only=True, halt={"active": True, "by": "ann", "reason": "news", "since": None}
    )


SCENARIOS = (
    Scenario("before any refresh", World, "DEFENSIVE", True, ("DEFAULT",)),
    Scenario("no source answers", lambda: World().given(OSError("down")), "DEFENSIVE", True, ("DEFAULT",)),
    Scenario(
        "a first NORMAL document, just now", lambda: World().given(document()), "DEFENSIVE", True, ("STATIC", "CAPPED")
    ),
    Scenario(
        "the same, after the dwell, without another refresh",
        lambda: World().given(document()).after(DWELL),
        "NORMAL",
        False,
        ("STATIC",),
    ),
    Scenario("a NORMAL document that stood", lambda: World().settled(document()), "NORMAL", False, ("STATIC",)),
    Scenario(
        "an AGGRESSIVE document that stood",
        lambda: World().settled(document(mode="AGGRESSIVE")),
        "AGGRESSIVE",
        False,
        ("STATIC",),
    ),
    Scenario(
        "NORMAL stood, the sources fail",
        lambda: World().settled(document()).given(OSError("down")),
        "NORMAL",
        False,
        ("CACHED",),
    ),
    Scenario(
        "the same, for longer than max_silence_seconds",
        lambda: World(max_silence_seconds=30.0).settled(document()).given(OSError("down")).after(30.0),
        "DEFENSIVE",
        False,
        ("EXPIRED",),
    ),
    Scenario(
        "AGGRESSIVE stood, and is past its stale_at",
        lambda: World().settled(document(mode="AGGRESSIVE")).after(STALE),
        "NORMAL",
        False,
        ("STALE",),
    ),
    Scenario(
        "NORMAL stood, and is past its expires_at",
        lambda: World().settled(document()).after(EXPIRY),
        "DEFENSIVE",
        False,
        ("EXPIRED",),
    ),
    Scenario(
        "the same, though the wall clock was set back",
        lambda: World().settled(document()).after(EXPIRY, wall=-86400.0),
        "DEFENSIVE",
        False,
        ("EXPIRED",),
    ),
    Scenario(
        "the same, though the machine slept (the monotonic clock stood still)",
        lambda: World().settled(document()).after(0.0, wall=EXPIRY),
        "DEFENSIVE",
        False,
        ("EXPIRED",),
    ),
    Scenario(
        "a fresh NORMAL document after one expired, just now",
        lambda: World().settled(document()).after(EXPIRY).given(document(2, at=EXPIRY + DWELL)),
        "DEFENSIVE",
        False,
        ("STATIC", "CAPPED"),
    ),
    Scenario(
        "AGGRESSIVE stood, a DEFENSIVE document comes",
        lambda: World().settled(document(mode="AGGRESSIVE")).given(document(2, "DEFENSIVE")),
        "DEFENSIVE",
        False,
        ("STATIC",),
    ),
    Scenario(
        "NORMAL stood, an AGGRESSIVE document comes, just now",
        lambda: World().settled(document()).given(document(2, "AGGRESSIVE")),
        "NORMAL",
        False,
        ("STATIC", "CAPPED"),
    ),
    Scenario(
        "NORMAL stood, a halt comes",
        lambda: World().settled(document()).given(_halt()),
        "DEFENSIVE",
        True,
        ("STATIC",),
    ),
    Scenario(
        "NORMAL stood, a document that was altered comes",
        lambda: World().settled(document()).given(_altered()),
        "DEFENSIVE",
        True,
        ("BAD_SIGNATURE",),
    ),
    Scenario(
        "the same, and then its source says that nothing changed",
        lambda: World().settled(document()).given(_altered()).given(None).after(DWELL).given(None),
        "DEFENSIVE",
        True,
        ("BAD_SIGNATURE",),
    ),
    Scenario(
        "NORMAL stood, a document by an unknown key comes",
        lambda: World().settled(document()).given(document(2, signer=HmacSigner("k9", SECRET))),
        "DEFENSIVE",
        True,
        ("BAD_SIGNATURE",),
    ),
    Scenario(
        "version 7 stood, version 6 comes",
        lambda: World().settled(document(7)).given(document(6, "AGGRESSIVE")),
        "NORMAL",
        False,
        ("CACHED", "ROLLBACK_REJECTED"),
    ),
    Scenario(
        "the same, and then its source says that nothing changed",
        lambda: World().settled(document(7)).given(document(6, "AGGRESSIVE")).given(None),
        "NORMAL",
        False,
        ("CACHED", "ROLLBACK_REJECTED"),
    ),
    Scenario(
        "version 7 stood, another version 7 comes",
        lambda: World().settled(document(7)).given(document(7, "AGGRESSIVE")),
        "NORMAL",
        False,
        ("CACHED", "ROLLBACK_REJECTED"),
    ),
    Scenario(
        "NORMAL stood, a document of another epoch comes",
        lambda: World().settled(document()).given(document(9, "AGGRESSIVE", epoch="f" * 32)),
        "NORMAL",
        False,
        ("CACHED", "ROLLBACK_REJECTED"),
    ),
    Scenario(
        "NORMAL stood, half a document comes",
        lambda: World().settled(document()).given(document(2)[:300]),
        "NORMAL",
        False,
        ("CACHED",),
    ),
    Scenario(
        "NORMAL stood, a document of an unknown schema comes",
        lambda: World().settled(document()).given(document(2, schema="meta-pipeline/policy/2")),
        "NORMAL",
        False,
        ("CACHED",),
    ),
    Scenario(
        "NORMAL stood, a document of another book comes",
        lambda: World().settled(document()).given(document(2, scope="lab")),
        "NORMAL",
        False,
        ("CACHED",),
    ),
    Scenario(
        "a document dated an hour ahead comes first",
        lambda: World().settled(document(at=3600.0)),
        "DEFENSIVE",
        True,
        ("DEFAULT",),
    ),
    Scenario(
        "NORMAL stood, a halt dated an hour ahead comes",
        lambda: World().settled(document()).given(_halt(at=3600.0)),
        "DEFENSIVE",
        True,
        ("CACHED", "CAPPED"),
    ),
    Scenario(
        "NORMAL stood, a document dated an hour ahead that allows more comes",
        lambda: World().settled(document()).given(document(2, "AGGRESSIVE", at=3600.0)).after(DWELL),
        "NORMAL",
        False,
        ("CACHED",),
    ),
    Scenario(
        "an AGGRESSIVE document stood, own caps are tighter",
        lambda: World(caps=CAPS).settled(document(mode="AGGRESSIVE")),
        "NORMAL",
        False,
        ("STATIC", "CAPPED"),
    ),
    Scenario(
        "a document that allows no strategy stood",
        lambda: World().settled(document(allowed_strategies=[], weights={})),
        "NORMAL",
        False,
        ("STATIC",),
    ),
)


def table() -> str:
    """Return the table in Markdown, each row from playing its scenario."""
    rows = ["| what happens | mode | only exits | an entry of A in X | reasons |", "| --- | --- | --- | --- | --- |"]
    for scenario in SCENARIOS:
        decision = scenario.play().client.current()
        entry = decision.check_entry("A", "X", confidence=0.9, open_positions=0, trades_today=0, risk=0.001)
        cells = (
            scenario.happens,
            decision.mode,
            "yes" if decision.reduce_only else "no",
            "allowed" if entry else "refused",
            ", ".join(decision.reasons),
        )
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def in_page(page: str) -> str:
    """Return the table that stands in a page of the docs."""
    return page.partition(BEGIN)[2].partition(END)[0].strip() + "\n"


def main() -> None:
    """Print the table, or put it into the docs."""
    if "--write" in sys.argv:
        page = PAGE.read_text(encoding="utf-8")
        before, _, rest = page.partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n{table()}{END}{rest.partition(END)[2]}", encoding="utf-8")
        return
    sys.stdout.write(table())


if __name__ == "__main__":
    main()
