"""The pool policy by examples; test_pool_invariants.py has its properties under any order of events."""

from __future__ import annotations

import itertools

from jupyter_lambda.engine.pool import Assign, Discard, Fail, Kind, Pool, PoolLimits, Prepare, Start, Stop, Throttle
from jupyter_lambda.model.environment import EnvironmentState

F1 = ("f", "$LATEST", "r1")
F2 = ("f", "$LATEST", "r2")
G = ("g", "$LATEST", "r1")


BARE = Kind("python", 16)
PANDAS = Kind("python+pandas", 80)


def make(
    concurrency: int = 10, memory_mb: int = 1024, keep_alive_s: float = 60, queue_timeout_s: float = 30, **limits
) -> Pool:
    return Pool(PoolLimits(concurrency, memory_mb, keep_alive_s, queue_timeout_s, **limits))


def arrive(pool: Pool, request_id: str, key=F1, *, now: float = 0.0, mb: int = 128, reserved=None, total=0, kinds=()):
    return pool.arrive(request_id, key, memory_mb=mb, reserved=reserved, total_reserved=total, kinds=kinds, now_s=now)


def come_up(pool: Pool, environment_id: str, now: float = 0.0):
    pool.initializing(environment_id, now)
    return pool.ready(environment_id, now)


def run(pool: Pool, request_id: str, key=F1, *, now: float, took: float = 0.0, start_s: float = 0.1, **more) -> bool:
    """One invocation with nothing else going on. Returns whether it was a cold start."""
    (first,) = [i for i in arrive(pool, request_id, key, now=now, **more) if isinstance(i, Assign | Start)]
    cold = isinstance(first, Start)
    if cold:
        now += start_s
        (first,) = [i for i in come_up(pool, first.environment_id, now) if isinstance(i, Assign)]
    pool.ready(first.environment_id, now + took)
    return cold


def pass_time(pool: Pool, until: float, start_s: float = 0.1) -> list:
    """Tick whenever due, and carry out what follows at once."""
    seen = []
    while (due := pool.next_due_s()) is not None and due <= until:
        todo = pool.tick(due)
        while todo:
            seen += todo
            following = []
            for instruction in todo:
                match instruction:
                    case Stop(e):
                        following += pool.gone(e, due)
                    case Discard(c):
                        following += pool.unprepared(c, due)
                    case Prepare(c, _):
                        following += pool.prepared(c, due)
                    case Start(e):
                        following += come_up(pool, e, due + start_s)
            todo = following
    return seen


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


# --- generic containers


def test_stock_is_prepared_gently_and_adopted_by_a_version_that_may():
    pool = make(starts_at_once=2)
    assert pool.stock(BARE, 3, 0.0) == [Prepare("c1", BARE), Prepare("c2", BARE)]
    assert pool.prepared("c1", 0.2) == [Prepare("c3", BARE)]
    assert pool.promised_mb == 3 * 16
    first, refill = arrive(pool, "a", now=1.0, kinds=(PANDAS, BARE)), pool.warm()
    assert first[0] == Start("e1", F1, "c1"), "the second choice is ready, the first isn't"
    assert refill[BARE] == (0, 2, 3)
    assert arrive(pool, "b", G, now=1.0)[0] == Start("e2", G), "G may adopt nothing"


def test_demand_lifts_the_stock_and_time_lowers_it_to_its_least():
    pool = make(concurrency=100, memory_mb=100_000, starts_at_once=50)
    pool.stock(BARE, 1, 0.0)
    pool.prepared("c1", 0.1)
    for n in range(20):
        arrive(pool, f"r{n}", now=1.0, kinds=(BARE,))
    assert pool.warm()[BARE][2] == 21
    for n in range(1, 21):
        come_up(pool, f"e{n}", 2.0)
        while pool.state(f"e{n}") is EnvironmentState.BUSY:
            pool.ready(f"e{n}", 2.0)
    for container_id in [f"c{n}" for n in range(2, 40)]:
        pool.prepared(container_id, 3.0)
    assert pool.warm()[BARE][0] >= 20
    pass_time(pool, 1000.0)
    assert pool.warm()[BARE] == (1, 0, 1)
    assert pool.promised_mb == 16


def test_generic_containers_go_before_anything_idle_when_memory_is_short():
    pool = make(memory_mb=280)
    run(pool, "a", now=0.0)
    pool.stock(BARE, 2, 1.0)
    for container_id in ("c1", "c2"):
        pool.prepared(container_id, 1.5)
    assert arrive(pool, "b", G, now=2.0) == [Discard("c1")]
    assert pool.unprepared("c1", 2.1) == [Start("e2", G)]
    assert pool.warm()[BARE] == (1, 0, 2), "no room to refill"


