"""What the pages share: their templates, and pictures that lie inside a page. Names are text there, never
markup.
"""

from __future__ import annotations

import base64

from jinja2 import Environment, PackageLoader, StrictUndefined

from facesearch.version import __version__

TEMPLATES = Environment(
    loader=PackageLoader("facesearch.report"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def rendered(template: str, **values: object) -> str:
    """A page or a drawing from the template of this name."""
    return TEMPLATES.get_template(template).render(version=__version__, **values)


def data_url(picture: bytes, kind: str) -> str:
    """A picture as an address that holds it; kind: jpeg or png."""
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"
