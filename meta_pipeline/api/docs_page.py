"""The documentation at /docs: the OpenAPI document as one page of HTML that loads nothing from elsewhere.

The usual viewers come from a content delivery network; a server that moves money should not hand its pages to one, and
many of them have no way out.
"""

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:60rem;padding:1.5rem;color:#1a1a1a;background:#fff}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem;border-bottom:1px solid #ccc}
summary{cursor:pointer;padding:.35rem 0}details{border-bottom:1px solid #eee}
code,pre{font:13px/1.4 ui-monospace,monospace}pre{background:#f5f5f5;padding:.6rem;overflow:auto}
.m{display:inline-block;width:4rem;font-weight:600}.GET{color:#06603a}.POST{color:#8a3b00}
table{border-collapse:collapse;margin:.4rem 0}td,th{text-align:left;padding:.15rem .8rem .15rem 0;vertical-align:top}
@media(prefers-color-scheme:dark){body{background:#161616;color:#e6e6e6}pre{background:#222}
h2{border-color:#444}details{border-color:#2a2a2a}.GET{color:#5fd0a0}.POST{color:#f0a868}}
"""


def docs_page(openapi: Mapping[str, Any]) -> str:
    """Return the page."""
    tags: dict[str, list[str]] = {}
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            tag = operation.get("tags", ["other"])[-1]
            tags.setdefault(tag, []).append(_operation(method.upper(), path, operation, openapi))
    sections = "".join(f"<h2>{escape(tag)}</h2>{''.join(parts)}" for tag, parts in tags.items())
    info = openapi["info"]
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width,initial-scale=1">'
        f"<title>{escape(info['title'])}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1>"
        f"{_paragraphs(info.get('description', ''))}"
        '<p>As a document for programs: <a href="/openapi.json">openapi.json</a></p>'
        f"{sections}</body></html>"
    )


def _operation(method: str, path: str, operation: Mapping[str, Any], openapi: Mapping[str, Any]) -> str:
    rows = "".join(_parameter(one) for one in operation.get("parameters", []))
    table = f"<table><tr><th>parameter<th>in<th>is{rows}</table>" if rows else ""
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    asks = f"<p>Body:</p><pre>{_example(body, openapi)}</pre>" if body else ""
    statuses = "".join(
        f"<tr><td><code>{escape(status)}</code><td>{escape(one.get('description', ''))}"
        for status, one in sorted(operation.get("responses", {}).items())
    )
    said = operation.get("description", "")
    return (
        f"<details><summary><span class='m {method}'>{method}</span> <code>{escape(path)}</code></summary>"
        f"{_paragraphs(said)}{table}{asks}<table>{statuses}</table></details>"
    )


def _parameter(parameter: Mapping[str, Any]) -> str:
    schema = parameter.get("schema", {})
    parts = [_type(schema)]
    if parameter.get("required"):
        parts.append("required")
    if "default" in schema:
        parts.append(f"default {json.dumps(schema['default'])}")
    if parameter.get("description"):
        parts.append(parameter["description"])
    where = f"<td><code>{escape(parameter['name'])}</code><td>{escape(parameter['in'])}"
    return f"<tr>{where}<td>{escape(', '.join(parts))}"


def _type(schema: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"] if one.get("type") != "null")
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return str(schema.get("type", "any"))


def _example(schema: Mapping[str, Any], openapi: Mapping[str, Any]) -> str:
    return escape("\n".join(_shape(schema, openapi, "")))


def _shape(schema: Mapping[str, Any], openapi: Mapping[str, Any], indent: str) -> Iterator[str]:
    """Write the fields of a body, one per line, nested ones further in."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        schema = openapi["components"]["schemas"][name]
    required = set(schema.get("required", []))
    for name, field in schema.get("properties", {}).items():
        note = "" if name in required else "  (may be left out)"
        values = f"  one of {', '.join(map(json.dumps, field['enum']))}" if "enum" in field else ""
        yield f"{indent}{name}: {_type(field)}{values}{note}  {field.get('description', '')}".rstrip()
        inner = field.get("items", field)
        if "$ref" in inner:
            yield from _shape(inner, openapi, indent + "  ")


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{escape(part)}</p>" for part in text.split("\n\n") if part.strip())
