"""A checked model as a torch module with its own weights as parameters.

`translate.py` has the whole, `builder.py` how nodes become closures, `ops` the operators by family, `registry.py` how
an operator is found.
"""

from analysis.convert.module import DifferentiableModel
from analysis.convert.translate import convert

__all__ = ["DifferentiableModel", "convert"]
