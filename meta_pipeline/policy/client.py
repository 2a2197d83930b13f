"""The policy, as a trading executor reads it. One file, the standard library alone: copy it where you need it.

    client = PolicyClient(
        executor_id="bot-1",
        scope="live",
        sources=[http_source("http://127.0.0.1:8000/api/v1/policy?scope=live")],
        verifier=HmacVerifier({"2026-11": secret}),
        state_path="/var/lib/bot/policy-state.json",
        caps=HardCaps(max_positions=6),
    )
    client.start()
    ...
    verdict = client.current().check_entry(
        "TREND", "SP500", confidence=0.7, open_positions=2, trades_today=5, risk=0.002
    )
    if verdict.allowed: ...

`current()` does no I/O, raises nothing, and answers at once; documents are fetched by a thread. Exits and cancels are
always allowed; nothing here ever stands in their way.

What the client does not know, it does not allow. Without a valid document it is DEFENSIVE and only reduces; a document
past its `stale_at` is held to NORMAL, past its `expires_at` to DEFENSIVE, by the wall clock or the monotonic one,
whichever is first. A tighter document acts at once, even one that is dated in the future; a looser one when it has
stood for `loosen_after_seconds` and is fresh. A document that was altered, or is older than one that was seen, is
refused, for as long as the source that gave it says nothing else.
"""

import hashlib
import hmac
import json
import math
import os
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

SCHEMA = "meta-pipeline/policy/1"
MODES = ("DEFENSIVE", "NORMAL", "AGGRESSIVE")

# The documented limits of each mode; a document may be tighter, and nothing makes it looser.
MODE_LIMITS: Mapping[str, Mapping[str, float]] = {
    "DEFENSIVE": {
        "max_risk_per_trade": 0.003,
        "min_confidence": 0.70,
        "max_positions": 4,
        "max_daily_trades": 10,
        "max_slippage": 0.001,
        "max_expected_shortfall": 0.005,
    },
    "NORMAL": {
        "max_risk_per_trade": 0.0075,
        "min_confidence": 0.60,
        "max_positions": 10,
        "max_daily_trades": 30,
        "max_slippage": 0.002,
        "max_expected_shortfall": 0.0125,
    },
    "AGGRESSIVE": {
        "max_risk_per_trade": 0.015,
        "min_confidence": 0.50,
        "max_positions": 15,
        "max_daily_trades": 50,
        "max_slippage": 0.003,
        "max_expected_shortfall": 0.025,
    },
}
MODE_STRATEGIES: Mapping[str, int] = {"DEFENSIVE": 4, "NORMAL": 8, "AGGRESSIVE": 10}
LIMIT_NAMES = tuple(MODE_LIMITS["DEFENSIVE"])

LARGEST_DOCUMENT = 4 * 2**20
DEEPEST = 32
CLOCK_TOLERANCE = 60.0
LONGEST_LIFE = 48 * 3600.0

# Why a decision is what it is. The first reason says where it comes from, the others what happened to it.
STATIC = "STATIC"  # a source just gave this document
CACHED = "CACHED"  # the sources fail; this is the last good document
STALE = "STALE"  # past its stale_at: held to NORMAL
EXPIRED = "EXPIRED"  # past its expires_at, by either clock: DEFENSIVE
DEFAULT = "DEFAULT"  # no valid document was ever seen: DEFENSIVE, reduce only
BAD_SIGNATURE = "BAD_SIGNATURE"  # a source gave an altered or unsigned document: DEFENSIVE, reduce only
ROLLBACK_REJECTED = "ROLLBACK_REJECTED"  # a source gave an older version, or another epoch
CAPPED = "CAPPED"  # own hard caps, or the wait before loosening, hold it tighter than the document

Verifier = Callable[[str, str, bytes, bytes], bool]
"""(algorithm, key id, message, signature) -> whether the signature is good."""

Source = Callable[[], "str | bytes | Mapping[str, Any] | None"]
"""Returns a document, or None for "not changed"; raises what it likes where it fails."""


class Refused(ValueError):  # noqa: N818 -- it is caught within this file
    """A document that is not taken; `reason` is the code, if it has one of its own."""

    def __init__(self, text: str, reason: str | None = None) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True)
