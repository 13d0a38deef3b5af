"""``jupyter lambda simulate`` as a user types it."""

from __future__ import annotations

import json

import pytest

from jupyter_lambda.cli.simulate import SimulateCommand

SHORT = ["--functions", "10", "--duration", "1h", "--rate", "0.1", "--keep-alive", "10"]


def simulate(*argv: str) -> int:
    command = SimulateCommand()
    try:
        command.initialize([*argv])
        command.start()
    except SystemExit as ended:
        return int(ended.code or 0)
    raise AssertionError("a command ends with a code")


def test_help_tells_the_options(capsys):
    assert simulate("--help") == 0
    told = capsys.readouterr().out
    for option in ("--pattern", "--trace", "--from-ledger", "--keep-alive", "--out", "--seed"):
        assert option in told


def test_the_table_compares_learned_and_fixed_and_repeats_with_its_seed(capsys, tmp_path):
    picture = tmp_path / "picture.svg"
    assert simulate(*SHORT, "--out", str(picture)) == 0
    first = capsys.readouterr().out
    assert "learned" in first
    assert "fixed 10 min" in first
    assert picture.read_text().startswith("<svg")
    assert simulate(*SHORT, "--out", str(picture)) == 0
    assert capsys.readouterr().out == first
    assert simulate(*SHORT, "--seed", "2") == 0
    assert capsys.readouterr().out != first


def test_json(capsys):
    assert simulate(*SHORT, "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["policy"] for row in rows] == ["learned", "fixed 10 min"]


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["--trace", "missing.csv"], "can't be read as a trace"),
        (["--keep-alive", "soon"], "takes minutes"),
        (["--duration", "long"], "not a length of time"),
        (["--rate", "-1"], "invocations a second"),
        (["--trace", "a", "--from-ledger", "b"], "give one of them"),
        (["--out", "/nowhere/at/all.svg", *SHORT], "can't be written"),
        (["--pattern", "weird"], "pattern"),
    ],
)
def test_mistakes_are_one_clear_line(capsys, argv, told):
    assert simulate(*argv) in (1, 2)
    error = capsys.readouterr().err.strip()
    assert told in error
    assert "\n" not in error
