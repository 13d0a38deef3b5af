"""Which names a piece of source needs: Python's scoping rules, one by one."""

from __future__ import annotations

import ast
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_lambda.notebook.names import analyse


def needs(source: str, **options: bool) -> set[str]:
    found = analyse(ast.parse(source), **options)
    return {name for name, need in found.needs.items() if not need.optional}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x", {"x"}),
        ("x = 1\nx", set()),
        ("x = x + 1", {"x"}),
        ("x += 1", {"x"}),
        ("x.y = 1", {"x"}),
        ("x[i] = 1", {"x", "i"}),
        ("del x", {"x"}),
        ("x = 1\ndel x\nx", {"x"}),
        ("def f(a): return a + b", {"b"}),
        ("def f(a, b=c, *d, e=g, **h): return a, b, d, e, h", {"c", "g"}),
        ("def f(a: A) -> B: pass", {"A", "B"}),
        ("def f():\n  x: T = 1\n  return x", set()),
        ("x: T = 1", {"T"}),
        ("@deco(arg)\ndef f(): pass", {"deco", "arg"}),
        ("def f(): return later\nlater = 1", set()),
        ("def f(): return f", set()),
        ("lambda a, b=c: a + b + d", {"c", "d"}),
        ("[a for a in b if c]", {"b", "c"}),
        ("[a for a in b for d in a if d > e]", {"b", "e"}),
        ("{k: v for k, v in items}", {"items"}),
        ("[x for x in x]", {"x"}),
        ("[(y := f(x)) for x in xs]\ny", {"f", "xs"}),
        ("def f():\n  if any((y := g(x)) for x in xs): return y", {"any", "g", "xs"}),
        ("class A(Base, metaclass=Meta): pass", {"Base", "Meta"}),
        ("class A:\n  n = 1\n  def f(self): return n", {"n"}),
        ("class A:\n  n = 1\n  m = n", set()),
        ("class A:\n  n = 1\n  m = [n for _ in range(3)]", {"n", "range"}),
        ("class A:\n  n = 1\n  m = [i for i in n]", set()),
        ("class A:\n  x = x", {"x"}),
        ("class A:\n  def f(self): return __class__", set()),
        ("class A:\n  m = __module__, __qualname__", set()),
        ("def f():\n  global g\n  g = 1\ng", set()),
        ("def f():\n  x = 1\n  def g():\n    nonlocal x\n    x = 2\n  return g", set()),
        ("for i in rows: pass\ni", {"rows"}),
        ("with open(p) as f: f.read()", {"open", "p"}),
        ("try:\n  import a\nexcept ImportError as e:\n  a = e", {"ImportError"}),
        ("import a.b\na.b", set()),
        ("import a.b as c\nc", set()),
        ("from a import b as c\nb", {"b"}),
        ("match x:\n  case {'k': v, **rest}: v, rest\n  case [a, *b]: a, b\n  case P(q=1) as z: z", {"x", "P"}),
        ("f'{x!r:>{width}}'", {"x", "width"}),
        ("async def f():\n  async for a in b:\n    await c(a)", {"b", "c"}),
        ("def f():\n  for i in range(3): pass\n  return i", {"range"}),
        ("(lambda: x)()\nx = 1", set()),
        ("print(x) if y else z", {"print", "x", "y", "z"}),
        ("def f(*, a): return lambda: a", set()),
        ("def f():\n  def g(): return h()\n  def h(): return k\n  return g", {"k"}),
        ("def f():\n  import os\n  return os", set()),
    ],
)
def test_needed_names(source: str, expected: set[str]) -> None:
    assert needs(source) == expected


def test_annotations_that_are_not_evaluated_are_optional() -> None:
    found = analyse(ast.parse("from __future__ import annotations\ndef f(a: A) -> B: return c"))
    assert {n for n, need in found.needs.items() if need.optional} == {"A", "B"}
    assert needs("def f(a: A): pass", lazy_annotations=True) == set()


def test_a_name_guarded_by_except_is_optional() -> None:
    assert needs("try:\n  x\nexcept NameError:\n  x = 1") == {"NameError"}


def test_a_name_bound_by_global_may_come_from_the_notebook() -> None:
    found = analyse(ast.parse("def f():\n  global count\n  count += 1"))
    assert found.needs["count"].optional


def test_line_of_first_use_and_when_it_is_read() -> None:
    found = analyse(ast.parse("def f():\n  return x\n\nx2 = y"))
    assert (found.needs["x"].line, found.needs["x"].immediate) == (2, False)
    assert (found.needs["y"].line, found.needs["y"].immediate) == (4, True)


def test_star_imports_are_noted() -> None:
    assert [(s.module, s.line) for s in analyse(ast.parse("x\nfrom math import *")).star_imports] == [("math", 2)]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="syntax of Python 3.12")
@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def f[T](a: T) -> T: return a", set()),
        ("def f[T](a: list[T]) -> U: return T", {"list", "U"}),
        ("class A[T](Base[T]):\n  x: T\n  def f(self) -> T: ...", {"Base"}),
        ("type Pair[T] = tuple[T, T]", set()),
    ],
)
def test_type_parameters(source: str, expected: set[str]) -> None:
    assert needs(source) == expected


_names = st.sampled_from("abcd")


@given(bound=st.lists(_names), read=st.lists(_names))
def test_what_is_bound_before_is_never_needed(bound: list[str], read: list[str]) -> None:
    source = "\n".join([*(f"{n} = 1" for n in bound), *(f"print({n})" for n in read)])
    assert needs(source) - {"print"} == set(read) - set(bound)
