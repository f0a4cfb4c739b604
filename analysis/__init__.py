"""Gradient health of ONNX models: the library behind the service.

Start reading at :mod:`analysis.pipeline`: it is the table of contents. Importing this package, or any part of the
clinic (facts, rules, ranking, report, rendering), loads neither torch nor onnx.
"""
