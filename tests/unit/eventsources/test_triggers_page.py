"""docs/triggers.md tells every kind, option and subcommand; what it shows can be read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from jupyter_lambda.cli.triggers import ACTS
from jupyter_lambda.eventsources.words import KINDS, parse
from jupyter_lambda.notebook import options
from jupyter_lambda.triggers.folders.scan import UNFINISHED

PAGE = (Path(__file__).parents[3] / "docs" / "triggers.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_and_option_is_documented(kind):
    heading = next(line for line in PAGE.splitlines() if line.startswith("### ") and f"`{kind}:`" in line)
    section = PAGE.partition(heading)[2].partition("\n### ")[0].partition("\n## ")[0]
    for option in KINDS[kind].known:
        assert f"| `{option}` |" in section, f"option {option} of {kind}"


def test_no_option_is_documented_that_there_is_not():
    known = {option for kind in KINDS.values() for option in kind.known}
    assert set(re.findall(r"^\| `([a-z]+)` \|", PAGE, re.MULTILINE)) == known


def test_every_word_that_is_shown_can_be_read():
    kinds = "|".join(KINDS)
    shown = re.findall(rf"`'?((?:{kinds}):[^`']*[^`':]+)'?`", PAGE)
    assert len(shown) > 20
    for word in shown:
        if not re.search(r"://|NAME|PATH|path|METHOD|FOLDER|prefix\*suffix", word):
            parse(word)


def test_every_act_is_documented():
    assert all(f"`%lambda trigger {act}`" in PAGE for act in options.TRIGGER_ACTS)
    assert "|".join(ACTS) in PAGE
    parser = options.subcommand_parser("fire")
    assert all(f"`{option}" in PAGE for option in options.option_strings(parser) if option not in ("-h", "--help"))


def test_the_names_that_do_not_count_are_documented():
    assert all(f"`{name}`" in PAGE for name in UNFINISHED if name not in ("*.swx", "4913"))