class Verdict:
    """Whether an entry is allowed, and why not."""

    allowed: bool
    why: str = ""

    def __bool__(self) -> bool:
        return self.allowed


@dataclass(frozen=True)
class Decision:
    """What may be done now. Exits and cancels: always.

    Attributes
    ----------
    mode
        DEFENSIVE, NORMAL or AGGRESSIVE.
    reduce_only
        Whether nothing new may be opened at all.
    limits
        max_risk_per_trade, max_slippage and max_expected_shortfall as fractions, min_confidence 0..1, max_positions
        and max_daily_trades as counts.
    strategies
        The allowed ones. Empty: none.
    symbols
        The allowed ones; None: not restricted. Empty: none.
    weights
        Strategy -> share of the book's risk; one that is not in it has none.
    reasons
        Codes; the first says where the decision comes from.
    version, epoch
        Of the document behind it; 0 and "" where there is none.
    equal_share
        The weight at which a strategy keeps the size it has been trading: one over the allowed of the document.
    """

    mode: str
    reduce_only: bool
    halted: bool
    limits: Mapping[str, float]
    strategies: tuple[str, ...]
    symbols: tuple[str, ...] | None
    weights: Mapping[str, float]
    reasons: tuple[str, ...]
    version: int = 0
    epoch: str = ""
    equal_share: float = 1.0

    def allows_exit(self) -> bool:
        """Return True: a position may always be closed or reduced."""
        return True

    def allows_cancel(self) -> bool:
        """Return True: an order may always be cancelled."""
        return True

    def weight(self, strategy_id: str) -> float:
        """Return a strategy's share of the book's risk, 0 for one that is not allowed."""
        share = self.weights.get(strategy_id, 0.0) if strategy_id in self.strategies else 0.0
        return 0.0 if self.reduce_only else share

    def size_factor(self, strategy_id: str) -> float:
        """Return what part of the size it has been trading a strategy may trade now, 0..1, by the weights.

        Below 1 where the book is over its risk budget, or other strategies do better; never above.
        """
        return min(self.weight(strategy_id) / self.equal_share, 1.0)

    def check_entry(
        self,
        strategy_id: str,
        symbol: str,
        *,
        confidence: float | None,
        open_positions: int | None,
        trades_today: int | None,
        risk: float | None,
    ) -> Verdict:
        """Say whether a new position may be opened. What is None, or no number, is not known: refused.

        Parameters
        ----------
        confidence
            Of the signal, 0..1.
        open_positions, trades_today
            Of the whole book, without this one; UTC days.
        risk
            Money at risk by this trade, as a fraction of the equity.
        """
        try:
            why = next(self._objections(strategy_id, symbol, confidence, open_positions, trades_today, risk), None)
        except Exception as error:  # an error must never become an entry
            why = f"the check failed: {error!r}"
        return Verdict(allowed=why is None, why=why or "")

    def _objections(
        self, strategy_id: str, symbol: str, confidence: Any, open_positions: Any, trades_today: Any, risk: Any
    ) -> Iterator[str]:
        limits = self.limits
        if self.reduce_only:
            yield f"only exits are allowed ({', '.join(self.reasons)})"
        if strategy_id not in self.strategies:
            yield f"strategy {strategy_id!r} is not allowed"
        if not self.weight(strategy_id) > 0.0:
            yield f"strategy {strategy_id!r} has no share of the book's risk"
        if self.symbols is not None and symbol not in self.symbols:
            yield f"symbol {symbol!r} is not allowed"
        if not _is_number(confidence) or not limits["min_confidence"] <= confidence <= 1.0:
            yield f"confidence {confidence!r}, at least {limits['min_confidence']:g} is needed"
        for name, value in (("max_positions", open_positions), ("max_daily_trades", trades_today)):
            if not _is_number(value) or not 0 <= value < limits[name]:
                yield f"{value!r} so far, and {name} is {limits[name]:g}"
        if not _is_number(risk) or not 0.0 <= risk <= limits["max_risk_per_trade"]:
            yield f"risk {risk!r}, at most {limits['max_risk_per_trade']:g} is allowed"


