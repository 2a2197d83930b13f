"""A trading executor reduced to its brake: it runs the policy, logs every change of it, and asks it about an entry.

    meta-pipeline serve &
    meta-pipeline policy keys export > keys.json
    python examples/executor.py --url http://127.0.0.1:8000 --keys keys.json --strategy TREND --symbol SP500

Kill the server and watch: the policy is CACHED, then, after `--max-silence` or when it expires, EXPIRED, which is
DEFENSIVE. Start it again: a fresh document comes in at once, its looser limits a dwell later. Exits go on throughout.

Copy `meta_pipeline/policy/client.py` (and `signing.py` for Ed25519) beside your executor; nothing else is needed.
"""

import argparse
import json
import sys
import time
from base64 import b64decode
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from meta_pipeline.policy.client import (
    Decision,
    HardCaps,
    HmacVerifier,
    PolicyClient,
    Verifier,
    file_source,
    http_report,
    http_source,
)
from meta_pipeline.policy.signing import Ed25519Verifier


def verifier_of(path: Path) -> Verifier:
    """Return a verifier for the keys that `meta-pipeline policy keys export` prints."""
    ring = json.loads(path.read_text(encoding="utf-8"))
    keys = {
        name: {key: b64decode(value) for key, value in ring.get(name, {}).items()}
        for name in ("ed25519", "hmac-sha256")
    }
    ed25519, shared = Ed25519Verifier(keys["ed25519"]), HmacVerifier(keys["hmac-sha256"])

    def verify(algorithm: str, key_id: str, message: bytes, signature: bytes) -> bool:
        chosen: Verifier = ed25519 if algorithm == "ed25519" else shared
        return chosen(algorithm, key_id, message, signature)

    return verify


def client_of(options: argparse.Namespace) -> PolicyClient:
    """Return a client that reads the server, and the file beside it if one is named."""
    sources = [http_source(f"{options.url}/api/v1/policy?scope={quote(options.scope)}", token=options.token)]
    if options.file is not None:
        sources.append(file_source(options.file))
    return PolicyClient(
        executor_id=options.executor,
        scope=options.scope,
        sources=sources,
        verifier=verifier_of(options.keys),
        caps=HardCaps(max_positions=options.max_positions),
        state_path=options.state,
        refresh_seconds=options.refresh,
        loosen_after_seconds=options.dwell,
        max_silence_seconds=options.max_silence,
        report=http_report(f"{options.url}/api/v1/executors/heartbeats", token=options.token),
    )


def line_of(decision: Decision, options: argparse.Namespace) -> str:
    """Say what may be done now."""
    entry = decision.check_entry(
        options.strategy, options.symbol, confidence=0.8, open_positions=0, trades_today=0, risk=0.001
    )
    asked = f"entry of {options.strategy} in {options.symbol}"
    answer = f"{asked} allowed" if entry else f"{asked} refused: {entry.why}"
    return (
        f"{decision.mode:<10} {'+'.join(decision.reasons):<24} version {decision.version}, at most "
        f"{decision.limits['max_positions']:g} positions, {decision.limits['max_risk_per_trade']:.2%} a trade; "
        f"{answer}; exits allowed"
    )


def run(options: argparse.Namespace) -> None:
    """Follow the policy, and log whenever what may be done changes."""
    client = client_of(options).start()
    last = ""
    ends = time.monotonic() + options.seconds
    try:
        while time.monotonic() < ends:
            line = line_of(client.current(), options)
            if line != last:
                sys.stdout.write(f"{datetime.now(UTC):%H:%M:%S} {line}\n")
                sys.stdout.flush()
                last = line
            time.sleep(options.look)
    finally:
        client.stop()


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--keys", type=Path, required=True, help="what `meta-pipeline policy keys export` printed")
    parser.add_argument("--file", type=Path, help="a second source: the file that policies are also written to")
    parser.add_argument("--token", help="a token with the role executor, where the server wants one")
    parser.add_argument("--state", type=Path, help="where the last document is kept across restarts")
    parser.add_argument("--scope", default="live")
    parser.add_argument("--executor", default="example")
    parser.add_argument("--strategy", default="TREND")
    parser.add_argument("--symbol", default="SP500")
    parser.add_argument("--max-positions", type=int, default=6, help="our own cap, whatever the policy says")
    parser.add_argument("--refresh", type=float, default=5.0, help="seconds between looks at the sources")
    parser.add_argument("--dwell", type=float, default=60.0, help="seconds a looser policy must stand")
    parser.add_argument("--max-silence", type=float, default=300.0, help="seconds without a source until DEFENSIVE")
    parser.add_argument("--look", type=float, default=0.2, help="seconds between two decisions")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="how long to run")
    run(parser.parse_args())


if __name__ == "__main__":
    main()
