"""Prints a job child's CPU seconds up to its first torch operation; light, as children import their main module."""

import multiprocessing
import time
from multiprocessing.connection import Connection


def first_operation(pipe: Connection) -> None:
    import torch  # noqa: PLC0415 - loaded already in the fork server

    (torch.ones(4, 4) @ torch.ones(4, 4)).sum()
    pipe.send(time.process_time())


def main() -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["service.worker.child"])
    taken = []
    for _ in range(5):
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=first_operation, args=(sender,))
        process.start()
        taken.append(receiver.recv())
        process.join()
    print(min(taken))  # noqa: T201


if __name__ == "__main__":
    main()