@dataclass(frozen=True)
class HardCaps:
    """The executor's own limits; they win over any document. None: no cap of its own."""

    mode: str = "AGGRESSIVE"
    max_risk_per_trade: float | None = None
    min_confidence: float | None = None
    max_positions: int | None = None
    max_daily_trades: int | None = None
    max_slippage: float | None = None
    max_expected_shortfall: float | None = None
    strategies: tuple[str, ...] | None = None
    symbols: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"the cap on the mode is {self.mode!r}; it must be one of {', '.join(MODES)}")
        for name in LIMIT_NAMES:
            value: Any = getattr(self, name)
            if value is not None and (not _is_number(value) or value < 0):
                raise ValueError(f"the cap {name} is {value!r}; it must be a number that is not negative, or None")


@dataclass(frozen=True)
class Document:
    """A document that was read and believed. Times are seconds since 1970."""

    text: str
    digest: str
    epoch: str
    version: int
    issued_at: float
    stale_at: float
    expires_at: float
    decision: Decision


class HmacVerifier:
    """Checks HMAC-SHA256 signatures. Keys by their id, so that an old and a new one can both be good for a while."""

    def __init__(self, keys: Mapping[str, Any]) -> None:
        for key_id, secret in keys.items():
            if not isinstance(secret, bytes) or len(secret) < 16:
                raise ValueError(f"the secret of key {key_id!r} must be bytes, at least 16 of them")
        self._keys = dict(keys)

    def __call__(self, algorithm: str, key_id: str, message: bytes, signature: bytes) -> bool:
        """Say whether the signature is good."""
        secret = self._keys.get(key_id)
        if algorithm != "hmac-sha256" or secret is None:
            return False
        return hmac.compare_digest(hmac.new(secret, message, hashlib.sha256).digest(), signature)


def accept_unsigned(algorithm: str, key_id: str, message: bytes, signature: bytes) -> bool:  # noqa: ARG001
    """Accept documents that say that they are unsigned: whoever can write to the source then sets the limits."""
    return algorithm == "unsigned"


def read_document(given: str | bytes | Mapping[str, Any], *, scope: str, verifier: Verifier) -> Document:
    """Read one document, and believe nothing of it before its signature is good.

    Raises
    ------
    Refused
        With the reason BAD_SIGNATURE where it was altered, or signed with no key that is known.
    """
    try:
        return _read(_parsed(given), scope, verifier)
    except UnicodeError as error:
        raise Refused(f"the document is not valid Unicode: {error}") from error


def _read(body: Mapping[str, Any], scope: str, verifier: Verifier) -> Document:
    if body.get("schema") != SCHEMA:
        raise Refused(f"the schema is {body.get('schema')!r}, and this client knows {SCHEMA}")
    signature = body.get("signature")
    unsigned = {key: value for key, value in body.items() if key != "signature"}
    content = canonical({key: value for key, value in unsigned.items() if key != "digest"}).encode()
    digest = hashlib.sha256(content).hexdigest()
    message = SCHEMA.encode() + b"\x00" + canonical(unsigned).encode()
    if body.get("digest") != digest or not _signed(signature, message, verifier):
        raise Refused("the signature is not good", BAD_SIGNATURE)
    if body.get("scope") != scope:
        raise Refused(f"the document is for the scope {body.get('scope')!r}, not {scope!r}")
    try:
        return _document(body, digest)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise Refused(f"the document cannot be used: {error!r}") from error


