"""How answers lead to other operations, in OpenAPI's terms: for readers of the documentation, and for its tests."""

from typing import Any

from fastapi.routing import APIRoute


def operation_id(route: APIRoute) -> str:
    """Return the stable name of an operation: its subject and its function."""
    subject = str(route.tags[-1]) if route.tags else "other"
    return f"{subject}_{route.name}".replace(" ", "_").replace("-", "_")


def leads_to(**operations: dict[str, str]) -> dict[str, Any]:
    """Return OpenAPI links: operation -> its parameters, as expressions on the answer."""
    return {name: {"operationId": name, "parameters": parameters} for name, parameters in operations.items()}


def of_first_item(field: str, parameter: str, *operations: str) -> dict[str, Any]:
    """Return links from a list: what can be asked of its first item, by the item's id."""
    return leads_to(**{name: {parameter: f"$response.body#/items/0/{field}"} for name in operations})
