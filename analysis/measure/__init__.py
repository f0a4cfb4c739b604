"""One measurement: two backward passes, and everything they show.

Open `passes.py` first; `examine.py` asks the unchanged model more.
"""