def canonical(value: Any) -> str:
    """Write a value as canonical JSON: sorted keys, no white space, no exponents, no NaN."""
    if value is None or isinstance(value, bool | str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise Refused(f"{value!r} is no JSON number")
        text = float.__repr__(value + 0.0)
        if "e" not in text:
            return text
        plain = format(Decimal(text), "f")
        return plain if "." in plain else plain + ".0"
    if isinstance(value, Mapping):
        members = (canonical(key) + ":" + canonical(value[key]) for key in sorted(value))
        return "{" + ",".join(members) + "}"
    if isinstance(value, Sequence):
        return "[" + ",".join(canonical(item) for item in value) + "]"
    raise Refused(f"{type(value).__name__} is no JSON type")


class PolicyClient:
    """The policy, kept fresh by a thread.

    Parameters
    ----------
    executor_id
        Who this is; it shows in the status of the server.
    scope
        Which book's policy; a document of another one is refused.
    sources
        Asked in order at every refresh, all of them; the highest version wins.
    verifier
        `HmacVerifier`, `meta_pipeline.policy.signing.Ed25519Verifier`, or, knowingly, `accept_unsigned`.
    caps
        The executor's own hard caps.
    state_path
        Where the last document is kept, so that a restart accepts nothing older. None: nothing is kept.
    epoch
        The only epoch that is accepted; None: that of the first valid document.
    refresh_seconds, loosen_after_seconds
        How often the sources are asked; how long a looser document must stand before it acts.
    max_silence_seconds
        After so long without a source that gives the document, it counts as expired. None: when it says itself.
    report
        Called after every refresh with the heartbeat; `http_report` sends it to the server.
    """

    def __init__(
        self,
        *,
        executor_id: str,
        scope: str,
        sources: Sequence[Source],
        verifier: Verifier,
        caps: HardCaps | None = None,
        state_path: str | os.PathLike[str] | None = None,
        epoch: str | None = None,
        refresh_seconds: float = 15.0,
        loosen_after_seconds: float = 60.0,
        max_silence_seconds: float | None = None,
        report: Callable[[Mapping[str, Any]], None] | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.executor_id = executor_id
        self.scope = scope
        self._sources = list(sources)
        self._verifier = verifier
        self._caps = caps or HardCaps()
        self._state_path = None if state_path is None else Path(state_path)
        self._epoch = epoch
        self._refresh_seconds = refresh_seconds
        self._loosen_after = loosen_after_seconds
        self._max_silence = math.inf if max_silence_seconds is None else max_silence_seconds
        self._heard = (-math.inf, -math.inf)  # wall and monotonic, when a source last gave the document
        self._report = report
        self._clock = clock
        self._monotonic = monotonic
        self._document: Document | None = None
        self._given: dict[int, Document | Refused] = {}  # what each source gave last, while it says "not changed"
        self._ahead: Document | None = None  # newer, but dated in the future: it may only tighten
        self._expires_monotonic = -math.inf
        self._stale_monotonic = -math.inf
        self._floor: tuple[str, int, str] | None = None  # epoch, version, digest: nothing older is accepted
        self._problems: dict[str, str] = {}
        self._target: Decision | None = None
        self._target_since = 0.0
        self._held = _nothing(DEFAULT)
        self._snapshot = _Snapshot.of_nothing(DEFAULT)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._restore()

    def current(self) -> Decision:
        """Return what may be done now. No I/O, no exception, microseconds."""
        s = self._snapshot
        wall, monotonic = self._clock(), self._monotonic()
        if wall >= s.expires_wall or monotonic >= s.expires_monotonic:
            return s.expired
        if wall >= s.stale_wall or monotonic >= s.stale_monotonic:
            return s.stale
        return s.loose if monotonic >= s.loosen_monotonic else s.held

    def start(self) -> "PolicyClient":
        """Refresh once, then keep refreshing in a thread until `stop`."""
        self.refresh()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="policy-client", daemon=True)
            self._thread.start()
        return self

    def stop(self) -> None:
        """End the thread; what was decided last goes on to age."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=2 * self._refresh_seconds)

    def refresh(self) -> None:
        """Ask the sources once. Raises nothing: what fails is in `heartbeat()`."""
        with self._lock:
            offered, tampered = self._ask()
            accepted = [self._accept(document) for document in sorted(offered, key=lambda one: one.version)]
            given = {document.digest for document in offered}
            confirmed = self._document is not None and self._document.digest in given
            if confirmed:
                self._heard = self._clock(), self._monotonic()
            self._settle(
                origin=STATIC if confirmed else CACHED,
                tampered=tampered,
                # A source that lags behind another is no rollback; nothing but older documents is.
                rejected=bool(offered) and not any(accepted),
            )
        self._send_report()

    def heartbeat(self) -> dict[str, Any]:
        """Return what this executor runs, for the server's status."""
        decision = self.current()
        return {
            "executor_id": self.executor_id,
            "scope": self.scope,
            "epoch": decision.epoch,
            "version": decision.version,
            "mode": decision.mode,
            "reduce_only": decision.reduce_only,
            "reasons": list(decision.reasons),
            "problems": dict(self._problems),
            "reported_at": self._clock(),
        }

    def _run(self) -> None:
        while not self._stop.wait(self._refresh_seconds):
            self.refresh()

    def _ask(self) -> tuple[list[Document], bool]:
        offered: list[Document] = []
        tampered = False
        self._problems = {key: text for key, text in self._problems.items() if not key.startswith("source")}
        for number, source in enumerate(self._sources):
            try:
                given = source()
                if given is not None:
                    self._given[number] = self._read(given)
            except Exception as error:  # whatever a source does, the client lives
                self._problems[f"source {number}"] = f"{type(error).__name__}: {error}"[:500]
                continue
            # "Not changed" says again what the source said last: a document that was refused is refused again.
            last = self._given.get(number)
            if isinstance(last, Document):
                offered.append(last)
            elif last is not None:
                tampered |= last.reason == BAD_SIGNATURE
                self._problems[f"source {number}"] = str(last)[:500]
        return offered, tampered

    def _read(self, given: str | bytes | Mapping[str, Any]) -> Document | Refused:
        try:
            return read_document(given, scope=self.scope, verifier=self._verifier)
        except Refused as refusal:
            return refusal

    def _accept(self, document: Document) -> bool:
        """Take a document if it is new; say whether it is one that may be offered."""
        if not self._is_newer_or_same(document):
            seen = "none yet" if self._floor is None else f"version {self._floor[1]} of epoch {self._floor[0]}"
            text = f"version {document.version} of epoch {document.epoch} is refused; seen was {seen}"
            self._problems["version"] = text[:500]
            return False
        self._problems.pop("version", None)
        wall, monotonic = self._clock(), self._monotonic()
        if document.issued_at > wall + CLOCK_TOLERANCE:
            self._problems["clock"] = "the document is from the future; look at the clocks"
            if self._ahead is None or document.version > self._ahead.version:
                self._ahead = document
            return True
        if self._ahead is not None and document.version >= self._ahead.version:
            self._ahead = None
        if self._ahead is None:
            self._problems.pop("clock", None)
        if self._document is None or document.digest != self._document.digest:
            age = max(wall - document.issued_at, 0.0)
            self._document = document
            self._floor = (document.epoch, document.version, document.digest)
            # A clock that is set back must not make the document live longer.
            self._expires_monotonic = monotonic + (document.expires_at - document.issued_at) - age
            self._stale_monotonic = monotonic + (document.stale_at - document.issued_at) - age
            self._save(document)
        return True

    def _is_newer_or_same(self, document: Document) -> bool:
        if self._epoch not in (None, document.epoch):
            return False
        if self._floor is None:
            return True
        epoch, version, digest = self._floor
        same = (document.version, document.digest) == (version, digest)
        return document.epoch == epoch and (document.version > version or same)

    def _settle(self, *, origin: str, tampered: bool, rejected: bool) -> None:
        """Make the decisions that `current()` chooses from."""
        notes = (ROLLBACK_REJECTED,) if rejected else ()
        document = self._document
        if tampered or document is None:
            self._held, self._target = _nothing(BAD_SIGNATURE if tampered else DEFAULT, *notes), None
            self._snapshot = _Snapshot.of_nothing(BAD_SIGNATURE if tampered else DEFAULT, *notes)
            return
        wanted = _capped(document.decision, self._caps)
        if self._ahead is not None:
            # When it will end nobody can say, so it allows nothing; what it forbids is forbidden now.
            wanted = _tighter(wanted, _capped(self._ahead.decision, self._caps))
        own = (CAPPED,) if _differ(wanted, document.decision) else ()
        self._held = self._loosened(wanted, document)
        waiting = self._target is not None
        # The wait ends between two refreshes as well; then the looser decision acts, if the document is still fresh.
        loosen_at = self._target_since + self._loosen_after if waiting else math.inf
        held_notes = (*notes, *((CAPPED,) if waiting or own else ()))
        self._snapshot = _Snapshot(
            expires_wall=min(document.expires_at, self._heard[0] + self._max_silence),
            expires_monotonic=min(self._expires_monotonic, self._heard[1] + self._max_silence),
            stale_wall=document.stale_at,
            stale_monotonic=self._stale_monotonic,
            loosen_monotonic=loosen_at,
            held=_because(self._held, document, origin, *held_notes),
            loose=_because(wanted, document, origin, *notes, *own),
            stale=_because(_held_to(self._held, "NORMAL"), document, STALE, *held_notes),
            expired=_because(_held_to(self._held, "DEFENSIVE"), document, EXPIRED, *held_notes),
        )

    def _loosened(self, wanted: Decision, document: Document) -> Decision:
        """Return what holds now: the tighter of what is in force and what is wanted, until that has stood long enough.

        In force is what `current()` says, so that what a stale or expired document took away must be waited for too.
        """
        tighter = _tighter(self.current(), wanted)
        wall, monotonic = self._clock(), self._monotonic()
        # The wait runs only while the document is fresh and the sources speak.
        fresh = wall < min(document.stale_at, self._heard[0] + self._max_silence) and monotonic < min(
            self._stale_monotonic, self._heard[1] + self._max_silence
        )
        if not fresh or not _differ(tighter, wanted):
            self._target = None
            return tighter if not fresh else wanted
        if self._target is None or _differ(_tighter(self._target, wanted), wanted):
            # Looser than what was waited for: the wait begins anew.
            self._target_since = monotonic
        self._target = wanted
        if monotonic < self._target_since + self._loosen_after:
            return tighter
        self._target = None
        return wanted

    def _restore(self) -> None:
        """Go on from the last document, so that a restart accepts nothing older."""
        if self._state_path is None or not self._state_path.exists():
            return
        try:
            state = _parsed(self._state_path.read_text(encoding="utf-8"))
            self._floor = (str(state["epoch"]), int(state["version"]), str(state["digest"]))
            document = read_document(state["document"], scope=self.scope, verifier=self._verifier)
            if self._accept(document):
                self._heard = self._clock(), self._monotonic()
                self._settle(origin=CACHED, tampered=False, rejected=False)
        except Exception as error:  # an unreadable state is no document, and no reason to stop trading out
            self._problems["restored state"] = f"{type(error).__name__}: {error}"[:500]

    def _save(self, document: Document) -> None:
        if self._state_path is None:
            return
        state = {
            "epoch": document.epoch,
            "version": document.version,
            "digest": document.digest,
            "document": document.text,
        }
        try:
            _write_atomically(self._state_path, json.dumps(state))
            self._problems.pop("state", None)
        except OSError as error:
            self._problems["state"] = f"cannot be kept: {error}"

    def _send_report(self) -> None:
        if self._report is None:
            return
        try:
            self._report(self.heartbeat())
            self._problems.pop("report", None)
        except Exception as error:  # a server that is down must not stop the thread
            self._problems["report"] = f"{type(error).__name__}: {error}"[:500]


def file_source(path: str | os.PathLike[str]) -> Source:
    """Read the document from a file."""

    def read() -> str:
        with Path(path).open("rb") as file:
            return _limited(file.read(LARGEST_DOCUMENT + 1)).decode("utf-8")

    return read


def value_source(read: Callable[[], "str | bytes | Mapping[str, Any] | None"]) -> Source:
    """Read the document from a place that gives it whole each time: a key in Redis, a row of the database.

    Nothing there is a failure, and not "not changed": a Redis that came back empty confirms no policy.
    """

    def fetch() -> str | bytes | Mapping[str, Any]:
        given = read()
        if given is None:
            raise LookupError("there is no document")
        return given

    return fetch


def http_source(url: str, *, token: str | None = None, timeout: float = 5.0) -> Source:
    """Fetch the document by HTTP, only when it changed (ETag). Redirects and proxies are not followed."""
    _require_http(url)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects())
    seen: dict[str, str] = {}

    def fetch() -> str | None:
        headers = {"Accept": "application/json", **_authorization(token)}
        if "etag" in seen:
            headers["If-None-Match"] = seen["etag"]
        try:
            with opener.open(urllib.request.Request(url, headers=headers), timeout=timeout) as response:  # noqa: S310
                text = _limited(response.read(LARGEST_DOCUMENT + 1)).decode("utf-8")
                etag = response.headers.get("ETag")
        except urllib.error.HTTPError as error:
            if error.code == 304:
                return None
            seen.clear()
            raise
        except OSError:
            # Asked again from the start: a server that came back may have another document.
            seen.clear()
            raise
        if etag:
            seen["etag"] = etag
        return text

    return fetch


