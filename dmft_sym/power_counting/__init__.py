"""Powers of the width: counted through the single-site equations, found where open, checked on finite networks.

`scaling.py` is the call and the place to begin reading. `program.py` puts a symbol for every exponent into a network's
training program, `equations.py` writes its derived equations out, `counting.py` marches them in exponents (`powers.py`
is the algebra, `functions.py` what site-wise functions do to it), `search.py` finds what was left open and
`coordinate_check.py` trains networks of growing width.
"""
