"""What a cell brings along: built in a real IPython shell, loaded and called as a function would."""

from __future__ import annotations

import contextlib
import io
import sqlite3
import sys
import threading
import traceback
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jupyter_lambda.notebook.errors import CaptureError
from jupyter_lambda.notebook.values import human_size, literal


def test_the_example_of_the_documentation(notebook: Any) -> None:
    notebook.run("import numpy as np", "def helper(a):\n    return int(a.sum())")
    body = 'import numpy as np\ndef handler(event, context):\n    return {"sum": helper(np.arange(event["n"]))}\n'
    assert notebook.call(body, {"n": 4}) == {"sum": 6}


def test_functions_are_brought_in_transitively_and_in_an_order_that_works(notebook: Any) -> None:
    notebook.run(
        "import functools\nLIMIT = 3",
        "def late(x): return x * LIMIT",
        "def decorate(f):\n    @functools.wraps(f)\n    def g(*a): return late(f(*a))\n    return g",
        "@decorate\ndef early(x, top=LIMIT):\n    return x + top",
    )
    assert notebook.call("def handler(event, context): return early(1)") == 12


def test_decorators_without_wraps_and_rebound_names(notebook: Any) -> None:
    notebook.run(
        "def twice(f):\n    def g(x): return f(f(x))\n    return g",
        "@twice\ndef add1(x): return x + 1",
        "def add2(x): return x + 2",
        "add2 = twice(add2)",
    )
    assert notebook.call("def handler(event, context): return [add1(0), add2(0)]") == [2, 4]


def test_the_live_definition_wins(notebook: Any) -> None:
    notebook.run("def f(): return 'old'", "def f(): return 'new'")
    assert notebook.call("def handler(e, c): return f()") == "new"
    notebook.run("g = f", "def f(): return 'newest'")
    assert notebook.call("def handler(e, c): return [f(), g()]") == ["newest", "new"]


def test_lambdas_caches_closures_and_partials(notebook: Any) -> None:
    notebook.run(
        "import functools\nfrom functools import partial, lru_cache",
        "double = lambda x: 2 * x\n@lru_cache(maxsize=None)\ndef cached(x): return double(x)",
        "def adder(n):\n    def add(x): return x + n\n    return add\nadd3 = adder(3)",
        "add1 = partial(lambda a, b: a + b, 1)\ndbl = partial(double)\ncached = cached",
    )
    body = "def handler(e, c): return [double(2), cached(3), add3(4), add1(5), dbl(6)]"
    assert notebook.call(body) == [4, 6, 7, 6, 12]


def test_classes_of_every_kind(notebook: Any) -> None:
    notebook.run(
        "from dataclasses import dataclass, field\nfrom enum import Enum\nfrom collections import namedtuple\n"
        "from typing import NamedTuple, TypeVar\nDEFAULT = 7",
        "@dataclass\nclass P:\n    x: int\n    y: int = DEFAULT\n    z: list = field(default_factory=list)",
        "class Color(Enum):\n    RED = 1\nclass N(NamedTuple):\n    a: int",
        "Pair = namedtuple('Pair', 'a b')\nT = TypeVar('T')\nVector = list[float]",
        "class Base:\n    pass\nclass Child(Base):\n    def name(self): return type(self).__name__",
    )
    body = (
        "def f(v: Vector, t: T = None) -> Pair:\n    return Pair(1, 2)\n"
        "def handler(event, context):\n"
        "    return [P(1).y, Color.RED.value, N(3).a, f([])[1], Child().name(), isinstance(Child(), Base)]"
    )
    assert notebook.call(body) == [7, 1, 3, 2, "Child", True]


def test_instances_of_the_notebooks_classes_are_data(notebook: Any) -> None:
    notebook.run(
        "from dataclasses import dataclass\nfrom enum import Enum\nclass Kind(Enum):\n    A = 'a'",
        "@dataclass\nclass P:\n    x: int\n    def norm(self): return abs(self.x)\n",
        "points = {'a': [P(-1), P(2)]}\nkind = Kind.A\nnorm = P(-5).norm",
    )
    body = (
        "def handler(e, c):\n"
        "    return [[p.norm() for p in points['a']], isinstance(points['a'][0], P), kind is Kind.A, norm()]"
    )
    assert notebook.call(body) == [[1, 2], True, True, 5]


def test_constants_stand_in_the_source_and_data_in_files(notebook: Any) -> None:
    notebook.run("import numpy as np\nA = {'k': (1, 2.5, None), 's': {3, 1}}\nB = np.arange(5)\nC = 'text\\n\"'")
    made = notebook.build("def handler(e, c): return [A['k'][1], int(B.sum()), C, 3 in A['s']]")
    assert "A = {'k': (1, 2.5, None), 's': {1, 3}}" in made.generated.source
    assert 'B = _data("B")  # ndarray' in made.generated.source
    assert "import numpy" not in made.generated.source
    assert notebook.load(made)({}, None) == [2.5, 10, 'text\n"', True]


