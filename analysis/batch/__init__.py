"""Bytes to a Batch: the sample that everything is measured on.

`load.py` reads one; `analysis.synthesis` makes one up.
"""

from analysis.batch.load import load_batch
from analysis.batch.samples import Batch

__all__ = ["Batch", "load_batch"]
