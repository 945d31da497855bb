"""The README tells the truth about commands and options."""

import re
from pathlib import Path

import pytest

from wormfocus.command import main

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
# `wormfocus COMMAND ...` in code blocks and in backquotes, up to a comment or the end of the code.
USES = sorted(set(re.findall(r"(?:^|`|: )(?:\.venv/bin/)?wormfocus ([a-z]+[^`#\n]*)", README, re.MULTILINE)))
# Commands that have commands of their own.
GROUPS = {"calibrate"}


def test_the_readme_shows_how_to_use_the_command() -> None:
    assert len(USES) >= 10


@pytest.mark.parametrize("use", USES)
def test_a_command_in_the_readme_exists_with_its_options(
    use: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = use.split()
    depth = 2 if words[0] in GROUPS else 1
    command, rest = words[:depth], words[depth:]
    assert main([*command, "--help"]) == 0
    explained = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", capsys.readouterr().out))
    given = {word for word in rest if re.fullmatch(r"--?[a-z][a-z-]*", word)}
    assert given <= explained
