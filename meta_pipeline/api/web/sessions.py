"""Sessions of browsers: made from an API token, kept in this process as digests, and ended with their token.

The cookie holds random bytes; the server keeps their digest and the id of the token, never its text. Another start of
the server signs everybody out.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

COOKIE: Final = "meta_pipeline_session"
LIFETIME_SECONDS: Final = 12 * 3600.0
MOST: Final = 1000
"""Sessions that are kept; the oldest ends when one more begins."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """Whom a cookie stands for: the token it was made with. `ends` is in seconds of the monotonic clock."""

    token_id: str
    ends: float


@dataclass(kw_only=True, eq=False)
class Sessions:
    """All sessions of one server, and the secret its forms are marked with."""

    timer: Callable[[], float] = time.monotonic
    _secret: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    _open: dict[str, Session] = field(default_factory=dict)

    def begin(self, token_id: str) -> str:
        """Begin a session; return the text of its cookie, which is kept nowhere."""
        text = secrets.token_urlsafe(32)
        while len(self._open) >= MOST:
            self._open.pop(next(iter(self._open)))
        self._open[_digest(text)] = Session(token_id=token_id, ends=self.timer() + LIFETIME_SECONDS)
        return text

    def find(self, text: str) -> Session | None:
        """Return the session of a cookie; None if there is none, or it is over."""
        key = _digest(text)
        found = self._open.get(key)
        if found is not None and self.timer() >= found.ends:
            self._open.pop(key, None)
            return None
        return found

    def end(self, text: str) -> None:
        """End a session; one that is none is left alone."""
        self._open.pop(_digest(text), None)

    def form_token(self, whose: str) -> str:
        """Return what each form of somebody carries (CSRF): only a page of ours, shown to them, holds it."""
        return hmac.new(self._secret, whose.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()

    def is_form_token(self, given: str, whose: str) -> bool:
        """Say whether a form carries the token of this person, in constant time."""
        return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), self.form_token(whose).encode())


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
