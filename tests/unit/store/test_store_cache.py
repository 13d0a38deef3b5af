"""The bounded map."""

from jupyter_lambda.store.cache import Cache


def test_least_recently_used_leaves_first():
    cache: Cache[str, int] = Cache(2)
    loads: list[str] = []

    def load(name: str):
        def run() -> int:
            loads.append(name)
            return ord(name)

        return run

    assert cache.get("a", load("a")) == 97
    cache.get("b", load("b"))
    cache.get("a", load("a"))
    cache.get("c", load("c"))
    cache.get("a", load("a"))
    assert loads == ["a", "b", "c"]
    cache.get("b", load("b"))
    assert loads == ["a", "b", "c", "b"]
    cache.put("d", 1)
    cache.put("b", 2)
    assert cache.get("b", load("b")) == 2
    cache.forget("b")
    cache.forget("b")
    cache.forget_where(lambda key: key == "d")
    assert cache.get("d", load("d")) == 100