def test_imports_become_import_statements_as_written(notebook: Any) -> None:
    notebook.run(
        "import numpy as np, json\nimport xml.etree.ElementTree\nimport os.path\nfrom math import pi, sqrt as root",
        "from collections import *\ntry:\n    import ujson as js\nexcept ImportError:\n    import json as js",
    )
    body = (
        "def handler(e, c):\n    xml.etree.ElementTree.Element('a'); os.path.join('a', 'b')\n"
        "    return [root(4), round(pi), json.loads('1'), int(np.int64(3)), Counter('aa')['a'], js.loads('2')]"
    )
    made = notebook.build(body)
    for line in (
        "import numpy as np",
        "import json",
        "import xml.etree.ElementTree",
        "from math import pi",
        "from math import sqrt as root",
        "from collections import Counter",
        "import json as js",
    ):
        assert line in made.generated.source.splitlines()
    assert notebook.load(made)({}, None) == [2.0, 3, 1, 3, 2, 2]


def test_local_modules_travel_with_what_they_import(notebook: Any) -> None:
    Path("alpha.py").write_text("import beta\ndef f(): return beta.VALUE")
    Path("beta").mkdir()
    Path("beta/__init__.py").write_text("from .inner import VALUE")
    Path("beta/inner.py").write_text("VALUE = 42")
    Path("beta/__pycache__").mkdir()
    Path("beta/__pycache__/x.pyc").write_bytes(b"x")
    made = notebook.build("import alpha\ndef handler(e, c): return alpha.f()")
    assert {"alpha.py", "beta/__init__.py", "beta/inner.py"} < set(made.generated.files)
    assert not any("pycache" in path for path in made.generated.files)
    assert not any(path.startswith("numpy") for path in made.generated.files)
    notebook.run("from alpha import f")
    assert "alpha.py" in notebook.build("def handler(e, c): return f()").generated.files


def test_data_of_a_local_modules_class_brings_the_module(notebook: Any) -> None:
    Path("gamma.py").write_text("class G:\n    x = 1")
    notebook.run("import gamma\nthing = gamma.G()\ndel gamma")
    assert "gamma.py" in notebook.build("def handler(e, c): return thing.x").generated.files


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("def handler(e, c):\n    return pd.DataFrame()", "line 3: `pd` is not defined: add `import pandas as pd`"),
        (
            "def handler(e, c):\n    return math.pi + np.pi",
            "`import math`; %%lambda clean, line 3: `np` is not defined",
        ),
        ("def handler(e, c):\n    return math.pi", "`math` is not defined: add `import math`"),
        ("def handler(e, c):\n    return helpr()", "`helpr` is not defined: did you mean `helper`?"),
        ("def handler(e, c):\n    return event", "`event` is not defined: only the handler gets it"),
        ("def handler(e, c):\n    display(e)", "`display` is not defined: it exists in notebooks only"),
        ("def handler(e, c): return gone()", "is gone: run that cell again"),
        ("def handler(e, c): return broken()", "`nothing` is not defined"),
        (
            "!pip install requests\ndef handler(e, c): pass",
            "line 2: `!pip install requests` can't run in a function: use",
        ),
        ("%time\ndef handler(e, c): pass", "line 2: `%time` can't run in a function"),
        ("def handler(e, c)\n    pass", "line 2: expected ':'"),
        ("return 1", "'return' outside function"),
        ("import no_such_thing\ndef handler(e, c): pass", "`no_such_thing` is not installed here: add `--pip"),
        ("import bs4_\nimport cv2_\ndef handler(e, c): pass", "is not installed here"),
        ("x = 1", "nothing to call"),
        ("def a(): pass\ndef b(): pass", "the cell defines a, b: name one `handler`"),
        ("def a(): pass", "takes no arguments"),
        ("def a(x, y, z): pass", "takes more than"),
    ],
)
def test_what_cannot_work_is_one_clear_line(notebook: Any, body: str, message: str) -> None:
    notebook.run("def helper(): pass\ndef gone(): pass\ndef broken(): return nothing", "del gone")
    with pytest.raises(CaptureError) as caught:
        notebook.build(body)
    assert message in caught.value.message
    assert "\n" not in caught.value.message
    assert len(caught.value._render_traceback_()) == 1


