"""Prints a job child's CPU seconds: up to its first torch operation, and for the demo at quick.

Light, as children import their main module.
"""

import multiprocessing
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

DEMO = Path(__file__).parents[2] / "deploy" / "demo"


def first_operation(pipe: Connection) -> None:
    import torch  # noqa: PLC0415 - loaded already in the fork server

    (torch.ones(4, 4) @ torch.ones(4, 4)).sum()
    pipe.send(time.process_time())


def demo(pipe: Connection) -> None:
    import torch  # noqa: PLC0415 - loaded already in the fork server

    from analysis.options import parse_options  # noqa: PLC0415 - the same
    from analysis.pipeline import analyze  # noqa: PLC0415 - the same

    torch.set_num_threads(1)
    model, batch = (DEMO / "deep_sigmoid.onnx").read_bytes(), (DEMO / "batch.npz").read_bytes()
    analyze(model, batch, parse_options({"effort": "quick"})).to_json()
    pipe.send(time.process_time())


def main(work: Callable[[Connection], None]) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["service.worker.preload"])
    taken = []
    for _ in range(5):
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=work, args=(sender,))
        process.start()
        taken.append(receiver.recv())
        process.join()
    print(min(taken))  # noqa: T201


if __name__ == "__main__":
    main(demo if "demo" in sys.argv else first_operation)
