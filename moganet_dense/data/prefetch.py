"""Reads ahead in a thread, so that decoding and the network overlap."""

import threading
from collections.abc import Iterable, Iterator
from queue import Full, Queue
from typing import Any, TypeVar

Item = TypeVar('Item')
_END = object()


def ahead(items: Iterable[Item], size: int) -> Iterator[Item]:
    """Yields the items in order; up to ``size`` are computed ahead in a thread.

    Their errors are raised here. OpenCV decodes without Python's lock, so it runs in parallel with
    the network.
    """
    queue: Queue[Any] = Queue(max(1, size))
    left = threading.Event()

    def put(item: Any) -> bool:
        while not left.is_set():
            try:
                queue.put(item, timeout=0.1)
                return True
            except Full:
                continue
        return False

    def work() -> None:
        try:
            for item in items:
                if not put(item):
                    return
            put(_END)
        except BaseException as error:  # raised where the items are read
            put(_Failure(error))

    threading.Thread(target=work, daemon=True, name='reads ahead').start()
    try:
        while (item := queue.get()) is not _END:
            if isinstance(item, _Failure):
                raise item.error
            yield item
    finally:
        left.set()


class _Failure:
    """What was raised in the thread."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
