"""Ids of variants, taken apart without the code that makes them."""

STEPS = frozenset({"clip", "clip_value", "clip_adaptive", "decay"})


def without_steps(name: str) -> str:
    """The id of the same network without its gradient step."""
    return "+".join(token for token in name.split("+") if token not in STEPS)
