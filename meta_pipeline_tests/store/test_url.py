import traceback
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import make_url
from sqlalchemy.dialects.postgresql.psycopg import dialect as psycopg_dialect

from meta_pipeline.errors import InputError
from meta_pipeline.store.url import Address, parse_address

FULL = {"host": "db.example", "port": "5433", "user": "ann", "password": "pw", "dbname": "loop"}
MARK = "Zq9"
"""Begins and ends every made-up password, so that any part of one that gets out is seen."""

characters = st.characters(exclude_characters="\x00", exclude_categories=["Cs"])


def to_driver(address: Address) -> dict[str, Any]:
    arguments: dict[str, Any] = psycopg_dialect().create_connect_args(address.url())[1]  # type: ignore[no-untyped-call]
    return arguments


passwords = st.text(characters, max_size=12).map(lambda text: f"{MARK}{text}{MARK}")


@pytest.mark.parametrize(
    "spelling",
    [
        "postgres://ann:pw@db.example:5433/loop",
        "postgresql://ann:pw@db.example:5433/loop",
        "POSTGRESQL://ann:pw@db.example:5433/loop",
        "postgresql+psycopg2://ann:pw@db.example:5433/loop",
        "postgresql+psycopg://ann:pw@db.example:5433/loop",
        "postgresql+asyncpg://ann:pw@db.example:5433/loop",
        "jdbc:postgresql://db.example:5433/loop?user=ann&password=pw",
        "postgresql://db.example:5433/loop?user=ann&password=pw",
        "host=db.example port=5433 dbname=loop user=ann password=pw",
        "host = 'db.example' port=5433 dbname=loop user=ann password='pw'",
        "  postgres://ann:pw@db.example:5433/loop\n",
        '"postgres://ann:pw@db.example:5433/loop"',
        "'postgres://ann:pw@db.example:5433/loop'",
        "postgresql://%61nn:p%77@db.example:5433/l%6fop",
    ],
)
def test_all_common_spellings_name_the_same_database(spelling: str) -> None:
    address = parse_address(spelling)
    assert address.options == FULL
    assert address.url().render_as_string(hide_password=False) == "postgresql+psycopg://ann:pw@db.example:5433/loop"
    assert address.for_dagster() == "postgresql+psycopg2://ann:pw@db.example:5433/loop"
    assert str(address) == "postgresql://ann:***@db.example:5433/loop"


@pytest.mark.parametrize(
    ("spelling", "options"),
    [
        ("postgres://h", {"host": "h"}),
        ("postgres://h/", {"host": "h"}),
        ("postgres://ann@h/d", {"user": "ann", "host": "h", "dbname": "d"}),
        ("postgres://ann:@h/d", {"user": "ann", "host": "h", "dbname": "d"}),
        ("postgres:///d", {"dbname": "d"}),
        ("postgres://[::1]:6000/d", {"host": "::1", "port": "6000", "dbname": "d"}),
        ("postgres://u:p@[2001:db8::7]/d", {"user": "u", "password": "p", "host": "2001:db8::7", "dbname": "d"}),
        ("postgres:///d?host=/var/run/postgresql", {"host": "/var/run/postgresql", "dbname": "d"}),
        ("postgres://%2Fvar%2Frun%2Fpostgresql/d", {"host": "/var/run/postgresql", "dbname": "d"}),
        ("host=/var/run/postgresql dbname=d", {"host": "/var/run/postgresql", "dbname": "d"}),
        ("postgres://h/d?sslmode=verify-full", {"host": "h", "dbname": "d", "sslmode": "verify-full"}),
        ("postgres://h/d?ssl=true", {"host": "h", "dbname": "d", "sslmode": "require"}),
        ("postgres://h/d?ssl=verify-ca", {"host": "h", "dbname": "d", "sslmode": "verify-ca"}),
        (
            "postgres://h/d?options=-c%20search_path%3Dloop",
            {"host": "h", "dbname": "d", "options": "-c search_path=loop"},
        ),
        ("postgres://a:1,b:2/d", {"host": "a,b", "port": "1,2", "dbname": "d"}),
        ("postgres://a,b/d?target_session_attrs=any", {"host": "a,b", "dbname": "d", "target_session_attrs": "any"}),
        ("postgres://ann:a@b:c#d@h/d", {"user": "ann", "password": "a@b:c#d", "host": "h", "dbname": "d"}),
        ("postgres://ann:100%@h/d", {"user": "ann", "password": "100%", "host": "h", "dbname": "d"}),
    ],
)
def test_the_parts_of_an_address_are_understood(spelling: str, options: dict[str, str]) -> None:
    address = parse_address(spelling)
    assert address.options == options
    assert {name: str(value) for name, value in to_driver(address).items() if value != ","} == options
    assert make_url(address.for_dagster()) == address.url("psycopg2")


