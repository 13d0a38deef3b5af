"""The pool policy: examples first, then its invariants under any order of events (property-based)."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from jupyter_lambda.engine.pool import Assign, Fail, Pool, PoolLimits, Start, Stop, Throttle
from jupyter_lambda.model.environment import EnvironmentState

F1 = ("f", "$LATEST", "r1")
F2 = ("f", "$LATEST", "r2")
G = ("g", "$LATEST", "r1")


def make(concurrency: int = 10, memory_mb: int = 1024, keep_alive_s: float = 60, queue_timeout_s: float = 30) -> Pool:
    return Pool(PoolLimits(concurrency, memory_mb, keep_alive_s, queue_timeout_s))


def arrive(pool: Pool, request_id: str, key=F1, *, now: float = 0.0, mb: int = 128, reserved=None, total=0):
    return pool.arrive(request_id, key, memory_mb=mb, reserved=reserved, total_reserved=total, now_s=now)


def test_first_invocation_starts_an_environment_and_gets_it():
    pool = make()
    assert arrive(pool, "r1") == [Start("e1", F1)]
    pool.initializing("e1", 0.1)
    assert pool.ready("e1", 0.2) == [Assign("e1", "r1")]
    assert pool.running("f") == 1
    assert pool.ready("e1", 0.3) == []
    assert pool.running() == 0
    assert pool.states() == {"e1": (F1, EnvironmentState.IDLE)}


def test_warm_invocation_takes_the_environment_used_last():
    pool = make()
    arrive(pool, "a")
    arrive(pool, "b")
    for e, now in (("e1", 1.0), ("e2", 2.0)):
        pool.initializing(e, now)
        pool.ready(e, now)
    pool.ready("e2", 3.0)
    pool.ready("e1", 4.0)
    assert arrive(pool, "c", now=5.0) == [Assign("e1", "c")]


def test_a_finished_invocation_serves_the_line_before_the_environment_being_started():
    pool = make()
    arrive(pool, "a")
    pool.initializing("e1", 0.0)
    pool.ready("e1", 0.0)
    assert arrive(pool, "b") == [Start("e2", F1)]
    assert pool.ready("e1", 1.0) == [Assign("e1", "b")]
    pool.initializing("e2", 1.5)
    assert pool.ready("e2", 2.0) == []


def test_reserved_concurrency_throttles_with_awss_reason():
    pool = make()
    assert arrive(pool, "a", reserved=0) == [Throttle("a", "ReservedFunctionConcurrentInvocationLimitExceeded")]
    arrive(pool, "b", reserved=1, total=1)
    assert arrive(pool, "c", reserved=1, total=1) == [
        Throttle("c", "ReservedFunctionConcurrentInvocationLimitExceeded")
    ]


def test_account_concurrency_leaves_what_others_have_reserved():
    pool = make(concurrency=3)
    arrive(pool, "a", total=2)
    assert arrive(pool, "b", key=G, total=2) == [Throttle("b", "ConcurrentInvocationLimitExceeded")]
    assert arrive(pool, "c", key=G, reserved=2, total=2) == [Start("e2", G)]


def test_failed_start_is_told_to_the_head_of_the_line_and_the_rest_get_another():
    pool = make(memory_mb=128)
    arrive(pool, "a")
    assert arrive(pool, "b") == []
    assert pool.gone("e1", 1.0) == [Fail("e1", "a"), Start("e2", F1)]
    assert pool.running("f") == 1


def test_memory_budget_evicts_the_longest_idle_of_anyone():
    pool = make(memory_mb=256)
    for request, key, e in (("a", F1, "e1"), ("b", G, "e2")):
        arrive(pool, request, key)
        pool.initializing(e, 0.0)
        pool.ready(e, 0.0)
    pool.ready("e2", 1.0)
    pool.ready("e1", 2.0)
    assert arrive(pool, "c", ("h", "1", "r"), now=3.0) == [Stop("e2")]
    assert pool.gone("e2", 3.5) == [Start("e3", ("h", "1", "r"))]


def test_a_function_larger_than_the_budget_runs_alone():
    pool = make(memory_mb=128)
    assert arrive(pool, "a", mb=1024) == [Start("e1", F1)]


def test_waiting_too_long_throttles():
    pool = make(memory_mb=128)
    arrive(pool, "a")
    arrive(pool, "b", now=5.0)
    assert pool.next_due_s() == 30.0
    assert pool.tick(30.0) == [Throttle("a", "ConcurrentInvocationLimitExceeded")]
    pool.initializing("e1", 31)
    assert pool.ready("e1", 31.0) == [Assign("e1", "b")]


def test_withdrawn_invocation_is_not_assigned():
    pool = make()
    arrive(pool, "a")
    assert pool.running() == 1
    assert pool.withdraw("a", 0.5) == []
    assert pool.running() == 0
    assert pool.withdraw("a", 0.5) == []
    pool.initializing("e1", 0)
    assert pool.ready("e1", 1.0) == []
    assert pool.running() == 0


def test_a_large_head_that_gives_up_lets_the_smaller_ones_behind_it_in():
    big, small = ("big", "1", "r"), ("small", "1", "r")
    for ends in ("withdrawn", "throttled"):
        pool = make(memory_mb=1000)
        arrive(pool, "a", mb=500)
        assert arrive(pool, "b", big, now=1.0, mb=800) == []
        assert arrive(pool, "c", small, now=25.0, mb=100) == [], "who waits longest is not overtaken"
        if ends == "withdrawn":
            assert pool.withdraw("b", 26.0) == [Start("e2", small)]
        else:
            pool.initializing("e1", 2.0)
            pool.ready("e1", 2.0)
            assert pool.tick(31.0) == [Throttle("b", "ConcurrentInvocationLimitExceeded"), Start("e2", small)]


def test_keep_alive_stops_idle_environments_and_drains_to_nothing():
    pool = make(keep_alive_s=60)
    arrive(pool, "a")
    pool.initializing("e1", 0)
    pool.ready("e1", 0.0)
    pool.ready("e1", 10.0)
    assert pool.tick(69.0) == []
    assert pool.tick(70.0) == [Stop("e1")]
    assert pool.gone("e1", 70.5) == []
    assert pool.promised_mb == 0
    assert pool.next_due_s() is None


def test_retired_environment_finishes_its_invocation_and_goes():
    pool = make()
    arrive(pool, "a")
    pool.initializing("e1", 0)
    pool.ready("e1", 0.0)
    assert pool.retire("f", frozenset({F2}), 1.0) == []
    assert pool.ready("e1", 2.0) == [Stop("e1")]
    assert arrive(pool, "b", F2, now=3.0) == [Start("e2", F2)]


def test_retired_while_starting_never_serves_and_never_fails_the_line():
    pool = make()
    arrive(pool, "a")
    pool.retire("f", frozenset(), 0.5)
    assert pool.gone("e1", 1.0) == [Start("e2", F1)]


class PoolMachine(RuleBasedStateMachine):
    """Any order of arrivals, starts, ends, crashes and time: what must always hold, holds."""

    @initialize(concurrency=st.integers(1, 6), memory=st.sampled_from([128, 300, 512, 2048]))
    def begin(self, concurrency: int, memory: int) -> None:
        self.limit, self.memory = concurrency, memory
        self.pool = make(concurrency=concurrency, memory_mb=memory)
        self.now = 0.0
        self.count = 0
        self.waiting: dict[str, tuple] = {}
        self.busy: dict[str, str] = {}
        self.starting: dict[str, tuple] = {}
        self.keys: dict[str, tuple] = {}
        self.stopping: set[str] = set()
        self.idle: set[str] = set()

    def follow(self, instructions) -> None:
        for instruction in instructions:
            match instruction:
                case Start(e, key):
                    assert e not in self.keys
                    self.keys[e] = key
                    self.starting[e] = key
                case Assign(e, request):
                    assert e not in self.busy, "two invocations in one environment"
                    assert self.keys[e] == self.waiting.pop(request), "one environment for two versions"
                    self.idle.discard(e)
                    self.starting.pop(e, None)
                    self.busy[e] = request
                case Throttle(request, _) | Fail(_, request):
                    self.waiting.pop(request)
                case Stop(e):
                    assert e not in self.busy
                    self.idle.discard(e)
                    self.starting.pop(e, None)
                    self.stopping.add(e)

    @rule(key=st.sampled_from([F1, F2, G]), mb=st.sampled_from([128, 256]))
    def arrives(self, key, mb) -> None:
        self.count += 1
        request = f"r{self.count}"
        self.waiting[request] = key
        self.follow(arrive(self.pool, request, key, now=self.now, mb=mb))

    @precondition(lambda self: self.starting)
    @rule(data=st.data(), fails=st.booleans())
    def comes_up(self, data, fails) -> None:
        e = data.draw(st.sampled_from(sorted(self.starting)))
        del self.starting[e]
        if fails:
            del self.keys[e]
            self.follow(self.pool.gone(e, self.now))
            return
        self.pool.initializing(e, self.now)
        self.idle.add(e)
        self.follow(self.pool.ready(e, self.now))

    @precondition(lambda self: self.busy)
    @rule(data=st.data(), crashes=st.booleans())
    def finishes(self, data, crashes) -> None:
        e = data.draw(st.sampled_from(sorted(self.busy)))
        del self.busy[e]
        if crashes:
            del self.keys[e]
            self.follow(self.pool.gone(e, self.now))
        else:
            self.idle.add(e)
            self.follow(self.pool.ready(e, self.now))

    @precondition(lambda self: self.stopping)
    @rule(data=st.data())
    def stops(self, data) -> None:
        e = data.draw(st.sampled_from(sorted(self.stopping)))
        self.stopping.discard(e)
        del self.keys[e]
        self.follow(self.pool.gone(e, self.now))

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def withdraws(self, data) -> None:
        request = data.draw(st.sampled_from(sorted(self.waiting)))
        del self.waiting[request]
        self.follow(self.pool.withdraw(request, self.now))

    @rule(name=st.sampled_from(["f", "g"]), keep=st.frozensets(st.sampled_from([F1, F2, G])))
    def changes(self, name, keep) -> None:
        self.follow(self.pool.retire(name, keep, self.now))

    @rule(seconds=st.sampled_from([0.1, 10.0, 61.0]))
    def time_passes(self, seconds) -> None:
        self.now += seconds
        self.follow(self.pool.tick(self.now))

    @invariant()
    def counts_agree(self) -> None:
        assert self.pool.running() == len(self.waiting) + len(self.busy)
        assert self.pool.running() <= self.limit
        assert set(self.pool.states()) == set(self.keys)

    @invariant()
    def memory_is_kept(self) -> None:
        assert self.pool.promised_mb <= self.memory or len(self.keys) == 1

    @invariant()
    def nobody_starves(self) -> None:
        """Whoever waits has something coming: an environment starting, running or stopping that will let it in."""
        if self.waiting:
            assert self.starting or self.busy or self.stopping

    def teardown(self) -> None:
        if not hasattr(self, "pool"):
            return
        for _ in range(500):
            if self.starting:
                e = sorted(self.starting)[0]
                del self.starting[e]
                self.pool.initializing(e, self.now)
                self.idle.add(e)
                self.follow(self.pool.ready(e, self.now))
            elif self.busy:
                e = sorted(self.busy)[0]
                del self.busy[e]
                self.idle.add(e)
                self.follow(self.pool.ready(e, self.now))
            elif self.stopping:
                e = self.stopping.pop()
                del self.keys[e]
                self.follow(self.pool.gone(e, self.now))
            elif self.keys or self.waiting:
                self.now += 61.0
                self.follow(self.pool.tick(self.now))
            else:
                break
        assert not self.waiting
        assert self.pool.states() == {}, "the pool drains to nothing when idle"
        assert self.pool.promised_mb == 0


TestPoolMachine = PoolMachine.TestCase
TestPoolMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
