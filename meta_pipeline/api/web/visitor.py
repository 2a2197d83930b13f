"""Who looks at a page: the session's token, or whoever the API would take the request for."""

from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Request

from meta_pipeline.api.access import READERS, Caller, caller_of
from meta_pipeline.api.context import Context, context_of
from meta_pipeline.api.problems import ProblemError
from meta_pipeline.api.web.sessions import COOKIE, Sessions
from meta_pipeline.store.api_tokens import Token, good_token

NOBODY: Final = "nobody"
"""Whose the form is with which one signs in."""

LONGEST_COOKIE: Final = 100


@dataclass(frozen=True, kw_only=True)
class Visitor:
    """Who looks, by the same name and roles as over the API.

    Parameters
    ----------
    whose
        What the tokens of this visitor's forms are made from.
    has_session
        Whether there is a session that can be ended.
    """

    name: str
    roles: frozenset[str]
    whose: str
    form_token: str
    has_session: bool

    @property
    def may_decide(self) -> bool:
        """Whether the API lets this caller decide; the gate's own rules come after."""
        return "approver" in self.roles

    @property
    def may_act(self) -> bool:
        """Whether the API lets this caller apply and revert."""
        return bool(self.roles & {"approver", "operator"})

    def require(self, *roles: str) -> None:
        """Refuse who has none of these roles, as the API's routes do.

        Raises
        ------
        ProblemError
            403.
        """
        if not self.roles & set(roles):
            wanted = " or ".join(sorted(roles))
            raise ProblemError(
                403, "not_permitted", f"the caller {self.name!a} may not do this; it takes the role {wanted}"
            )


def sessions_of(request: Request) -> Sessions:
    """Return the sessions of the app that serves a request."""
    sessions: Sessions = request.app.state.sessions
    return sessions


async def visitor_of(request: Request) -> Visitor:
    """Return who looks.

    Raises
    ------
    ProblemError
        401 if nobody is signed in where somebody must be, 403 without a role that reads.
    """
    sessions = sessions_of(request)
    text = request.cookies.get(COOKIE, "")
    session = sessions.find(text) if 0 < len(text) <= LONGEST_COOKIE else None
    if session is not None and "authorization" not in request.headers:
        context = context_of(request)
        memory = request.app.state.tokens.found
        token = await memory.get(f"id {session.token_id}", lambda: _good(context, session.token_id))
        if token is None:
            sessions.end(text)
            raise ProblemError(401, "not_signed_in", "the token of this session was revoked, or has expired")
        return _visitor(sessions, Caller(name=token.name, roles=frozenset({token.role})), f"session {text}", True)
    caller = await caller_of(request)
    return _visitor(sessions, caller, f"caller {caller.name}", False)


def _visitor(sessions: Sessions, caller: Caller, whose: str, has_session: bool) -> Visitor:
    visitor = Visitor(
        name=caller.name,
        roles=caller.roles,
        whose=whose,
        form_token=sessions.form_token(whose),
        has_session=has_session,
    )
    visitor.require(*READERS)
    return visitor


def _good(context: Context, token_id: str) -> Token | None:
    with context.database.connect() as connection:
        return good_token(connection, token_id, now=context.decision_time())


Visits = Annotated[Visitor, Depends(visitor_of)]