def http_report(url: str, *, token: str | None = None, timeout: float = 5.0) -> Callable[[Mapping[str, Any]], None]:
    """Send heartbeats by HTTP POST as JSON."""
    _require_http(url)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects())

    def send(heartbeat: Mapping[str, Any]) -> None:
        headers = {"Content-Type": "application/json", **_authorization(token)}
        body = json.dumps(heartbeat, allow_nan=False).encode()
        request = urllib.request.Request(url, data=body, headers=headers, method="POST")  # noqa: S310
        with opener.open(request, timeout=timeout):
            return

    return send


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """All that `current()` needs, made whole at every refresh and swapped in at once."""

    expires_wall: float
    expires_monotonic: float
    stale_wall: float
    stale_monotonic: float
    loosen_monotonic: float
    held: Decision
    loose: Decision
    stale: Decision
    expired: Decision

    @classmethod
    def of_nothing(cls, *reasons: str) -> "_Snapshot":
        none = _nothing(*reasons)
        return cls(-math.inf, -math.inf, -math.inf, -math.inf, math.inf, none, none, none, none)


def _nothing(*reasons: str) -> Decision:
    limits = MODE_LIMITS["DEFENSIVE"]
    return Decision("DEFENSIVE", True, False, limits, (), None, {}, reasons)


