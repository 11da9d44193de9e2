"""Work on many hosts at once that Ctrl-C can leave behind at any moment."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable


def in_parallel(jobs: Iterable[Callable[[], None]]) -> None:
    """Run every job in a thread of its own, and return when all have. A job that raises ends it all with its exception.

    The threads are daemons, unlike those of an executor, which Python waits for at its end: whoever presses Ctrl-C
    waits for nobody.
    """
    ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

    def work(job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as error:  # noqa: BLE001 - raised again below, where somebody sees it
            ended.put(error)
        else:
            ended.put(None)

    threads = [threading.Thread(target=work, args=(job,), daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    for _ in threads:
        if error := ended.get():
            raise error
