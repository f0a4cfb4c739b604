"""A variant ready to be measured: its module, its loss, its batch; and the check against onnxruntime.

Open `preparation.py` first.
"""
