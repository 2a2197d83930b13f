"""Text that came from outside, made safe for a spreadsheet that opens an exported CSV file."""

import json
from typing import Final

from meta_pipeline.canonical import JsonValue

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What spreadsheets take for the start of a formula, full-width forms included."""


def safe_cell(value: JsonValue) -> str:
    """Write a value so that no spreadsheet takes it for a formula: a text that would begin one gets an apostrophe."""
    if value is None:
        return ""
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"'{text}" if text.lstrip(" \u00a0").startswith(_FORMULA) else text
