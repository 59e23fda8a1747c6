"""Papers behind the stages of a derivation, as BibTeX; `CITATION.cff` has the same ones (a test compares them)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .presentation import stages
from .stage import CITATIONS

if TYPE_CHECKING:
    from .problem import Problem

TOOLKIT = "dmft-sym: mean-field equations of network training, derived and solved"
_CITED = re.compile(r"\\cite\{(.*?)\}")


@dataclass(frozen=True)
class Paper:
    """A paper on arXiv, by family names of its authors; its key is that of a citation in stages."""

    key: str
    authors: tuple[str, ...]
    title: str

    @property
    def arxiv(self) -> str:
        """Its number."""
        return CITATIONS[self.key].removeprefix("arXiv:")

    @property
    def bibtex(self) -> str:
        """Its entry; the year is that of the number."""
        lines = [
            f"@misc{{{self.key},",
            f"  author = {{{' and '.join(self.authors)}}},",
            f"  title = {{{{{self.title}}}}},",
            f"  year = {{20{self.arxiv[:2]}}},",
            f"  eprint = {{{self.arxiv}}},",
            "  archivePrefix = {arXiv},",
            "}",
        ]
        return "\n".join(lines)


PAPERS = (
    Paper("spectral", ("Lauditi", "Pehlevan", "Bordelon"), "Spectral Dynamics in Deep Networks"),
    Paper(
        "linear",
        ("Bordelon", "Pehlevan"),
        "Deep Linear Network Training Dynamics from Random Initialization: Data, Width, Depth, and Hyperparameter "
        "Transfer",
    ),
    Paper(
        "dmft",
        ("Bordelon", "Pehlevan"),
        "Self-Consistent Dynamical Field Theory of Kernel Evolution in Wide Neural Networks",
    ),
    Paper("scaling", ("Bordelon", "Atanasov", "Pehlevan"), "A Dynamical Model of Neural Scaling Laws"),
    Paper("features", ("Bordelon", "Atanasov", "Pehlevan"), "How Feature Learning Can Improve Neural Scaling Laws"),
)
"""Those that stages cite."""


def cite(theory: Problem | None = None) -> str:
    """BibTeX of this toolkit and of the papers behind a theory.

    Parameters
    ----------
    theory
        What `derive` returned: papers that its stages and its setting cite. All of them without it.

    Returns
    -------
    str
        Entries of BibTeX, the toolkit first, with arXiv numbers.

    Raises
    ------
    AttributeError
        If the theory is none.

    See Also
    --------
    derive : makes a theory.

    References
    ----------
    ``CITATION.cff`` of this toolkit has the same entries.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> print(ds.cite().splitlines()[0])
    @software{dmft-sym,
    """
    entries = [f"@software{{dmft-sym,\n  author = {{{{The dmft-sym authors}}}},\n  title = {{{{{TOOLKIT}}}}},\n}}"]
    keys = set(CITATIONS) if theory is None else _cited(theory)
    return "\n\n".join([*entries, *(paper.bibtex for paper in PAPERS if paper.key in keys)]) + "\n"


def _cited(theory: Problem) -> set[str]:
    texts = [theory.data.text, *(stage.text for stage in stages(theory))]
    return {key.strip() for text in texts for group in _CITED.findall(text) for key in group.split(",")}
