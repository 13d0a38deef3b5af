"""Routes of APIs: precedence as AWS has it, against a plain search through all of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_lambda.triggers.sites.routes import ANY, BadRoute, Routes, check_path, split_key

LITERALS = st.sampled_from(["a", "b", "c", "a.b", "x%20y"])
PARTS = LITERALS | st.sampled_from(["{v}", "{w}"])
METHODS = st.sampled_from(["GET", "POST", ANY])


@st.composite
def paths(draw: st.DrawFn) -> str:
    parts = [part.replace("}", f"{n}}}") for n, part in enumerate(draw(st.lists(PARTS, max_size=4)))]
    if draw(st.booleans()):
        parts.append("{proxy+}")
    return "/" + "/".join(parts)


def table(keys: set[tuple[str, str]], *, slash_matters: bool = True) -> Routes[str]:
    routes: Routes[str] = Routes(slash_matters=slash_matters)
    for method, path in keys:
        routes.add(method, path, f"{method} {path}")
    return routes


def matches(route: str, path: str) -> bool:
    """One route against a path by its definition."""
    wanted, given_ = route.strip("/").split("/"), path.strip("/").split("/")
    if route == "/":
        return path == "/"
    if wanted[-1].endswith("+}"):
        return len(given_) >= len(wanted) and path != "/" and matches_all(wanted[:-1], given_[: len(wanted) - 1])
    return path != "/" and len(wanted) == len(given_) and matches_all(wanted, given_)


def matches_all(wanted: list[str], given_: list[str]) -> bool:
    return all(
        w.startswith("{") or w.replace("%20", " ") == g.replace("%20", " ") for w, g in zip(wanted, given_, strict=True)
    )


@given(
    st.sets(st.tuples(METHODS, paths()), max_size=8), st.lists(LITERALS, max_size=5), st.sampled_from(["GET", "PUT"])
)
def test_something_is_found_if_and_only_if_something_matches(keys, parts, method):
    path = "/" + "/".join(parts)
    found = table(keys).find(method, path)
    fitting = [(m, p) for m, p in keys if m in (ANY, method) and matches(p, path)]
    assert (found is not None) == bool(fitting)
    if found is None:
        return
    chosen = found.target.partition(" ")[2]
    assert matches(chosen, path)
    if any(not p.endswith("+}") for _, p in fitting):
        assert not chosen.endswith("+}"), "a full match goes before a greedy one"
    if path in [p for _, p in fitting]:
        assert chosen == path, "a literal path goes before all others"
    assert list(found.variables) == [part.strip("{+}") for part in chosen.split("/") if part.startswith("{")]


@given(st.sets(st.tuples(METHODS, paths()), max_size=8), st.lists(LITERALS, min_size=1, max_size=4))
def test_the_order_in_which_routes_are_added_does_not_matter(keys, parts):
    path = "/" + "/".join(parts)
    # Paths that differ only in the names of their variables are one route; the control plane refuses the second.
    unlike = {(m, p.replace("{w", "{v")) for m, p in keys}
    found = {str(table(set()).find("GET", path))}
    for order in (sorted(unlike), sorted(unlike, reverse=True)):
        routes: Routes[str] = Routes(slash_matters=True)
        for method, template in order:
            routes.add(method, template, f"{method} {template}")
        found.add(str(routes.find("GET", path)))
    assert len(found - {"None"}) <= 1


@pytest.mark.parametrize(
    ("path", "values"),
    [("/a%2Fb", {"x": "a/b"}), ("/gr%C3%BCn", {"x": "grün"}), ("/a+b", {"x": "a+b"}), ("/%zz", {"x": "%zz"})],
)
def test_variables_are_decoded_after_the_path_is_cut(path, values):
    assert table({("GET", "/{x}")}).find("GET", path).variables == values


def test_a_greedy_variable_takes_one_segment_at_least():
    routes = table({("GET", "/a/{proxy+}")})
    assert routes.find("GET", "/a") is None
    assert routes.find("GET", "/a/") is None
    assert routes.find("GET", "/a/b/c/").variables == {"proxy": "b/c/"}


def test_a_slash_at_the_end():
    strict, lenient = (table({("GET", "/a")}, slash_matters=matters) for matters in (True, False))
    assert strict.find("GET", "/a/") is None
    assert lenient.find("GET", "/a/").target == "GET /a"


def test_a_method_goes_before_any_and_falls_back_along_the_tree():
    routes = table({("ANY", "/a"), ("GET", "/a"), ("POST", "/b/{x}"), ("ANY", "/{proxy+}")})
    assert routes.find("GET", "/a").target == "GET /a"
    assert routes.find("PUT", "/a").target == "ANY /a"
    assert routes.find("GET", "/b/1").target == "ANY /{proxy+}"


@pytest.mark.parametrize("path", ["a", "/{a+}/b", "/x{a}", "/{a}/{a}", "/{}", "/{a"])
def test_what_is_no_path(path):
    with pytest.raises(BadRoute):
        check_path(path)


@pytest.mark.parametrize("key", ["GET", "get /a", "GET  /a", "GET a", "GET /a b", "TRACE /", "$other", ""])
def test_what_is_no_key(key):
    assert split_key(key) is None
