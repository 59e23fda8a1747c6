"""Pictures of gallery scripts: figures of pyplot, and those that `dmft_sym.plot` and its kin returned."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from sphinx_gallery.scrapers import figure_rst


def _get_sg_image_scraper() -> Any:
    """The place where sphinx-gallery asks a module for its scraper."""
    return scrape


def scrape(block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """Save figures that a block made, and close them; a figure that is still bound to a name is not saved twice."""
    seen: set[int] = block_vars["example_globals"].setdefault("__saved_figures__", set())
    named = [value for value in block_vars["example_globals"].values() if isinstance(value, Figure)]
    figures = [*map(plt.figure, plt.get_fignums()), *named]
    paths = []
    for figure in dict.fromkeys(figures):
        if id(figure) not in seen:
            seen.add(id(figure))
            paths.append(next(block_vars["image_path_iterator"]))
            figure.savefig(paths[-1], dpi=120)
    plt.close("all")
    return figure_rst(paths, gallery_conf["src_dir"])
