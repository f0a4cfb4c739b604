"""Operators of ai.onnx.ml, written anew with those of the standard.

`rewrite.py` says what is done with a graph, `writer.py` what a rewriting has at hand.
"""

from analysis.model.traditional.rewrite import Rewritten, rewrite_traditional
from analysis.model.traditional.writer import DOMAIN, REWRITINGS

__all__ = ["DOMAIN", "REWRITINGS", "Rewritten", "rewrite_traditional"]
