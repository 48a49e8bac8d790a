"""The library's answers as pydantic models: what `/v1` is described by, and what the JSON Schemas in
facesearch/schema are made from.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
import types
import typing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, create_model

LEFT_OUT = "crop"
"""A field of pixels, which no JSON holds."""


@functools.cache
def model_of(cls: type) -> type[BaseModel]:
    """A model with the fields of one of our dataclasses, and nothing else. Arrays become lists of numbers,
    paths text.
    """
    hints = typing.get_type_hints(cls, include_extras=True)
    summary, words = _described(cls)
    fields: dict[str, Any] = {}
    for each in dataclasses.fields(cls):
        if each.name != LEFT_OUT:
            name = (
                f"{each.name}_" if hasattr(BaseModel, each.name) else each.name
            )  # `schema` is a method of pydantic's
            told = Field(alias=each.name, description=words.get(each.name))
            fields[name] = _shape(hints[each.name]), told
    config = ConfigDict(extra="forbid", protected_namespaces=())
    return create_model(cls.__name__, __config__=config, __doc__=summary, **fields)


def _described(cls: type) -> tuple[str, dict[str, str]]:
    """A class's docstring without its section of attributes; and what that says of each, or a base's does."""
    summary, words = "", dict[str, str]()
    for each in reversed(cls.__mro__):
        summary, _, section = (inspect.getdoc(each) or "").partition("\n\nAttributes:\n")
        entries = re.split(r"^    (\w+): ", section, flags=re.MULTILINE)
        for name, told in zip(entries[1::2], entries[2::2], strict=True):
            words[name] = " ".join(told.split())
    return summary, words


def _shape(hint: Any) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return model_of(hint)
    if origin in (np.ndarray, NDArray):  # from NumPy 2.5 on NDArray is an alias with a name of its own
        return list[float]
    if hint is Path:
        return str
    if origin is tuple and arguments[-1] is Ellipsis:
        return list[_shape(arguments[0])]  # type: ignore[misc]
    if origin is tuple:
        return tuple[tuple(map(_shape, arguments))]  # type: ignore[misc]
    if origin in (list, dict):
        return origin[tuple(map(_shape, arguments))]
    if origin in (typing.Union, types.UnionType):
        return typing.Union[tuple(map(_shape, arguments))]  # noqa: UP007 - made of values
    return hint
