"""What can be done is written down: commands, public functions, decisions, targets of links."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import thumbstream
from thumbstream import cli

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").rglob("*.md"))


def _commands(capsys: pytest.CaptureFixture[str]) -> set[str]:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    return set(re.findall(r"^    ([a-z-]+)(?: |$)", capsys.readouterr().out, re.MULTILINE))


def test_every_command_is_in_the_readme(capsys: pytest.CaptureFixture[str]) -> None:
    commands = _commands(capsys)
    assert {
        "encode",
        "compress-all",
        "decode",
        "inspect",
        "truncate",
        "models",
        "serve",
    } <= commands
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert not [name for name in commands if f"thumbstream {name}" not in readme]


@pytest.mark.parametrize(
    ("command", "page", "some"),
    [
        ("compress-all", "bulk.md", {"--store", "--journal", "--scheduler", "--no-curves"}),
        ("upload", "python-client.md", {"--server", "--journal", "--token-file", "--alpha"}),
    ],
)
def test_every_option_is_documented(
    command: str, page: str, some: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    options = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help", "--print0"}
    assert some <= options
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    assert not [name for name in options if f"`{name}" not in text]


def test_the_three_functions_are_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for function in (thumbstream.encode, thumbstream.decode, thumbstream.inspect):
        assert f"thumbstream.{function.__name__}(" in readme


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link and not link.startswith("mailto:")]
    assert not [link for link in local if not (page.parent / link).exists()]


def test_the_commands_of_the_readme_work_in_zsh() -> None:
    """An interactive zsh has no comments, and no file matches an unquoted ``?``, ``*`` or ``[``."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"^```sh\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL))
    bare = re.sub(r"'[^']*'|\"(?:\\.|[^\"])*\"", "", code)
    assert not re.findall(r"[?*\[\]#<]", bare)
    assert set(re.findall(r"\$([A-Z]+)", code)) <= set(
        re.findall(r"^([A-Z]+)=", code, re.MULTILINE)
    )