def test_the_container_about_to_be_adopted_is_not_discarded():
    pool = make(memory_mb=256)
    run(pool, "a", now=0.0)
    pool.stock(BARE, 1, 1.0)
    pool.prepared("c1", 1.5)
    assert arrive(pool, "b", G, now=2.0, kinds=(BARE,)) == [Start("e2", G, "c1")]
    assert pool.promised_mb == 256


def test_generic_containers_that_fail_back_off_and_never_loop():
    pool = make()
    (prepare,) = pool.stock(BARE, 1, 0.0)
    waits = []
    now = 0.0
    for _ in range(12):
        assert pool.unprepared(prepare.container_id, now) == []
        assert pool.tick(now) == []
        due = pool.next_due_s()
        waits.append(due - now)
        now = due
        (prepare,) = pool.tick(now)
    assert waits[:4] == [1, 2, 4, 8]
    assert waits[-1] == 300


def test_generic_containers_stay_under_their_cap_and_stock_zero_ends_them():
    pool = make(warm_memory_mb=40, starts_at_once=10)
    pool.stock(BARE, 5, 0.0)
    pool.prepared("c1", 0.1)
    pool.prepared("c2", 0.1)
    assert pool.warm()[BARE] == (2, 0, 5)
    assert pool.stock(BARE, 0, 1.0) == [Discard("c1"), Discard("c2")]
    assert pool.promised_mb == 32, "until they are gone"
    pool.unprepared("c1", 1.1)
    pool.unprepared("c2", 1.1)
    assert pool.promised_mb == 0
    assert pool.warm() == {}
    assert pool.unprepared("c2", 1.2) == []


# --- provisioned concurrency


def test_provisioned_environments_are_kept_preferred_and_replaced():
    pool = make(keep_alive_s=10, starts_at_once=5)
    assert pool.provision(F1, 2, memory_mb=128, now_s=0.0) == [
        Start("e1", F1, provisioned=True),
        Start("e2", F1, provisioned=True),
    ]
    assert pool.provisioned(F1) == (2, 0, 0)
    for e in ("e1", "e2"):
        come_up(pool, e, 1.0)
    assert pool.provisioned(F1) == (2, 2, 0)
    assert arrive(pool, "a", now=2.0) == [Assign("e2", "a")]
    assert pool.provisioned(F1) == (2, 2, 1)
    pool.ready("e2", 3.0)
    assert pass_time(pool, 10_000.0) == []
    assert pool.gone("e1", 10_001.0) == [], "not at once, should it be failing"
    assert pool.tick(pool.next_due_s()) == [Start("e3", F1, provisioned=True)]
    assert pool.provision(F1, 0, memory_mb=128, now_s=10_010.0) == [Stop("e2")]
    assert come_up(pool, "e3", 10_011.0) == [Stop("e3")]


def test_provisioned_environments_are_not_evicted_and_need_no_invocation_to_start():
    pool = make(memory_mb=256)
    pool.provision(F1, 1, memory_mb=128, now_s=0.0)
    come_up(pool, "e1", 1.0)
    run(pool, "a", G, now=2.0)
    assert arrive(pool, "b", ("h", "1", "r"), now=3.0) == [Stop("e2")]


def test_provisioned_concurrency_is_taken_from_the_account_or_from_the_reservation():
    pool = make(concurrency=3, starts_at_once=5)
    pool.provision(F1, 2, memory_mb=128, now_s=0.0)
    assert pool.unreserved() == 2, "whether it is used or not"
    arrive(pool, "a", G)
    assert arrive(pool, "b", G) == [Throttle("b", "ConcurrentInvocationLimitExceeded")]
    arrive(pool, "c", F1)
    arrive(pool, "d", F1)
    assert arrive(pool, "e", F1) == [Throttle("e", "ConcurrentInvocationLimitExceeded")], "no room to spill over"
    pool = make(concurrency=3, starts_at_once=5)
    pool.provision(F1, 2, memory_mb=128, reserved=2, now_s=0.0)
    assert pool.unreserved() == 0
    arrive(pool, "a", F2, reserved=2, total=2)
    assert pool.running("f") == 0, "all that is reserved is provisioned for another version"