def unshippable() -> list[tuple[str, Callable[[], Any], str]]:
    return [
        ("f", lambda: Path("f.txt").open("w"), "an open file"),
        ("db", lambda: sqlite3.connect(":memory:"), "an open database connection"),
        ("lock", threading.Lock, "a lock"),
        ("rlock", threading.RLock, "a lock"),
        ("event_", threading.Event, "a thread or a lock"),
        ("gen", lambda: (x for x in "ab"), "a generator"),
        ("inside", lambda: {"a": [1, threading.Lock()]}, "`inside['a'][1]` (in `inside`) is a lock"),
        ("frame", lambda: sys._getframe(), "a stack frame"),
    ]


@pytest.mark.parametrize(("name", "make", "message"), unshippable(), ids=lambda v: v if isinstance(v, str) else "")
def test_what_cannot_travel_is_refused_by_name(notebook: Any, name: str, make: Callable[[], Any], message: str) -> None:
    value = make()
    notebook.names[name] = value
    try:
        with pytest.raises(CaptureError) as caught:
            notebook.build(f"def handler(e, c): return {name}")
        assert message in caught.value.message
        assert name in caught.value.message
    finally:
        if hasattr(value, "close"):
            value.close()
        notebook.names.pop(name)


def test_large_data_warns_and_larger_is_refused_with_the_line_that_fixes_it(notebook: Any) -> None:
    notebook.run("import numpy as np, pandas as pd\nmid = np.random.rand(50_000)\nbig = np.zeros(3_000_000)")
    made = notebook.build("def handler(e, c): return float(mid[0])")
    assert any("`mid` (ndarray) adds 391 kB" in text for text in made.capture.warnings)
    with pytest.raises(
        CaptureError, match=r"`big` \(ndarray\) is 23 MB; a function may carry 16 MB of data: `big = big\["
    ):
        notebook.build("def handler(e, c): return float(big[0])")
    notebook.run("df = pd.DataFrame({'a': big})")
    with pytest.raises(CaptureError, match=r"df.to_parquet"):
        notebook.build("def handler(e, c): return df.shape")
    notebook.names.pop("df")


