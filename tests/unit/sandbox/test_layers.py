"""Layers merged by links show what layers mounted over each other would."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_lambda.sandbox.layers import merge_layers

NAMES = st.sampled_from("abc")
TREES = st.recursive(
    st.text("xyz", max_size=2), lambda inner: st.dictionaries(NAMES, inner, max_size=3), max_leaves=8
).filter(lambda tree: isinstance(tree, dict))


def write(tree, path: Path) -> None:
    if isinstance(tree, str):
        path.write_text(tree)
        return
    path.mkdir()
    for name, inner in tree.items():
        write(inner, path / name)


def read(path: Path):
    if path.is_dir():
        return {entry.name: read(entry) for entry in path.iterdir()}
    return path.read_text()


def over(lower, upper):
    if isinstance(lower, dict) and isinstance(upper, dict):
        return {name: over(lower.get(name), upper.get(name)) for name in lower | upper}
    return lower if upper is None else upper


@settings(max_examples=60, deadline=None)
@given(st.lists(TREES, max_size=4))
def test_the_later_layer_counts(tmp_path_factory, trees):
    folder = tmp_path_factory.mktemp("layers")
    expected = {}
    for n, tree in enumerate(trees):
        write(tree, folder / f"layer{n}")
        expected = over(expected, tree)
    merge_layers([folder / f"layer{n}" for n in range(len(trees))], folder / "opt")
    assert read(folder / "opt") == expected
    for n, tree in enumerate(trees):
        assert read(folder / f"layer{n}") == tree