def _tighter(a: Decision, b: Decision) -> Decision:
    """Return what both allow."""
    strategies = tuple(name for name in b.strategies if name in a.strategies)
    if a.symbols is None or b.symbols is None:
        symbols = b.symbols if a.symbols is None else a.symbols
    else:
        symbols = tuple(name for name in b.symbols if name in a.symbols)
    return Decision(
        mode=min(a.mode, b.mode, key=MODES.index),
        reduce_only=a.reduce_only or b.reduce_only,
        halted=a.halted or b.halted,
        limits={name: _tighter_limit(name, a.limits[name], b.limits[name]) for name in LIMIT_NAMES},
        strategies=strategies,
        symbols=symbols,
        weights={name: min(a.weights.get(name, 0.0), b.weights.get(name, 0.0)) for name in strategies},
        reasons=b.reasons,
        equal_share=max(a.equal_share, b.equal_share),
    )


def _tighter_limit(name: str, one: float, other: float) -> float:
    return max(one, other) if name == "min_confidence" else min(one, other)


def _differ(a: Decision, b: Decision) -> bool:
    def said(one: Decision) -> tuple[object, ...]:
        symbols = None if one.symbols is None else frozenset(one.symbols)
        weights = {name: one.weights.get(name, 0.0) for name in one.strategies}
        flags = one.mode, one.reduce_only, one.halted, one.equal_share
        return *flags, dict(one.limits), frozenset(one.strategies), symbols, weights

    return said(a) != said(b)


