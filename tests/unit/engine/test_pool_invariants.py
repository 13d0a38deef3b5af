"""Any order of arrivals, starts, ends, crashes, changes and time: what must always hold of the pool, holds."""

from __future__ import annotations

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from jupyter_lambda.engine.pool import Assign, Discard, Fail, Kind, Pool, PoolLimits, Prepare, Start, Stop, Throttle

F1 = ("f", "$LATEST", "r1")
F2 = ("f", "$LATEST", "r2")
G = ("g", "1", "r1")
H = ("h", "$LATEST", "r1")
KEYS = st.sampled_from([F1, F2, G, H])
MEMORY = {F1: 128, F2: 128, G: 256, H: 128}
BARE, PANDAS = Kind("bare", 16), Kind("pandas", 80)
KINDS = {F1: (BARE,), F2: (PANDAS, BARE), G: (BARE,), H: ()}
#: H has reserved concurrency.
RESERVED = {"h": 2}


class PoolMachine(RuleBasedStateMachine):
    """The pool's environments, containers and invocations as the engine would see them."""

    @initialize(
        concurrency=st.integers(4, 8),
        memory=st.sampled_from([128, 300, 512, 2048]),
        patience=st.sampled_from([0.0, 1.0]),
        scaling=st.sampled_from([2, 1000]),
        keep_alive=st.sampled_from([10.0, 600.0]),
    )
    def begin(self, concurrency, memory, patience, scaling, keep_alive) -> None:
        self.limit, self.memory = concurrency, memory
        self.pool = Pool(
            PoolLimits(
                concurrency,
                memory,
                keep_alive,
                30.0,
                scaling_per_10s=scaling,
                warm_memory_mb=100,
                patience=patience,
                keep_alive_max_s=1200.0,
            )
        )
        self.now = 0.0
        self.count = 0
        self.waiting: dict[str, tuple] = {}
        self.busy: dict[str, str] = {}
        self.starting: dict[str, tuple] = {}
        self.keys: dict[str, tuple] = {}
        self.stopping: set[str] = set()
        self.provisioned: set[str] = set()
        self.preparing: dict[str, Kind] = {}
        self.ready: dict[str, Kind] = {}
        self.discarding: dict[str, Kind] = {}
        self.adopted: set[str] = set()
        self.wanted: dict[tuple, int] = {}
        self.releasing = False

    def follow(self, instructions) -> None:
        for instruction in instructions:
            match instruction:
                case Start(e, key, container, provisioned, _):
                    assert e not in self.keys
                    self.keys[e] = key
                    self.starting[e] = key
                    if provisioned:
                        self.provisioned.add(e)
                    if container is not None:
                        assert container not in self.adopted, "one container for two environments"
                        self.adopted.add(container)
                        assert self.ready.pop(container) in KINDS[key], "adopted by a version that may not"
                case Assign(e, request):
                    assert e not in self.busy, "two invocations in one environment"
                    assert e not in self.stopping
                    assert self.keys[e] == self.waiting.pop(request), "one environment for two versions"
                    self.starting.pop(e, None)
                    self.busy[e] = request
                case Throttle(request, _) | Fail(_, request):
                    self.waiting.pop(request)
                case Stop(e):
                    assert e not in self.busy
                    assert e not in self.stopping
                    assert self.releasing or e not in self.provisioned, "provisioned, yet ended"
                    self.stopping.add(e)
                case Prepare(c, kind):
                    self.preparing[c] = kind
                case Discard(c):
                    self.discarding[c] = self.ready.pop(c)

    @rule(key=KEYS)
    def arrives(self, key) -> None:
        self.count += 1
        request = f"r{self.count}"
        self.waiting[request] = key
        reserved = RESERVED.get(key[0])
        self.follow(
            self.pool.arrive(
                request,
                key,
                memory_mb=MEMORY[key],
                reserved=reserved,
                total_reserved=2,
                kinds=KINDS[key],
                now_s=self.now,
            )
        )
        accepted = request in self.waiting or request in self.busy.values()
        running = [*self.waiting.values(), *(self.keys[e] for e in self.busy)]
        if accepted and running.count(key) > self.wanted.get(key, 0):
            names = {"h"} if reserved else {"f", "g"}
            keys = {k for k in [*running, *self.wanted] if k[0] in names}
            used = sum(max(running.count(k), self.wanted.get(k, 0)) for k in keys)
            assert used <= (reserved or self.limit - 2), "over a limit"

    def is_ready(self, e) -> None:
        self.starting.pop(e, None)
        released = e in self.provisioned and self.releasing
        self.releasing = True  # a provisioned environment that was released meanwhile ends when it is free
        before = set(self.stopping)
        self.follow(self.pool.ready(e, self.now))
        self.releasing = released
        for stopped in self.stopping - before:
            assert stopped == e or stopped not in self.provisioned

    @precondition(lambda self: self.starting)
    @rule(data=st.data(), fails=st.booleans())
    def comes_up(self, data, fails) -> None:
        e = data.draw(st.sampled_from(sorted(self.starting)))
        if fails:
            self.starting.pop(e)
            del self.keys[e]
            self.follow(self.pool.gone(e, self.now))
            return
        self.pool.initializing(e, self.now)
        self.is_ready(e)

    @precondition(lambda self: self.busy)
    @rule(data=st.data(), crashes=st.booleans())
    def finishes(self, data, crashes) -> None:
        e = data.draw(st.sampled_from(sorted(self.busy)))
        del self.busy[e]
        if crashes:
            del self.keys[e]
            self.follow(self.pool.gone(e, self.now))
        else:
            self.is_ready(e)

    @precondition(lambda self: self.idle())
    @rule(data=st.data())
    def dies_while_idle(self, data) -> None:
        e = data.draw(st.sampled_from(self.idle()))
        del self.keys[e]
        self.follow(self.pool.gone(e, self.now))

    @precondition(lambda self: self.stopping)
    @rule(data=st.data())
    def stops(self, data) -> None:
        e = data.draw(st.sampled_from(sorted(self.stopping)))
        self.stopping.discard(e)
        del self.keys[e]
        self.follow(self.pool.gone(e, self.now))

    @precondition(lambda self: self.preparing)
    @rule(data=st.data(), fails=st.booleans())
    def container_comes_up(self, data, fails) -> None:
        c = data.draw(st.sampled_from(sorted(self.preparing)))
        kind = self.preparing.pop(c)
        if fails:
            self.follow(self.pool.unprepared(c, self.now))
        else:
            self.ready[c] = kind
            self.follow(self.pool.prepared(c, self.now))

    @precondition(lambda self: self.discarding or self.ready)
    @rule(data=st.data())
    def container_ends(self, data) -> None:
        c = data.draw(st.sampled_from(sorted(self.discarding | self.ready)))
        self.discarding.pop(c, None)
        self.ready.pop(c, None)
        self.follow(self.pool.unprepared(c, self.now))

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def withdraws(self, data) -> None:
        request = data.draw(st.sampled_from(sorted(self.waiting)))
        del self.waiting[request]
        self.follow(self.pool.withdraw(request, self.now))

    @rule(name=st.sampled_from(["f", "g"]), keep=st.frozensets(KEYS))
    def changes(self, name, keep) -> None:
        self.releasing = True
        self.wanted = {k: n for k, n in self.wanted.items() if k[0] != name or k in keep}
        self.follow(self.pool.retire(name, keep, self.now))
        self.releasing = False

    @rule(kind=st.sampled_from([BARE, PANDAS]), count=st.integers(0, 3))
    def stocks(self, kind, count) -> None:
        self.follow(self.pool.stock(kind, count, self.now))

    @rule(key=KEYS, count=st.integers(0, 2))
    def provisions(self, key, count) -> None:
        names = {"h"} if key == H else {"f", "g"}
        others = sum(n for k, n in self.wanted.items() if k != key and k[0] in names)
        if others + count > (2 if key == H else self.limit - 2):
            return  # the control plane refuses that
        self.wanted[key] = count
        self.releasing = True
        reserved = RESERVED.get(key[0])
        self.follow(
            self.pool.provision(key, count, memory_mb=MEMORY[key], kinds=KINDS[key], reserved=reserved, now_s=self.now)
        )
        self.releasing = False

    @rule(seconds=st.sampled_from([0.1, 10.0, 61.0, 700.0]))
    def time_passes(self, seconds) -> None:
        self.now += seconds
        self.follow(self.pool.tick(self.now))

    def idle(self) -> list[str]:
        return sorted(set(self.keys) - set(self.busy) - set(self.starting) - self.stopping)

    @invariant()
    def counts_agree(self) -> None:
        assert self.pool.running() == len(self.waiting) + len(self.busy)
        assert self.pool.waiting() == len(self.waiting)
        assert set(self.pool.states()) == set(self.keys)
        assert sum(r + p for r, p, _ in self.pool.warm().values()) == len(self.ready) + len(self.preparing)
        for key, count in self.wanted.items():
            asked, initialised, busy = self.pool.provisioned(key)
            assert asked == count
            assert busy <= initialised <= count

    @invariant()
    def promised_memory_adds_up_and_is_kept(self) -> None:
        containers = self.preparing | self.ready | self.discarding
        promised = sum(MEMORY[key] for key in self.keys.values()) + sum(k.memory_mb for k in containers.values())
        assert self.pool.promised_mb == promised
        assert promised <= self.memory or (len(self.keys) == 1 and not containers)
        assert sum(k.memory_mb for k in containers.values()) <= 100

    @invariant()
    def nobody_is_forgotten(self) -> None:
        """Whoever waits is looked at again, at the latest when its time is over."""
        if self.waiting:
            due = self.pool.next_due_s()
            assert due is not None
            assert due <= self.now + 30.0

    @invariant()
    def idle_environments_have_no_line(self) -> None:
        lines = set(self.waiting.values())
        assert not any(self.keys[e] in lines for e in self.idle())

    def settle(self, rounds: int = 4000) -> None:
        """Everything that was begun succeeds, and time passes until nothing is due any more."""
        for _ in range(rounds):
            if self.starting:
                e = min(self.starting)
                self.pool.initializing(e, self.now)
                self.is_ready(e)
            elif self.busy:
                e = min(self.busy)
                del self.busy[e]
                self.is_ready(e)
            elif self.stopping:
                e = self.stopping.pop()
                del self.keys[e]
                self.follow(self.pool.gone(e, self.now))
            elif self.preparing:
                c, kind = self.preparing.popitem()
                self.ready[c] = kind
                self.follow(self.pool.prepared(c, self.now))
            elif self.discarding:
                self.follow(self.pool.unprepared(self.discarding.popitem()[0], self.now))
            elif (due := self.pool.next_due_s()) is not None:
                self.now = max(self.now, due)
                self.follow(self.pool.tick(self.now))
            else:
                return
        raise AssertionError("it never comes to rest")

    def teardown(self) -> None:
        if not hasattr(self, "pool"):
            return
        self.settle()
        assert not self.waiting
        kept = sorted(self.keys.values())
        asked = sorted(key for key, count in self.wanted.items() for _ in range(count))
        assert set(self.keys) <= self.provisioned, "only what is provisioned is left"
        if sum(MEMORY[key] for key in asked) <= self.memory:
            assert kept == asked, "provisioned, yet not there"
        self.releasing = True
        for key in [*self.wanted]:
            self.follow(
                self.pool.provision(key, 0, memory_mb=MEMORY[key], reserved=RESERVED.get(key[0]), now_s=self.now)
            )
        self.settle()
        stocked = {kind: (ready, target) for kind, (ready, _, target) in self.pool.warm().items() if target}
        if sum(kind.memory_mb * target for kind, (_, target) in stocked.items()) <= min(100, self.memory):
            assert all(ready == target for ready, target in stocked.values()), "stock is respected"
        for kind in (BARE, PANDAS):
            self.follow(self.pool.stock(kind, 0, self.now))
        self.settle()
        assert self.pool.states() == {}, "the pool drains to nothing when idle"
        assert self.pool.promised_mb == 0
        assert self.pool.unreserved() == 0
        assert self.pool.next_due_s() is None


TestPoolMachine = PoolMachine.TestCase
TestPoolMachine.settings = settings(
    max_examples=150,
    stateful_step_count=50,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    report_multiple_bugs=False,
)
