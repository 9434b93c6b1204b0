"""Threads that run functions handed to them: a `ccnode.chain.ports.Worker` on gevent's thread pool.

One thread, so functions run one after another and may own a file or a database. Only the greenlet that waits for a
result stands still. A round trip takes 0.1 ms. What a function raises on purpose is carried back as a value, because
the pool prints what a job raises.
"""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from gevent.event import AsyncResult
from gevent.threadpool import ThreadPool

from ccnode.errors import CcnodeError

T = TypeVar("T")


class ThreadTask(Generic[T]):
    """A `ccnode.chain.ports.Task` on a thread."""

    def __init__(self, result: AsyncResult) -> None:
        self._result = result

    def wait(self) -> T:
        """See `ccnode.chain.ports.Task`."""
        outcome = self._result.get()
        if isinstance(outcome, CcnodeError):
            try:
                raise outcome
            finally:
                del outcome  # it holds this frame, and would be freed by the next full collection only
        return outcome  # type: ignore[no-any-return]


class ThreadWorker:
    """A `ccnode.chain.ports.Worker` with a thread of its own. Call `close` when done."""

    def __init__(self) -> None:
        self._pool = ThreadPool(1)

    def wait_run(self, function: Callable[..., T], *args: Any) -> T:
        """See `ccnode.chain.ports.Worker`."""
        return self.start(function, *args).wait()

    def start(self, function: Callable[..., T], *args: Any) -> ThreadTask[T]:
        """See `ccnode.chain.ports.Worker`."""
        return ThreadTask(self._pool.spawn(_outcome, function, args))

    def close(self) -> None:
        """End the thread, after what it is doing."""
        self._pool.kill()


def _outcome(function: Callable[..., T], args: tuple[Any, ...]) -> T | CcnodeError:
    try:
        return function(*args)
    except CcnodeError as error:
        # What led to it would keep alive whatever the function had in hand: half of a block can be 80 MB.
        error.__traceback__ = error.__context__ = error.__cause__ = None
        return error
