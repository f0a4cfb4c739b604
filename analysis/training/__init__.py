"""The short real training.

`probe.py` trains, `trainer.py` decides which trainings an analysis pays for.
"""
