"""The proposal-quality benchmark: campaigns whose truth is planted, and three ways of making proposals of them."""

import os as _os

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    _os.environ.setdefault(_name, "1")  # the matrices are small: more threads only get in each other's way
