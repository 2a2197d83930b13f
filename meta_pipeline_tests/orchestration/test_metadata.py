"""Links from Dagster's metadata to the web pages."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from meta_pipeline.orchestration.metadata import MAX_ROWS, on_the_pages, strategy_pages
from meta_pipeline.settings import Settings


def settings(home: Path, address: str) -> Settings:
    return Settings(_env_file=None, home=home, pages_url=address)  # type: ignore[call-arg]


def test_a_name_stays_text_and_its_address_is_quoted(tmp_path: Path) -> None:
    links = strategy_pages(["](https://evil.example) <b>"])
    (shown,) = on_the_pages(settings(tmp_path, "https://loop.example/"), links).values()
    assert shown.value == (
        "- [\\]\\(https:\u2060//evil\\.example\\) &lt;b&gt;]"
        "(https://loop.example/pages/strategy?id=%5D%28https%3A%2F%2Fevil.example%29+%3Cb%3E)"
    ).replace("\u2060", "&#8288;").replace("https:&", "https\\:&")


def test_without_an_address_there_are_no_links(tmp_path: Path) -> None:
    assert on_the_pages(settings(tmp_path, ""), [("what waits", "inbox")]) == {}
    assert on_the_pages(settings(tmp_path, "http://127.0.0.1:8000"), []) == {}


def test_a_list_of_links_ends_where_the_ui_would_fold_it(tmp_path: Path) -> None:
    (shown,) = on_the_pages(settings(tmp_path, "https://loop.example"), strategy_pages(["S"] * 500)).values()
    assert str(shown.value).count("\n") == MAX_ROWS - 1


@pytest.mark.parametrize("address", ["javascript:alert(1)", "loop.example", "https://loop.example/a) [x](y"])
def test_what_is_no_address_is_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(ValidationError, match="pages_url"):
        settings(tmp_path, address)