def test_provisioned_environments_that_fail_back_off():
    pool = make()
    pool.provision(F1, 1, memory_mb=128, now_s=0.0)
    now = 0.0
    for n, wait in enumerate((1, 2, 4, 8), start=1):
        assert pool.gone(f"e{n}", now) == []
        assert pool.next_due_s() == now + wait
        now += wait
        assert pool.tick(now) == [Start(f"e{n + 1}", F1, provisioned=True)]


# --- keep-alive


def test_what_comes_every_twenty_minutes_is_started_just_before():
    pool = make(keep_alive_s=600)
    cold = []
    for n in range(40):
        now = n * 1200.0
        pass_time(pool, now)
        cold.append(run(pool, f"r{n}", now=now))
    assert all(cold[:9])
    assert not any(cold[10:]), "learned"
    assert pool.windows("f", "$LATEST")[2] == "histogram"
    seen = pass_time(pool, 100_000.0)
    assert [type(i) for i in seen] == [Stop, Start, Stop], "started once more, in vain, and then no more"
    assert pool.promised_mb == 0
    assert pool.next_due_s() is None


def test_a_busy_function_lets_its_environment_go_soon_after_its_end():
    pool = make(keep_alive_s=600)
    for n in range(100):
        run(pool, f"r{n}", now=float(n))
    prewarm_s, keep_alive_s, source = pool.windows("f", "$LATEST")
    assert (prewarm_s, source) == (0.0, "histogram")
    assert 60 <= keep_alive_s < 90
    assert pass_time(pool, 99.0 + 90.0) == [Stop("e1")]


def test_learning_survives_a_change_of_the_code_and_ends_with_the_function():
    pool = make(keep_alive_s=600)
    for n in range(100):
        run(pool, f"r{n}", now=float(n))
    pool.retire("f", frozenset({F2}), 100.0)
    run(pool, "new", F2, now=101.0)
    assert pool.windows("f", "$LATEST")[2] == "histogram"
    pool.retire("f", frozenset(), 102.0)
    assert pool.windows("f", "$LATEST") is None


# --- scaling


def test_scaling_rate_holds_back_starts_and_says_so():
    pool = make(concurrency=100, memory_mb=100_000, scaling_per_10s=5, queue_timeout_s=3)
    starts = [i for n in range(20) for i in arrive(pool, f"r{n}")]
    assert len(starts) == 5
    assert len([i for i in pool.tick(2.0) if isinstance(i, Start)]) == 1, "one each two seconds"
    throttled = [i for i in pool.tick(3.0) if isinstance(i, Throttle)]
    assert throttled
    assert {i.reason for i in throttled} == {"FunctionInvocationRateLimitExceeded"}


def learn(pool: Pool, duration_s: float, cold_s: float, key=F1) -> None:
    """An idle environment, and how long things take."""
    for n in range(5):
        run(pool, f"learn {key} {n}", key, now=n * 10.0, took=duration_s, start_s=cold_s)


def test_a_burst_of_short_invocations_waits_for_what_is_busy_instead_of_starting_hundreds():
    pool = make(concurrency=1000, memory_mb=1_000_000)
    learn(pool, duration_s=0.005, cold_s=0.3)
    burst = [i for n in range(100) for i in arrive(pool, f"r{n}", now=100.0)]
    assert len([i for i in burst if isinstance(i, Start)]) <= 2
    assert len([i for i in burst if isinstance(i, Assign)]) == 1
    now = 100.0
    for _ in range(100):
        now += 0.005
        pool.ready("e1", now)
    assert pool.running() == 0


def test_a_burst_of_long_invocations_starts_one_for_each_as_does_no_patience():
    for duration_s, patience in ((1.0, 1.0), (0.005, 0.0)):
        pool = make(concurrency=1000, memory_mb=1_000_000, patience=patience)
        learn(pool, duration_s=duration_s, cold_s=0.3)
        burst = [i for n in range(100) for i in arrive(pool, f"r{n}", now=100.0)]
        assert len([i for i in burst if isinstance(i, Start)]) == 99


def test_patience_ends_when_what_is_busy_takes_longer_than_ever():
    pool = make(concurrency=1000, memory_mb=1_000_000)
    learn(pool, duration_s=0.005, cold_s=0.3)
    burst = [i for n in range(10) for i in arrive(pool, f"r{n}", now=100.0)]
    assert burst == [Assign("e1", "r0")]
    started = 0
    while (due := pool.next_due_s()) is not None and due < 103.0:
        started += len([i for i in pool.tick(due) if isinstance(i, Start)])
    assert started == 9


