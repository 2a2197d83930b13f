"""Who asks, and what they may: a token's role, or, on a loopback address before the first token, the machine's user."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar

from fastapi import Depends, Request
from fastapi.security import HTTPBearer
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from meta_pipeline.api.context import Context, Kept, context_of
from meta_pipeline.api.problems import ProblemError
from meta_pipeline.errors import NotPermitted
from meta_pipeline.proposals.identity import clean_name
from meta_pipeline.proposals.roles import Role
from meta_pipeline.proposals.situation import Check
from meta_pipeline.proposals.standing import Act, Standing
from meta_pipeline.store import governance, people
from meta_pipeline.store.api_tokens import ROLES, Token, find_token, tokens_are_used

T = TypeVar("T")

REMEMBERED_SECONDS: Final = 5.0
"""A token that was looked up is believed for so long: a revoked one ends at most that late."""

LONGEST_TOKEN: Final = 200

READERS: Final = frozenset({"reader", "researcher", "approver", "operator"})
POLICY_READERS: Final = READERS | {"executor"}
DECIDERS: Final = frozenset({"approver"})
APPLIERS: Final = frozenset({"approver", "operator"})
"""Whose tokens may apply and revert; the rules of the gate come after."""

bearer: Final = HTTPBearer(auto_error=False, description="A token of `meta-pipeline tokens new`.")


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who acts: the name that is recorded, and the role."""

    name: str
    roles: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """Tokens that were looked up a moment ago."""

    found: Kept[Token | None]
    exist: Kept[bool]


def remembered_tokens() -> Tokens:
    """Return an empty memory."""
    return Tokens(found=Kept(REMEMBERED_SECONDS), exist=Kept(REMEMBERED_SECONDS))


def needs(*roles: str) -> Callable[..., Coroutine[Any, Any, Caller]]:
    """Return a dependency that lets callers with one of these roles in.

    Raises, when used
    -----------------
    ProblemError
        401 without a good token, 403 with one of another role.
    """
    unknown = set(roles) - set(ROLES)
    assert not unknown, unknown

    async def allowed(request: Request, _: Annotated[object, Depends(bearer)] = None) -> Caller:
        caller = await caller_of(request)
        if not caller.roles & set(roles):
            raise ProblemError(
                403, "not_permitted", f"the caller {caller.name!a} may not do this; it takes the role {_any(roles)}"
            )
        return caller

    allowed.roles = frozenset(roles)  # type: ignore[attr-defined]  # for the documentation
    return allowed


async def caller_of(request: Request) -> Caller:
    """Return who asks.

    Raises
    ------
    ProblemError
        401 without a good token, where one is needed.
    """
    context = context_of(request)
    memory: Tokens = request.app.state.tokens
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and 0 < len(text) <= LONGEST_TOKEN:
        token = await memory.found.get(text.strip(), lambda: _look_up(context, text.strip()))
        if token is not None:  # good by the database's clock, a moment ago
            return Caller(name=token.name, roles=frozenset({token.role}))
        raise _sign_in("this token is unknown, revoked or expired")
    if scheme:
        raise _sign_in("sign in with: Authorization: Bearer TOKEN")
    if context.settings.identity_header is not None:
        return await _named_by_proxy(request, context, context.settings.identity_header)
    if context.open_access and not await memory.exist.get("", lambda: _tokens_are_used(context)):
        return Caller(name=context.actor, roles=frozenset(ROLES))
    raise _sign_in("this needs a token: meta-pipeline tokens new")


async def _named_by_proxy(request: Request, context: Context, header: str) -> Caller:
    """Believe the header of a proxy that is listed; the roles are those that the database has of the name.

    Without the header, or from any other address, nobody is signed in: not even on a loopback address.
    """
    peer = "" if request.client is None else request.client.host
    given = request.headers.getlist(header)
    proxies = {address.strip() for address in context.settings.identity_proxies.split(",")}
    if peer not in proxies or len(given) != 1:
        raise _sign_in(f"this needs a token, or one {header} from a proxy that is configured")
    try:
        # HTTP hands over bytes as Latin-1; a proxy writes names as UTF-8.
        name = clean_name(given[0].encode("latin-1").decode("utf-8"))
    except ValueError as error:
        raise _sign_in(f"the name in {header} cannot be one: {error}") from None
    roles = await in_thread(lambda: _roles_of(context, name))
    return Caller(name=name, roles=roles)


def _roles_of(context: Context, name: str) -> frozenset[str]:
    with context.database.connect() as connection:
        held = people.roles_of(connection, name)
    if not held:
        return frozenset()
    # An auditor reads, like everybody who holds a role at all.
    return frozenset({"reader", *(str(role) for role in held if role is not Role.AUDITOR)})


def _look_up(context: Context, text: str) -> Token | None:
    with context.database.connect() as connection:
        return find_token(connection, text, now=context.decision_time())


def _tokens_are_used(context: Context) -> bool:
    with context.database.connect() as connection:
        return tokens_are_used(connection)


async def in_thread(work: Callable[[], T]) -> T:
    """Run work that waits for the database in a thread."""
    return await run_in_threadpool(work)


def standing_of(context: Context, connection: Connection, proposal_id: str, caller: Caller) -> Standing:
    """Return who may decide on a proposal, and what would be checked of this caller's acts, their token included."""
    found = governance.standing(
        connection, proposal_id, viewer=caller.name, now=context.decision_time(), settings=context.settings
    )
    barred: dict[Act, Check] = {}
    for prospect in found.prospects:
        wanted = APPLIERS if prospect.act == "apply" else DECIDERS
        if not caller.roles & wanted:
            text = f"the caller {caller.name!a} may not do this; it takes the role {_any(tuple(wanted))}"
            barred[prospect.act] = Check(name="access", passed=False, error=NotPermitted, text=text)
    return found.barred(barred)


def _sign_in(detail: str) -> ProblemError:
    return ProblemError(401, "not_signed_in", detail, {"WWW-Authenticate": "Bearer"})


def _any(roles: tuple[str, ...]) -> str:
    return " or ".join(sorted(roles))


Reader = Annotated[Caller, Depends(needs(*READERS))]
PolicyReader = Annotated[Caller, Depends(needs(*POLICY_READERS))]
Executor = Annotated[Caller, Depends(needs("executor", "operator"))]
Researcher = Annotated[Caller, Depends(needs("researcher", "operator"))]
Approver = Annotated[Caller, Depends(needs(*DECIDERS))]
Applier = Annotated[Caller, Depends(needs(*APPLIERS))]
Operator = Annotated[Caller, Depends(needs("operator"))]
