"""How the site is built: ``make site``. Neither the build nor its pages need a network.

Its source is the whole repository, so that links lead to the same places here and on a forge.
"""

from __future__ import annotations

from typing import Any

import aisdk

project = "aisdk"
author = "the aisdk authors"
version = release = aisdk.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "docs/index"
include_patterns = ["docs/**", "notebooks/*.ipynb", "CHANGELOG.md", "SECURITY.md"]
exclude_patterns = [".*", "aisdk", "benchmarks", "build", "tests", "docs/adr/README.md"]
default_role = "any"  # docstrings write `Page` for a link

autodoc_member_order = "bysource"
add_module_names = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 90
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # attributes in a list; the signature has their types
napoleon_attr_annotations = False
napoleon_use_rtype = False  # a type would be the words before a colon in Returns

myst_heading_anchors = 3
nb_execution_mode = "off"  # the outputs that the notebooks were saved with
nb_ipywidgets_js: dict[str, dict[str, str]] = {}  # by default from other hosts

html_theme = "pydata_sphinx_theme"
html_title = "aisdk"
html_sidebars: dict[str, list[str]] = {"docs/how-to": [], "CHANGELOG": []}  # nothing below them
html_static_path = ["static"]
html_extra_path = ["root"]  # leads from the root of the site to its first page
html_css_files = ["site.css"]
html_context = {"default_mode": "auto"}  # light or dark as the reader's system
html_show_copyright = False
html_copy_source = False
html_theme_options = {
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "footer_start": ["sphinx-version"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": True,
}


def without_marks(_: Any, name: str, source: list[str]) -> None:
    """Leaves out of notebooks the lines that tell nbval which outputs to compare."""
    if name.startswith("notebooks/"):
        source[0] = source[0].replace(r'"# NBVAL_CHECK_OUTPUT\n",', "")


def setup(app: Any) -> None:
    """What Sphinx calls before it builds."""
    app.connect("source-read", without_marks)