def test_the_same_cell_gives_the_same_bytes(notebook: Any) -> None:
    notebook.run("names = {'b', 'a', 'c'}\nimport numpy as np\nd = np.arange(99)\ndef f(): return names, d")
    body = "def handler(e, c): return f()"
    first = notebook.build(body)
    notebook.run("1 + 1", "def other(): pass")
    again = notebook.build(body)
    assert first.zip_bytes == again.zip_bytes
    assert first.code_sha256 == again.code_sha256
    notebook.run("names = {'b', 'a', 'c'}\nimport numpy as np\nd = np.arange(99)\ndef f(): return names, d")
    assert notebook.build(body).zip_bytes == first.zip_bytes
    with zipfile.ZipFile(io.BytesIO(first.zip_bytes)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == sorted(archive.namelist())


def test_use_brings_in_what_the_cell_does_not_mention(notebook: Any) -> None:
    notebook.run("def secret(): return 5")
    body = "def handler(e, c): return globals()[e['name']]()"
    assert notebook.call(body, {"name": "secret"}, use=["secret"]) == 5
    with pytest.raises(CaptureError, match="`nope` is not defined"):
        notebook.build(body, use=["nope"])


def test_future_annotations_of_the_notebook_hold_in_the_function(notebook: Any) -> None:
    notebook.run("from __future__ import annotations", "def f(a: Unknown) -> Other: return a")
    made = notebook.build("def handler(e: Nope, c): return f(1)", lazy_annotations=True)
    assert made.generated.source.startswith("from __future__ import annotations\n")
    assert notebook.load(made)({}, None) == 1


def test_names_that_the_cell_binds_itself_win(notebook: Any) -> None:
    notebook.run("helper = 1\ndef uses(): return helper()")
    assert notebook.call("def helper(): return 2\ndef handler(e, c): return uses()") == 2


def test_a_global_counter_starts_with_the_notebooks_value(notebook: Any) -> None:
    notebook.run("count = 10")
    body = "def handler(e, c):\n    global count\n    count += 1\n    return count"
    handler = notebook.load(notebook.build(body))
    assert [handler({}, None), handler({}, None)] == [11, 12]


def test_definitions_timed_by_a_cell_magic_are_found(notebook: Any) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        notebook.run("%%time\ndef timed(): return 3\n")
    assert notebook.call("def handler(e, c): return timed()") == 3


# --- handlers


@pytest.mark.parametrize(
    ("body", "event", "result"),
    [
        ("def handler(event, context): return 1", {}, 1),
        ("def lambda_handler(event, context): return 2\ndef other(): pass", {}, 2),
        ("def anything(event, context): return 3", {}, 3),
        ("def only_event(event): return event['n']", {"n": 4}, 4),
        ("async def handler(event, context): return 5", {}, 5),
        ("async def handler(event): return 6", {}, 6),
        ("handler = lambda event, context: 7", {}, 7),
        ("event['n'] + 1", {"n": 7}, 8),
        ("'text'", {}, "text"),
        ("'What it is.'\nevent['n']", {"n": 7}, 7),
        ("import math\nr = event['r']\nmath.floor(math.pi * r)", {"r": 3}, 9),
        ("def sq(x): return x * x\ndef up(x): return x + 1\nup(sq(event['n']))", {"n": 3}, 10),
        ("def sq(x): return x * x\nsq(event['n']) + 2", {"n": 3}, 11),
        ("k = event['k']\ndef f(x): return x * k\n[f(i)\n for i in range(3)]", {"k": 6}, [0, 6, 12]),
        ('text = """a\n  b"""\ntext + event["t"]', {"t": "!"}, "a\n  b!"),
        ("total = 0\nfor i in event['l']:\n    total += i\ntotal", {"l": [6, 7]}, 13),
        ("class A:\n    def __init__(self): self.v = event['v']\nA().v", {"v": 14}, 14),
    ],
)
def test_the_handler_is_found(notebook: Any, body: str, event: Any, result: Any) -> None:
    assert notebook.call(body, event) == result


def test_handler_by_name(notebook: Any) -> None:
    notebook.run("def brought(event, context): return 'in'")
    Path("mine.py").write_text("def go(event, context): return 'file'")
    assert notebook.call("def a(e, c): return 'a'\ndef b(e, c): return 'b'", handler="b") == "b"
    assert notebook.call("x = 1", handler="brought") == "in"
    assert notebook.build("x = 1", handler="mine.go").generated.handler == "mine.go"
    with pytest.raises(CaptureError, match="did you mean `abc`"):
        notebook.build("def abc(e, c): pass\ndef d(e, c): pass", handler="abd")


# --- tracebacks


def frames(function: Callable[..., Any], event: Any = None) -> list[tuple[str, int | None, str]]:
    with pytest.raises(ZeroDivisionError) as caught:
        function(event or {}, None)
    return [(f.filename, f.lineno, f.line or "") for f in traceback.extract_tb(caught.value.__traceback__)[1:]]


def test_tracebacks_name_the_cells_and_their_lines(notebook: Any) -> None:
    notebook.run("def ok(): pass\n\ndef fails(x):\n    return 1 / x")
    made = notebook.build("# why\nimport os\n\ndef handler(event, context):\n    y = 0\n    return fails(y)")
    assert frames(notebook.load(made)) == [
        ("%%lambda clean", 7, "return fails(y)"),
        ("cell defining fails", 4, "return 1 / x"),
    ]
    assert set(made.places) == {"cell defining fails"}  # the other did not run as a cell
    assert made.places["cell defining fails"].startswith("In [")


def test_tracebacks_of_an_expression(notebook: Any) -> None:
    made = notebook.build("import os\nn = event['n']\n\n[1 / n\n for _ in 'a']\n")
    found = frames(notebook.load(made), {"n": 0})
    assert found[0][:2] == ("%%lambda clean", 5)
    assert "1 / n" in found[0][2]


def test_tracebacks_count_blank_lines_above_the_magic(notebook: Any) -> None:
    hist = notebook.shell.history_manager.input_hist_raw
    body = "def handler(e, c):\n    return 1 / 0\n"
    hist.append("\n\n%%lambda clean\n" + body)
    assert frames(notebook.load(notebook.build(body)))[0][1] == 5
    hist.pop()


# --- values


@pytest.mark.parametrize(
    "value",
    [
        None, True, 1, -2.5, float("inf"), 1j, "é\n'\"", b"\x00", (1,), (), [], [1, [2]], {"a": {"b": (1,)}}, {1, 2},
        set(), frozenset({"x"}), frozenset(), list(range(100)), {str(i): i for i in range(60)}, ..., complex("nan+1j"),
    ],
)  # fmt: skip
def test_literals_are_exact(value: Any) -> None:
    text = literal(value)
    assert text is not None
    assert repr(eval(text)) == repr(value)


def test_what_has_no_literal() -> None:
    recursive: list[Any] = []
    recursive.append(recursive)
    for value in (object(), [object()], type("L", (list,), {})(), "x" * 10_000, recursive):
        assert literal(value) is None


def test_sizes_for_people() -> None:
    assert [human_size(n) for n in (5, 2048, 15_000, 16 * 1024**2, 3 * 1024**3)] == [
        "5 B", "2.0 kB", "15 kB", "16 MB", "3.0 GB",
    ]  # fmt: skip
