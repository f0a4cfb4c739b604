"""CPU time of alternatives in one process, taken in turns, as a ratio to the first."""

import gc
import os
import statistics
import time
from collections.abc import Callable, Mapping

from service.worker.allocator import keep_freed_memory

keep_freed_memory()  # as in a job: what glibc maps anew each time varies by 40 % from run to run
CLOCK = time.perf_counter if os.environ.get("GRADIENT_HEALTH_BENCH_CLOCK") == "wall" else time.process_time
SECONDS = 12.0
ROUNDS = 9


def ratios(alternatives: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Median over rounds of each alternative's time by the first one's in the same round; order A B B A."""
    names = list(alternatives)
    rounds: list[dict[str, float]] = []
    for name in names:
        alternatives[name]()
    started = time.perf_counter()
    while len(rounds) < ROUNDS and (len(rounds) < 3 or time.perf_counter() - started < SECONDS):
        order = names if len(rounds) % 2 == 0 else names[::-1]
        rounds.append({name: seconds(alternatives[name]) for name in order})
    return {name: statistics.median(each[name] / each[names[0]] for each in rounds) for name in names}


def best(function: Callable[[], object], rounds: int = 5) -> float:
    """Smallest time of several."""
    return min(seconds(function) for _ in range(rounds))


def seconds(function: Callable[[], object]) -> float:
    """CPU seconds of one call."""
    gc.collect()
    gc.disable()
    try:
        before = CLOCK()
        function()
        return CLOCK() - before
    finally:
        gc.enable()
