"""Where a PostgreSQL database is: every common spelling read into one address, passwords kept out of sight.

Belongs here: reading, writing and masking an address. Does not belong here: connecting (database).

Internally an address is a set of libpq keywords, because every spelling can be written as one:
URLs of all drivers, JDBC URLs, keyword strings, sockets, several hosts.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from meta_pipeline.errors import InputError

if TYPE_CHECKING:
    from sqlalchemy import URL

VARIABLE: Final = "META_PIPELINE_DATABASE_URL"
EXAMPLE: Final = "postgresql://USER:PASSWORD@HOST:5432/DATABASE"

_SCHEME = re.compile(r"(?:jdbc:)?(postgres|postgresql)(\+\w+)?://(.*)", re.IGNORECASE | re.DOTALL)
_OTHER_SCHEME = re.compile(r"(?:jdbc:)?([A-Za-z][A-Za-z0-9+.-]*)://")
_KEYWORD_STRING = re.compile(r"\s*[a-z_]+\s*=")
# The names other drivers give to libpq's options: asyncpg, JDBC, node-postgres.
_OPTION_NAMES: Final = {
    "ssl": "sslmode",
    "username": "user",
    "database": "dbname",
    "applicationname": "application_name",
}
_SSL_MODES: Final = {"true": "require", "1": "require", "on": "require", "no-verify": "require"} | {
    "false": "disable",
    "0": "disable",
    "off": "disable",
}


@dataclass(frozen=True, kw_only=True, repr=False)
class Address:
    """Where a database is and how to get in. Its text form never shows a secret.

    Parameters
    ----------
    options
        libpq keywords: host, port, user, password, dbname, sslmode... What is missing follows
        libpq's rules (port 5432, database named like the user, PGHOST and so on).
    """

    options: Mapping[str, str]

    @property
    def secrets(self) -> dict[str, str]:
        """The options that no text, log or metadata may show."""
        return {name: value for name, value in self.options.items() if name in _known_options()[1]}

    def url(self, driver: str = "psycopg") -> "URL":
        """Return the SQLAlchemy URL, password included, for `psycopg` (version 3) or `psycopg2`.

        The text is `url(...).render_as_string(hide_password=False)`. Secrets other than the password
        are not in it, because SQLAlchemy would show them: pass `secrets` to the driver as well.
        """
        from sqlalchemy import URL

        rest = {name: value for name, value in self.options.items() if name not in _known_options()[1]}
        host = rest.get("host", "")
        in_authority = bool(host) and "," not in host and not host.startswith(("/", "@"))
        if in_authority:
            del rest["host"]
        port = rest.pop("port") if in_authority and "port" in rest else None
        return URL.create(
            f"postgresql+{driver}",
            # Without a user, SQLAlchemy would lose the password.
            username=rest.pop("user", "" if "password" in self.options else None),
            password=self.options.get("password"),
            host=host if in_authority else None,
            port=None if port is None else int(port),
            database=rest.pop("dbname", None),
            query=rest,
        )

    def conninfo(self, more: Mapping[str, str] | None = None, *, with_secrets: bool = True) -> str:
        """Return libpq's `keyword=value` text, with `more` options: for psycopg; for a command line without secrets."""
        from psycopg.conninfo import make_conninfo

        hidden = () if with_secrets else self.secrets
        return make_conninfo(
            **{name: value for name, value in self.options.items() if name not in hidden} | dict(more or {})
        )

    def for_dagster(self) -> str:
        """Return the URL that dagster-postgres takes: it needs psycopg2 named. Holds the password."""
        return self.url("psycopg2").render_as_string(hide_password=False)

    def __str__(self) -> str:
        """Return the URL with the password masked and the other secrets left out."""
        masked = self.url().render_as_string(hide_password=True)
        return masked.replace("postgresql+psycopg://", "postgresql://", 1)

    def __repr__(self) -> str:
        return f"Address({self})"


def parse_address(given: str) -> Address:
    """Read where a database is, in any common spelling.

    Parameters
    ----------
    given
        `postgres://`, `postgresql://`, either with a driver (`+psycopg`, `+psycopg2`, `+asyncpg`...)
        or behind `jdbc:`; or libpq's `host=... dbname=...`. Sockets are hosts that start with a
        slash, percent-encoded or as `?host=`. Quotes around the whole are dropped.

    Raises
    ------
    InputError
        If it is empty, of another database, or cannot be read. The error never shows what
        could be a password.
    """
    text = given.strip()
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1].strip()
    if not text:
        raise InputError(f"{VARIABLE} is empty; unset it for the embedded PostgreSQL, or set {EXAMPLE}")
    if matched := _SCHEME.fullmatch(text):
        options = _options_of_url(matched[3])
    elif _KEYWORD_STRING.match(text):
        options = _options_of_keywords(text)
    else:
        raise _not_postgresql(text)
    return Address(options=_checked({name: value for name, value in options.items() if value != ""}))


