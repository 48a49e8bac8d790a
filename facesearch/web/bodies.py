"""OpenAPI's words for requests with photos, whose bodies are taken apart by hand."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

SAMPLE = {"name": "beach.jpg", "data": "/9j/4AAQSkZJRg=="}
CLOSED = {"type": "object", "additionalProperties": False}
FILE = {"type": "string", "format": "binary"}
PHOTO = {
    **CLOSED,
    "required": ["data"],
    "properties": {
        "name": {"type": "string", "maxLength": 255},
        "data": {"type": "string", "format": "byte"},
    },
}


def one_photo(options: type[BaseModel]) -> dict[str, Any]:
    """A request with a photo and these options, as a form or in JSON."""
    return _body(options, "photo", PHOTO, FILE, SAMPLE)


def many_photos(options: type[BaseModel], most: int, *, fewest: int = 1) -> dict[str, Any]:
    """The same with so many photos."""
    several = {"type": "array", "minItems": fewest, "maxItems": most}
    return _body(
        options, "photos", {**several, "items": PHOTO}, {**several, "items": FILE}, [SAMPLE] * fewest
    )


def _body(
    options: type[BaseModel], key: str, in_json: dict[str, Any], in_form: dict[str, Any], sample: Any
) -> dict[str, Any]:
    """key: of the photos in JSON; in a form it is always `photo`."""
    schema = options.model_json_schema()
    properties, required = schema.get("properties", {}), schema.get("required", [])
    form = {**CLOSED, "properties": {"photo": in_form, **properties}, "required": ["photo", *required]}
    json = {**CLOSED, "properties": {key: in_json, **properties}, "required": [key, *required]}
    content = {
        "multipart/form-data": {"schema": form},
        "application/json": {"schema": json, "example": {key: sample, **schema["examples"][0]}},
    }
    return {"requestBody": {"required": True, "content": content}}
