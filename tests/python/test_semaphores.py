"""The semaphores that stand in for those which the system refuses."""

from __future__ import annotations

import multiprocessing
import multiprocessing.synchronize
import threading
from multiprocessing.pool import ThreadPool
from typing import Any

import pytest
from provara.plugins import _semaphores


class Refusing:
    """What makes a semaphore where the system gives none."""

    SEM_VALUE_MAX = 2**31 - 1
    _rebuild = None

    def __new__(cls, *_: object) -> Refusing:
        raise PermissionError(13, "Permission denied")


@pytest.fixture(autouse=True)
def refused(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = multiprocessing.synchronize
    local = _semaphores._with_fallback(Refusing)
    monkeypatch.setattr(module._multiprocessing, "SemLock", local)


def test_the_systems_own_is_taken_where_there_is_one() -> None:
    class Giving(Refusing):
        def __new__(cls, *_: object) -> Giving:
            return object.__new__(cls)

    made = _semaphores._with_fallback(Giving)(1, 1, 1, "/name", True)
    assert isinstance(made, Giving)


def test_a_pool_of_threads_and_a_queue() -> None:
    with ThreadPool(4) as pool:
        assert pool.map(abs, range(-50, 50), chunksize=1)[0] == 50
    queue: Any = multiprocessing.SimpleQueue()
    thread = threading.Thread(target=queue.put, args=(3,))
    thread.start()
    assert queue.get() == 3
    thread.join()


def test_a_recursive_lock_is_its_owners() -> None:
    lock = multiprocessing.RLock()
    with lock:
        assert lock.acquire(block=False)
        others: list[bool] = []
        thread = threading.Thread(target=lambda: others.append(lock.acquire(timeout=0.01)))
        thread.start()
        thread.join()
        assert others == [False]
        lock.release()
    with pytest.raises(AssertionError, match="not owned"):
        lock.release()


def test_a_bound_is_held_and_a_lock_goes_to_the_next() -> None:
    limit = multiprocessing.BoundedSemaphore(2)
    assert limit.acquire() and limit.acquire() and not limit.acquire(block=False)
    waiting = threading.Thread(target=limit.acquire)
    waiting.start()
    limit.release()
    waiting.join(10)
    assert not waiting.is_alive()
    limit.release()
    limit.release()
    with pytest.raises(ValueError, match="too many times"):
        limit.release()


def test_conditions_and_events() -> None:
    condition, event = multiprocessing.Condition(), multiprocessing.Event()

    def notify() -> None:
        with condition:
            condition.notify_all()
        event.set()

    with condition:
        threading.Timer(0.02, notify).start()
        assert condition.wait(10)
    assert event.wait(10) and event.is_set()
