"""The site: Sphinx with furo. `make docs` builds it without a network; warnings are errors."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "_ext")]

from facesearch.version import __version__  # noqa: E402 - the checkout's, not an installed one

project = "facesearch"
author = copyright = "facesearch contributors"
version = release = __version__
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "myst_parser",
    "sphinx_copybutton",
    "sphinx_design",
    "made_from_code",
]
exclude_patterns = ["_build"]
smartquotes = False  # -- is an option, not a dash
default_role = "code"  # as our docstrings write it
nitpicky = True
# Types that belong to other packages or have no page here: no network, so no links to foreign documentation.
nitpick_ignore_regex = [("py:.*", r"(?!facesearch\.[A-Z]).*")]

html_theme = "furo"
html_title = f"facesearch {version}"
html_static_path = ["_static"]
html_css_files = ["facesearch.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"top_of_page_buttons": []}

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
maximum_signature_line_length = 90
napoleon_numpy_docstring = False
napoleon_use_ivar = True
python_use_unqualified_type_names = True
