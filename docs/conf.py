"""Sphinx configuration: pages of `docs` are executed, and what they say is produced by the build.

Environment variables: ``DOCS_QUICK`` leaves out what takes long (only the pages of `EXECUTED_QUICKLY` are executed, and
no script of the gallery), ``DOCS_CACHE`` executes what was changed only, ``DOCS_INVENTORIES`` looks up names of other
projects on their sites, which needs a network.
"""

import os
import sys
from importlib.metadata import version as installed_version
from pathlib import Path

HERE = Path(__file__).resolve().parent
SUPPORT = HERE / "support"
sys.path.insert(0, str(SUPPORT))
QUICK = bool(os.environ.get("DOCS_QUICK"))
EXECUTED_QUICKLY = {"index", "tutorial", "conventions", "bibliography"}

# Kernels of pages find the helpers of this folder, show figures of matplotlib as pictures, and write in one language.
os.environ["IPYTHONDIR"] = str(SUPPORT / "ipython")
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(SUPPORT), os.environ.get("PYTHONPATH"))))
os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
os.environ["DASK_LOGGING__DISTRIBUTED"] = "critical"

project = "dmft-sym"
author = "the dmft-sym authors"
copyright = "2026, the dmft-sym authors"
release = installed_version("dmft-sym")

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "public_names",
    "tagged_equations",
]
exclude_patterns = ["_build", "support", "gallery/*.py", "gallery/GALLERY_HEADER.rst", "auto_gallery/*.ipynb"]
suppress_warnings = ["config.cache"]

myst_enable_extensions = ["amsmath", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "cache" if os.environ.get("DOCS_CACHE") else "auto"
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_merge_streams = True
nb_render_markdown_format = "myst"
if QUICK:
    pages = (path.relative_to(HERE).with_suffix("") for path in HERE.rglob("*.md"))
    suppress_warnings.append("myst-nb.lexer")  # only kernels say which language cells are in
    nb_execution_excludepatterns = [f"{page}.md" for page in pages if str(page) not in EXECUTED_QUICKLY]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

intersphinx_mapping = {}
linkcheck_ignore = [] if os.environ.get("DOCS_INVENTORIES") else [r"https?://"]  # links among pages need no network
if os.environ.get("DOCS_INVENTORIES"):
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "sympy": ("https://docs.sympy.org/latest", None),
        "xarray": ("https://docs.xarray.dev/en/stable", None),
        "matplotlib": ("https://matplotlib.org/stable", None),
    }

sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "auto_gallery",
    "filename_pattern": r"\.py$",
    "plot_gallery": not QUICK,
    "abort_on_example_error": True,
    "image_scrapers": ("figure_scraper",),
    "reset_modules": ("matplotlib",),
    "min_reported_time": 1,
    "show_memory": False,
    "download_all_examples": False,
    "within_subsection_order": "FileNameSortKey",
    "notebook_images": False,
}

html_theme = "furo"
html_title = "dmft-sym"
