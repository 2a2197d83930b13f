"""Names: which are the same, which no person may bear, which characters none may hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_pipeline.errors import InputError
from meta_pipeline.proposals.identity import MAX_NAME, clean_name, clean_reason, is_machine, kind_of, name_key


@pytest.mark.parametrize(
    "written",
    [
        "Ann Lee",
        "ann lee",
        "ANN LEE",
        "  Ann   Lee ",
        "Ann\u00a0Lee",  # no-break space
        "Ann\tLee",
        "Ann\u3000Lee",  # ideographic space
        "\uff21nn Lee",  # full-width A
        "Ann L\u1d49\u1d49".replace("\u1d49", "e"),
    ],
)
def test_a_name_is_the_same_however_it_is_typed(written: str) -> None:
    assert name_key(written) == name_key("Ann Lee")


def test_composed_and_decomposed_letters_are_the_same_name() -> None:
    assert name_key("Ren\u00e9") == name_key("Rene\u0301")
    assert name_key("Strasse") == name_key("Straße")


@pytest.mark.parametrize(
    "unseen",
    [
        "\u200b",  # zero-width space
        "\u200d",  # zero-width joiner
        "\u2060",  # word joiner
        "\ufeff",  # byte order mark
        "\u202e",  # right-to-left override
        "\u00ad",  # soft hyphen
        "\u034f",  # combining grapheme joiner
        "\u3164",  # hangul filler
        "\ufe0f",  # variation selector
        "\U000e0041",  # tag letter
        "\u2028",  # line separator
        "\x00",
        "\x1b",
        "\ud800",  # half a character
        "\ue000",  # private use
    ],
)
def test_a_name_with_a_character_that_cannot_be_seen_is_refused_and_the_character_named(unseen: str) -> None:
    with pytest.raises(InputError, match=f"U\\+{ord(unseen):04X}"):
        name_key(f"al{unseen}ice")


def test_letters_of_alphabets_that_look_alike_are_not_mixed_in_one_name() -> None:
    with pytest.raises(InputError, match="Cyrillic and Latin"):
        clean_name("\u0430lice")  # the first letter is Cyrillic
    assert name_key("\u0430\u043b\u0438\u0441\u0430") == "\u0430\u043b\u0438\u0441\u0430"  # all of it is
    assert name_key("山田 Taro") == "山田 taro"


def test_an_empty_name_and_one_that_is_too_long_are_refused() -> None:
    with pytest.raises(InputError, match="empty"):
        clean_name("  ")
    with pytest.raises(InputError, match="129 characters"):
        clean_name("a" * (MAX_NAME + 1))
    with pytest.raises(InputError, match="when compared"):
        clean_name("\ufb03" * 100)  # one ligature is three letters when compared


@pytest.mark.parametrize(
    "name",
    [
        *("meta-pipeline", "Meta Pipeline", "META_PIPELINE", "meta.pipeline", "system", "Dagster", "dagster-daemon"),
        *(
            "machine: nightly",
            "service:deploy",
            "bot:x",
            "dependabot[bot]",
            "Scheduler",
            "\uff53ystem",
            "github-actions",
        ),
    ],
)
def test_names_that_machines_use_are_no_persons(name: str) -> None:
    assert is_machine(name)
    assert kind_of(name) == "machine"


@pytest.mark.parametrize("name", ["Ann", "root", "Abbot", "Robotham", "Sister Mary", "Auto Schmidt", "Services Ltd"])
def test_names_of_people_that_merely_resemble_them_are_human(name: str) -> None:
    assert kind_of(name) == "human"


@given(st.text(min_size=1, max_size=30))
def test_the_key_of_a_key_is_itself_and_a_stored_name_keeps_its_key(name: str) -> None:
    try:
        key = name_key(name)
    except InputError:
        return
    assert name_key(key) == key
    assert name_key(clean_name(name)) == key
    assert 0 < len(key) <= MAX_NAME


@pytest.mark.parametrize("reason", ["", "   ", "\n\t", "\u200b", "\u200b \u2060"])
def test_a_reason_that_cannot_be_read_is_none(reason: str) -> None:
    with pytest.raises(InputError, match="needs a reason"):
        clean_reason(reason, what="the rejection")


def test_a_reason_that_cannot_be_stored_is_refused() -> None:
    with pytest.raises(InputError, match="NUL"):
        clean_reason("because\x00", what="the rejection")
    with pytest.raises(InputError, match="4001 characters"):
        clean_reason("x" * 4001, what="the rejection")