def _not_postgresql(text: str) -> InputError:
    scheme = _OTHER_SCHEME.match(text)
    what = f"names a {scheme[1]!r} database" if scheme else "is neither a URL nor a `keyword=value` text"
    return InputError(
        f"{VARIABLE} {what}, and meta-pipeline keeps its tables in PostgreSQL 14 or newer only; set {EXAMPLE}, "
        "or unset it for the embedded PostgreSQL"
    )


def _unreadable(why: str) -> InputError:
    return InputError(f"{VARIABLE} (postgresql://***) cannot be read: {why}; set {EXAMPLE}")


def _options_of_url(rest: str) -> dict[str, str]:
    """Read what follows `://`. A raw `@`, `:` or `#` in the password is understood; `/` and `?` must be encoded."""
    authority, slash, tail = re.fullmatch(r"([^/?]*)(/?)(.*)", rest, re.DOTALL).groups()  # type: ignore[union-attr]
    path, _, query = tail.partition("?")
    if not slash and path:
        raise _unreadable("a database name needs a slash before it")
    if "@" in path + query:
        # Where a password's raw '/' or '?' cut the login short, its end is here: nothing of this is shown.
        raise _unreadable("after the host, '@' is written %40; in a user name or password '/' is %2F and '?' is %3F")
    login, _, places = authority.rpartition("@")
    user, _, password = login.partition(":")
    hosts, ports = _hosts_and_ports(places)
    options = {
        "user": _decoded(user),
        "password": _decoded(password),
        "host": hosts,
        "port": ports,
        "dbname": _decoded(path),
    }
    return options | _options_of_query(query)


def _hosts_and_ports(places: str) -> tuple[str, str]:
    hosts, ports = [], []
    for place in places.split(","):
        found = re.fullmatch(r"(\[[^\]]*\]|[^:\[\]]*)(?::([^:]*))?", place)
        if found is None:
            raise _unreadable("an IPv6 host is written in brackets, [::1]:5432")
        hosts.append(_decoded(found[1].strip("[]")))
        ports.append(found[2] or "")
    return ",".join(hosts) if any(hosts) else "", ",".join(ports) if any(ports) else ""


def _options_of_query(query: str) -> dict[str, str]:
    options = {}
    for part in filter(None, query.split("&")):
        name, equals, value = part.partition("=")
        if not equals:
            raise _unreadable("what follows the '?' is not `option=value&option=value`")
        name = _decoded(name)
        name = _OPTION_NAMES.get(name.lower(), name)
        value = _decoded(value)
        options[name] = _SSL_MODES.get(value.lower(), value) if name == "sslmode" else value
    return options


def _options_of_keywords(text: str) -> dict[str, str]:
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        found = conninfo_to_dict(text)
    except ProgrammingError:
        # libpq quotes the place it stumbled over, which may be the password.
        raise _unreadable(
            "a `keyword=value` text separates its options by spaces, uses libpq's names (host, port, dbname, user, "
            "password, sslmode...), and puts values with spaces in single quotes"
        ) from None
    return {name: str(value) for name, value in found.items() if value is not None}


def _checked(options: dict[str, str]) -> dict[str, str]:
    known, secret = _known_options()
    for name, value in options.items():
        if name not in known:
            raise _unreadable(
                f"{name!r} is not an option of PostgreSQL's client (sslmode, application_name, options, "
                "connect_timeout... are); remove it"
            )
        if "\x00" in value:
            shown = "***" if name in secret else repr(value)
            raise _unreadable(f"{name} holds a NUL character: {shown}")
    for port in filter(None, options.get("port", "").split(",")):
        if not (port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
            # Not shown: a password with an unencoded '/' ends up here.
            raise _unreadable(
                "the port is not a number from 1 to 65535 (in a password, '/' is written %2F and '?' is %3F)"
            )
    return options


@cache
def _known_options() -> tuple[frozenset[str], frozenset[str]]:
    """Return libpq's options, and those of them that are secrets."""
    from psycopg import pq

    options = {option.keyword.decode(): option.dispchar for option in pq.Conninfo.get_defaults()}
    # libpq marks passwords with a star and keys it regards as internal with a D.
    secret = {name for name, mark in options.items() if mark == b"*" or name.startswith("scram_")}
    return frozenset(options), frozenset(secret | {"password"})


def _decoded(text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise _unreadable("a percent-encoded part is not UTF-8") from None
