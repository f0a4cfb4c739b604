"""Bytes to a CheckedModel: the graph as a small proto, its tensors as mapped views.

`check.py` has the stages in order, `checked.py` what comes of them, `nodes.py` what a node says.
"""

from analysis.model.check import check_model
from analysis.model.checked import CheckedModel

__all__ = ["CheckedModel", "check_model"]
