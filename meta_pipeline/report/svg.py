"""A drawing as SVG inside a page: text that can be read and copied, colours that the page's style sheet gives.

matplotlib writes colours into style attributes, which a strict content security policy forbids, and which could not
follow light and dark. So what it writes is taken apart, and written anew: colours become classes, the rest plain
attributes. The same drawing gives the same bytes in every process.
"""

import io
import re
from collections.abc import Mapping
from typing import Final
from xml.etree import ElementTree

from meta_pipeline.report.drawings import BLUE, GREY, GRID, INK, VERMILION, Drawing

WIDTH_INCHES: Final = 7.6
_SVG: Final = "{http://www.w3.org/2000/svg}"
_LINK: Final = "{http://www.w3.org/1999/xlink}href"
_KEPT: Final = frozenset(
    {"stroke-width", "stroke-dasharray", "stroke-dashoffset", "stroke-linecap", "stroke-linejoin", "text-anchor"}
    | {"fill-opacity", "stroke-opacity", "opacity"}
)
_CLASSES: Final[Mapping[str, str]] = {
    BLUE.lower(): "blue",
    VERMILION.lower(): "vermilion",
    GREY.lower(): "grey",
    GRID.lower(): "grid",
    INK.lower(): "ink",
    "#000000": "ink",
    "#ffffff": "paper",
}
_NAME: Final = re.compile(r"[a-z][a-z0-9-]*")
_FONT_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)px")
_REFERENCE: Final = re.compile(r"url\(#([^)]+)\)")
# What the SVG of a chart consists of; anything else that a library might add is left out.
_TAGS: Final = frozenset({"svg", "g", "path", "defs", "use", "clipPath", "rect", "text", "tspan", "line"})


def svg(drawing: Drawing, *, name: str, says: str) -> str:
    """Return a drawing as an <svg> element for HTML, without style attributes and scripts.

    Parameters
    ----------
    name
        Of the chart on its page: makes its ids its own. Lower case, digits and hyphens.
    says
        What it shows, for those who cannot see it.

    Raises
    ------
    ValueError
        If the name is none.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a chart; take lower case letters, digits and hyphens")
    root = ElementTree.fromstring(_matplotlib_svg(drawing, name))  # noqa: S314  # written by matplotlib a moment ago
    written = _element(root, name)
    written.attrib.clear()
    width, height = 72 * WIDTH_INCHES, 72 * drawing.height
    written.attrib |= {"viewBox": f"0 0 {width:g} {height:g}", "role": "img", "aria-label": says, "class": "chart"}
    return ElementTree.tostring(written, encoding="unicode", short_empty_elements=False)


def _matplotlib_svg(drawing: Drawing, name: str) -> str:
    from matplotlib import rc_context, style
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    # Other libraries in the process may have changed matplotlib's defaults (seaborn does).
    with style.context("default", after_reset=True), rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure = Figure(figsize=(WIDTH_INCHES, drawing.height), dpi=72, layout="constrained")
        FigureCanvasSVG(figure)
        figure.patch.set_visible(False)
        drawing.draw(figure)
        for axes in figure.axes:
            axes.patch.set_visible(False)
            axes.spines[["top", "right"]].set_visible(False)
            axes.tick_params(axis="x", labelsize=8)
        written = io.StringIO()
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return written.getvalue()


def _element(source: ElementTree.Element, name: str) -> ElementTree.Element:
    element = ElementTree.Element(source.tag.removeprefix(_SVG))
    element.text = source.text if element.tag in {"text", "tspan"} else None
    classes: list[str] = []
    for key, value in source.attrib.items():
        if key == "style":
            classes += _styled(element, value)
        elif key == "id":
            element.set("id", f"{name}-{value}")
        elif key == _LINK:
            element.set("href", f"#{name}-{value.removeprefix('#')}")
        elif not key.startswith("{"):
            element.set(key, _REFERENCE.sub(rf"url(#{name}-\1)", value))
    if element.tag == "text" and not any(one.startswith("fill-") for one in classes):
        classes.append("fill-ink")
    if classes:
        element.set("class", " ".join(classes))
    for child in source:
        if child.tag.removeprefix(_SVG) in _TAGS:
            element.append(_element(child, name))
    return element


def _styled(element: ElementTree.Element, style: str) -> list[str]:
    """Write a style attribute as plain attributes, and return the classes of its colours."""
    classes = []
    for part in style.split(";"):
        key, _, value = (piece.strip() for piece in part.partition(":"))
        if key in {"fill", "stroke"}:
            known = _CLASSES.get(value.lower())
            if known is None:
                element.set(key, value)
            else:
                classes.append(f"{key}-{known}")
        elif key in {"font", "font-size"} and (found := _FONT_SIZE.search(value)):
            element.set("font-size", found.group(1))
        elif key in _KEPT:
            element.set(key, value)
    return classes
