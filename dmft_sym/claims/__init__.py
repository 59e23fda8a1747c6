"""Claims of arXiv:2605.07870, each a file: what is computed, against what, and when it holds."""
