"""What the fork server loads once, so that no child has to: the library, and what it loads only where it is needed.

What is in memory now stays as long as the fork server lives. Python's collector is told so, as every child would go
through half a million objects (.1 s), and get a copy of each page that they lie on.
"""

# ruff: noqa: E402 - it is tied to its supervisor before it loads anything for seconds
from service.worker.leash import die_with_parent

die_with_parent()

import gc

import numpy.ma  # noqa: F401 - numpy loads it with the first median
import onnx.reference  # noqa: F401 - for weights that are cut and joined on their way to an operator

import service.worker.child  # noqa: F401
from analysis.interventions.shelf import INTERVENTIONS

for treatment in INTERVENTIONS:
    treatment.load()
gc.collect()
gc.freeze()
