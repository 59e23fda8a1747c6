"""Sphinx configuration."""

from importlib.metadata import version as installed_version

project = "dmft-sym"
author = "the dmft-sym authors"
copyright = "2026, the dmft-sym authors"
release = installed_version("dmft-sym")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "sphinx.ext.napoleon"]
myst_enable_extensions = ["amsmath", "dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_google_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = "dmft-sym"