def _held_to(decision: Decision, mode: str) -> Decision:
    """Hold a decision to a mode: its limits, its number of strategies, and weights within its risk budget."""
    if MODES.index(decision.mode) <= MODES.index(mode):
        return decision
    limits = {name: _tighter_limit(name, decision.limits[name], MODE_LIMITS[mode][name]) for name in LIMIT_NAMES}
    before = decision.limits["max_expected_shortfall"]
    shrink = min(1.0, limits["max_expected_shortfall"] / before) if before > 0 else 0.0
    strategies = decision.strategies[: MODE_STRATEGIES[mode]]
    weights = {name: decision.weights.get(name, 0.0) * shrink for name in strategies}
    return replace(decision, mode=mode, limits=limits, strategies=strategies, weights=weights)


def _capped(decision: Decision, caps: HardCaps) -> Decision:
    lowered = _held_to(decision, caps.mode)
    own = {name: getattr(caps, name) for name in LIMIT_NAMES}
    limits = {
        name: value if own[name] is None else _tighter_limit(name, value, own[name])
        for name, value in lowered.limits.items()
    }
    strategies = tuple(name for name in lowered.strategies if caps.strategies is None or name in caps.strategies)
    symbols = lowered.symbols
    if caps.symbols is not None:
        symbols = tuple(name for name in caps.symbols if symbols is None or name in symbols)
    weights = {name: lowered.weights.get(name, 0.0) for name in strategies}
    return replace(lowered, limits=limits, strategies=strategies, symbols=symbols, weights=weights)