@pytest.mark.parametrize(
    ("spelling", "said"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        ("mysql://ann:Zq9@h/d", "names a 'mysql' database"),
        ("sqlite:///loop.db", "names a 'sqlite' database"),
        ("jdbc:oracle://h/d", "names a 'oracle' database"),
        ("localhost/Zq9", "neither a URL nor"),
        ("ann:Zq9@h/d", "neither a URL nor"),
        ("host=h Zq9", "separates its options by spaces"),
        ("host=h passwort=Zq9", "libpq's names"),
        ("postgres://ann:Zq9/1@h/d", "'/' is %2F"),
        ("postgres://ann:5/Zq9@h/d", "'/' is %2F"),
        ("postgres://ann:5?Zq9@h/d", "'?' is %3F"),
        ("postgres://ann:5?Zq9=1@h/d", "'?' is %3F"),
        ("postgres://ann:a@Zq9?b=c@h/d", "'?' is %3F"),
        ("postgres://h/d?schema=loop", "'schema' is not an option"),
        ("postgres://h/d?loop", "option=value"),
        ("postgres://h?sslmode=require&Zq9", "option=value"),
        ("postgres://h:port/d", "the port is not a number"),
        ("postgres://h:70000/d", "the port is not a number"),
        ("postgres://::1/d", "written in brackets"),
        ("postgres://ann:Zq9%ff@h/d", "not UTF-8"),
        ("postgres://ann:Zq9%00@h/d", "password holds a NUL character: ***"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_way_out_and_without_the_password(spelling: str, said: str) -> None:
    with pytest.raises(InputError) as refusal:
        parse_address(spelling)
    message = "".join(traceback.format_exception(refusal.value))
    assert said in message
    assert "META_PIPELINE_DATABASE_URL" in message
    assert "postgresql://USER:PASSWORD@HOST:5432/DATABASE" in message
    assert MARK not in str(refusal.value)


@given(password=passwords)
def test_any_password_arrives_whole_and_is_shown_nowhere(password: str) -> None:
    encoded = quote(password, safe="")
    dsn = password.replace("\\", "\\\\").replace("'", "\\'")
    for spelling in (
        f"postgres://ann:{encoded}@h:1/d",
        f"postgres://h:1/d?user=ann&password={encoded}",
        f"host=h port=1 user=ann dbname=d password='{dsn}'",
    ):
        address = parse_address(spelling)
        assert address.options["password"] == password
        assert to_driver(address)["password"] == password
        assert make_url(address.for_dagster()).password == password
        assert MARK not in f"{address} {address!r} {address.url()} {address.url()!r}"


@given(password=passwords)
@example("Zq9/Zq9")
@example("Zq9?a=b&Zq9")
@example("Zq9@h:1/Zq9")
@example("Zq9@[Zq9")
def test_a_password_that_should_have_been_encoded_is_shown_nowhere_either(password: str) -> None:
    for spelling in (f"postgres://ann:{password}@h:1/d", f"host=h password={password}"):
        try:
            shown = repr(parse_address(spelling))
        except InputError as refusal:
            shown = str(refusal)
        assert MARK not in shown


def test_other_secrets_than_the_password_are_shown_nowhere_and_reach_the_driver_beside_the_url() -> None:
    address = parse_address("postgres://ann:Zq9a@h/d?sslkey=/k&sslpassword=Zq9b&oauth_client_secret=Zq9c")
    assert address.secrets == {"password": "Zq9a", "sslpassword": "Zq9b", "oauth_client_secret": "Zq9c"}
    assert MARK not in f"{address} {address!r} {address.url()!r}"
    assert "sslkey=%2Fk" in str(address)


def test_a_password_without_a_user_is_kept() -> None:
    address = Address(options={"password": "pw", "dbname": "d"})
    assert make_url(address.for_dagster()).password == "pw"
    assert str(address) == "postgresql://:***@/d"