def test_a_line_that_outlasts_a_cold_start_doubles_what_there_is():
    """Patience is for bursts: of a steady load each invocation would wait a little, for ever."""
    pool = make(concurrency=1000, memory_mb=1_000_000)
    learn(pool, duration_s=0.005, cold_s=0.3)
    numbers = itertools.count()
    busy = ["e1"]
    for _ in range(8):  # callers who ask again as soon as they are answered
        arrive(pool, f"r{next(numbers)}", now=100.0)
    began: list[float] = []
    now = 100.0
    while now < 102.0:
        now += 0.005 / len(busy)
        instructions = pool.ready(busy[0], now) + arrive(pool, f"r{next(numbers)}", now=now)
        busy.append(busy.pop(0))
        for start in [i for i in instructions if isinstance(i, Start)]:
            began.append(now - 100.0)
            pool.initializing(start.environment_id, now)
            assert any(isinstance(i, Assign) for i in pool.ready(start.environment_id, now))
            busy.append(start.environment_id)
    assert began[0] >= 0.3
    assert began == sorted(began)
    assert len(began) == 7, "one for each caller, and no more"


def test_callers_who_come_in_step_are_a_load_too_although_the_line_is_empty_in_between():
    pool = make(concurrency=1000, memory_mb=1_000_000)
    learn(pool, duration_s=0.005, cold_s=0.3)
    numbers = itertools.count()
    busy, started, now = ["e1"], 0, 100.0
    arrive(pool, "first", now=now)
    while now < 101.0:
        arrive(pool, f"r{next(numbers)}", now=now)
        now += 0.005
        assert any(isinstance(i, Assign) for e in busy for i in pool.ready(e, now)), "the line is empty now"
        started += sum(isinstance(i, Start) for i in arrive(pool, f"r{next(numbers)}", now=now))
        if started:
            break
        pool.ready(busy[0], now)
    assert started == 1


def test_generic_containers_are_not_given_up_in_vain():
    """Under a line that memory has no room for, they would otherwise be made and thrown away again and again."""
    pool = make(memory_mb=300)
    arrive(pool, "a", mb=256)
    come_up(pool, "e1")
    (prepare,) = pool.stock(BARE, 1, 0.5)
    assert pool.prepared(prepare.container_id, 0.6) == []
    for n in range(3):
        assert arrive(pool, f"b{n}", mb=256, now=1.0) == []
    assert pool.ready("e1", 2.0) == [Assign("e1", "b0")]
    assert arrive(pool, "g", G, mb=44, now=2.0) == [Discard(prepare.container_id)], "here it makes room"


# --- fairness


def test_a_flood_does_not_starve_others():
    """F has all the memory and an endless line; G's one invocation gets its turn after the time a holder keeps."""
    pool = make(memory_mb=512, concurrency=1000, patience=0.0, yield_after_s=1.0)
    count = 0
    for count in range(50):
        arrive(pool, f"f{count}", F1)
    for n in range(1, 5):
        come_up(pool, f"e{n}", 0.1)
    assert arrive(pool, "g", G, now=0.2) == []
    served = None
    now, busy = 0.2, [f"e{n}" for n in range(1, 5)]
    while served is None and now < 10:
        now += 0.1
        e = busy.pop(0)
        count += 1
        arrive(pool, f"f{count}", F1, now=now)
        todo = pool.ready(e, now)
        for instruction in todo:
            match instruction:
                case Assign(e, "g"):
                    served = now
                case Assign(e, _):
                    busy.append(e)
                case Stop(e):
                    for start in pool.gone(e, now):
                        assert start == Start("e5", G), "G gets the room, not F"
                        (assign,) = come_up(pool, "e5", now + 0.1)
                        assert assign == Assign("e5", "g")
                        served = now
    assert served == 1.2 or 1.2 < served < 1.5
    assert len(busy) == 3, "one was enough"


def test_least_useful_goes_first():
    """Equal in memory: what was used often stays, though it has been idle for longer."""
    pool = make(memory_mb=256)
    for n in range(20):
        run(pool, f"f{n}", now=float(n))
    run(pool, "g", G, now=30.0)
    assert arrive(pool, "h", ("h", "1", "r"), now=31.0) == [Stop("e2")]


def test_room_that_can_never_be_had_blocks_nobody():
    pool = make(memory_mb=1000)
    pool.provision(F1, 1, memory_mb=500, now_s=0.0)
    come_up(pool, "e1", 0.1)
    assert arrive(pool, "big", ("big", "1", "r"), now=1.0, mb=800) == []
    assert arrive(pool, "g", G, now=2.0) == [Start("e2", G)]
    assert pool.tick(31.0) == [Throttle("big", "ConcurrentInvocationLimitExceeded")]