def _because(decision: Decision, document: Document, *reasons: str) -> Decision:
    return replace(decision, reasons=reasons, version=document.version, epoch=document.epoch)


def _parsed(given: str | bytes | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(given, Mapping):
        given = json.dumps(given)
    text = given.decode("utf-8") if isinstance(given, bytes) else given
    if len(text) > LARGEST_DOCUMENT:
        raise Refused("the document is too long")
    depth = deepest = 0
    for character in text:
        if character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    if deepest > DEEPEST:
        raise Refused("the document is nested too deeply")
    try:
        value = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_no_twins)
    except ValueError as error:
        raise Refused(f"the document is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise Refused("the document is no JSON object")
    return value


def _no_constant(name: str) -> None:
    raise Refused(f"{name} is no JSON number")


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Refused("a key occurs twice")
    return found


def _signed(signature: object, message: bytes, verifier: Verifier) -> bool:
    if not isinstance(signature, Mapping):
        return False
    algorithm, key_id, value = (signature.get(name) for name in ("algorithm", "key_id", "value"))
    if not isinstance(algorithm, str) or not isinstance(key_id, str) or not isinstance(value, str):
        return False
    try:
        return bool(verifier(algorithm, key_id, message, b64decode(value, validate=True)))
    except Exception:  # a verifier that fails has verified nothing
        return False


def _document(body: Mapping[str, Any], digest: str) -> Document:
    limits = {name: float(_number(body["limits"], name)) for name in LIMIT_NAMES}
    mode = body["mode"]
    if mode not in MODES:
        raise ValueError(f"mode {mode!r}")
    halted, reduce_only = body["halt"]["active"], body["reduce_only"]
    if not isinstance(halted, bool) or not isinstance(reduce_only, bool):
        raise TypeError("halt and reduce_only must be true or false")
    strategies = _names(body["allowed_strategies"])[: MODE_STRATEGIES[mode]]
    symbols = None if body["allowed_symbols"] is None else _names(body["allowed_symbols"])
    weights = {name: min(float(_number(body["weights"], name)), 1.0) for name in strategies}
    issued, stale, expires = (_instant(body[name]) for name in ("issued_at", "stale_at", "expires_at"))
    if not issued <= stale <= expires <= issued + LONGEST_LIFE:
        raise ValueError("its times are not in order, or it would live too long")
    version = body["version"]
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ValueError(f"version {version!r}")
    if not isinstance(body["epoch"], str) or not body["epoch"]:
        raise ValueError(f"epoch {body['epoch']!r}")
    decision = Decision(
        mode=mode,
        reduce_only=reduce_only or halted,
        halted=halted,
        # Whatever the document says, a mode allows no more than its own limits.
        limits={name: _tighter_limit(name, limits[name], MODE_LIMITS[mode][name]) for name in LIMIT_NAMES},
        strategies=strategies,
        symbols=symbols,
        weights=weights,
        reasons=(),
        equal_share=1.0 / max(len(strategies), 1),
    )
    text = canonical(body)
    return Document(text, digest, body["epoch"], version, issued, stale, expires, decision)


def _number(values: Mapping[str, Any], name: str) -> float:
    value: float = values[name]
    if not _is_number(value) or value < 0:
        raise ValueError(f"{name} is {value!r}")
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _names(values: object) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError(f"{values!r} is no list of names")
    return tuple(dict.fromkeys(values))


def _instant(text: str) -> float:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return moment.timestamp()


def _limited(data: bytes) -> bytes:
    if len(data) > LARGEST_DOCUMENT:
        raise Refused("the document is too long")
    return data


def _require_http(url: str) -> None:
    if urllib.parse.urlsplit(url).scheme not in {"http", "https"}:
        raise ValueError(f"{url!r} is neither http:// nor https://")


def _authorization(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"Bearer {token}"}


def _write_atomically(path: Path, text: str) -> None:
    """Write a file so that a crash leaves the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    with beside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
