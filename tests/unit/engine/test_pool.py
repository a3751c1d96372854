"""Calls run beside one another, at most eight; what they did or raised comes back once."""

import threading

from batchflow.engine.pool import THREADS, Done, HttpPool


def test_results_and_errors_come_back_under_their_keys() -> None:
    pool = HttpPool()
    pool.submit("a", lambda: 7)
    pool.submit(("b", 1), lambda: 1 // 0)
    assert pool.busy == {"a", ("b", 1)}
    found: list[Done] = []
    while pool.busy:
        found += pool.wait(5)
    results = {done.key: done for done in found}
    assert results["a"].result == 7
    assert isinstance(results["b", 1].error, ZeroDivisionError)
    assert pool.wait(0) == []


def test_even_an_exit_does_not_kill_the_thread() -> None:
    def leave() -> None:
        raise SystemExit

    pool = HttpPool()
    pool.submit("a", leave)
    (done,) = pool.wait(5)
    assert isinstance(done.error, SystemExit)
    pool.submit("b", lambda: threading.current_thread().name)
    (done,) = pool.wait(5)
    assert done.result == "http-1"


def test_at_most_eight_calls_run_at_once_and_none_is_forgotten() -> None:
    pool, go, lock = HttpPool(), threading.Event(), threading.Lock()
    running: list[int] = []
    most = [0]

    def call() -> None:
        with lock:
            running.append(1)
            most[0] = max(most[0], len(running))
        go.wait(5)
        with lock:
            running.pop()

    for number in range(3 * THREADS):
        pool.submit(number, call)
    assert pool.wait(0.02) == []
    go.set()
    ended: list[Done] = []
    while pool.busy:
        ended += pool.wait(5)
    assert sorted(str(done.key) for done in ended) == sorted(map(str, range(3 * THREADS)))
    assert 1 <= most[0] <= THREADS == 8


def test_a_hanging_call_does_not_keep_the_process_alive() -> None:
    pool = HttpPool()
    pool.submit("a", threading.Event().wait)
    assert pool.wait(0.01) == []
    assert all(thread.daemon for thread in threading.enumerate() if thread.name.startswith("http-"))
