"""Links of the documents lead somewhere, their pictures exist, and every page can be reached from the front page."""

from pathlib import Path, PurePosixPath

from meta_pipeline_tests.docs.pages import ROOT, anchors, links, pages


def target_of(page: str, link: str) -> tuple[str, str]:
    """Return the path from the root, and the anchor, that a link of a page leads to."""
    path, _, anchor = link.partition("#")
    if not path:
        return page, anchor
    return str((ROOT / page).parent.joinpath(path).resolve().relative_to(ROOT)), anchor


def internal(page: str) -> list[tuple[bool, str]]:
    return [(image, link) for image, link in links(page) if "://" not in link and not link.startswith("mailto:")]


def test_every_link_leads_to_a_file_and_a_heading_that_are_there() -> None:
    broken = []
    seen = 0
    for page in pages():
        for _, link in internal(page):
            seen += 1
            path, anchor = target_of(page, link)
            if not (ROOT / path).exists():
                broken.append(f"{page}: {link}: no such file")
            elif anchor and path.endswith(".md") and anchor not in anchors(path):
                broken.append(f"{page}: {link}: no such heading; there are {', '.join(sorted(anchors(path)))}")
    assert seen > 60
    assert broken == []


def test_every_picture_is_shown_somewhere_with_words_for_who_does_not_see_it() -> None:
    shown = {target_of(page, link)[0] for page in pages() for image, link in internal(page) if image}
    kept = {str(PurePosixPath("docs/img") / file.name) for file in (ROOT / "docs/img").iterdir() if file.is_file()}
    assert shown <= kept
    text = "".join((ROOT / page).read_text(encoding="utf-8") for page in pages())
    assert "![](" not in text


def test_every_page_is_reached_from_the_front_page() -> None:
    reached, waiting = set(), ["README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        found = (target_of(page, link)[0] for _, link in internal(page))
        waiting += [path for path in found if path.endswith(".md") and Path(ROOT / path).exists()]
    assert set(pages()) - reached == set()
