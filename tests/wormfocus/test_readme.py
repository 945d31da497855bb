"""README and the pages of docs tell the truth about commands and options."""

import re
from pathlib import Path

import pytest

from wormfocus.command import main

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXT = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
# `wormfocus COMMAND ...` in code blocks and in backquotes, up to a comment or the end of the code.
USES = sorted(set(re.findall(r"(?:^|`|: )(?:\.venv/bin/)?wormfocus ([a-z]+[^`#\n]*)", TEXT, re.MULTILINE)))
# Commands that have commands of their own.
GROUPS = {"calibrate"}


def test_the_pages_show_how_to_use_the_command() -> None:
    assert len(USES) >= 10


@pytest.mark.parametrize("use", USES)
def test_a_command_in_the_pages_exists_with_its_options(use: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = use.split()
    depth = 2 if words[0] in GROUPS else 1
    command, rest = words[:depth], words[depth:]
    assert main([*command, "--help"]) == 0
    explained = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", capsys.readouterr().out))
    given = {word for word in rest if re.fullmatch(r"--?[a-z][a-z-]*", word)}
    assert given <= explained


@pytest.mark.parametrize(
    "page",
    [*PAGES, ROOT / "hw" / "README.md", ROOT / "benchmarks" / "README.md"],
    ids=lambda p: p.parent.name,
)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not link.startswith("http")]
    for link in links:
        name, _, anchor = link.partition("#")
        target = (page.parent / name) if name else page
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}
            assert anchor in anchors, link
