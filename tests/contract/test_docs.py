"""The documentation: built strictly, its reference is generated, and its commands run or say that they are not run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cl import plugins
from cl.reports.config_reference import configuration_reference
from tests.support.docs import DOCS, PAGES, blocks
from tests.support.repository import ROOT


def test_the_reference_is_the_one_that_is_generated() -> None:
    page = (DOCS / "reference" / "configuration.md").read_text(encoding="utf-8")
    assert configuration_reference() in page, "run `make docs-reference`"


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 200


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "README.md"], ids=lambda page: page.stem)
def test_a_command_that_no_test_runs_says_so(page) -> None:
    for before, body in blocks(page, "shell", "py"):
        if re.search(r"^\s*(cl|make) ", body, re.MULTILINE) or "import cl" in body:
            assert "not run by a test" in before, f"{page.name}: {body.splitlines()[0]}"


def test_every_command_has_help_and_every_option_in_the_docs_exists() -> None:
    from cl.cli.main import cl

    commands = {**cl.commands}
    for group, command in cl.commands.items():
        commands |= {f"{group} {name}": part for name, part in getattr(command, "commands", {}).items()}
    options = {name: {flag for one in command.params for flag in one.opts} for name, command in commands.items()}
    text = "\n".join(body for page in PAGES for _, body in blocks(page, "shell", "console"))
    used = re.findall(r"^\s*(?:[A-Z_]+=\S+ )*cl ([a-z-]+)((?:[^\n\\#]|\\\n)*)", text, re.MULTILINE)
    assert len(used) > 20
    for name, rest in used:
        word = rest.split()[0] if rest.split() else ""
        name = f"{name} {word}" if f"{name} {word}" in options else name
        assert name in options, f"cl {name}"
        flags = set(re.findall(r"(?<=\s)(--[a-z-]+|-[a-z])(?=[\s=]|$)", rest))
        assert flags <= options[name] | {"--help"}, f"cl {name}{rest}: {sorted(flags - options[name])}"
    assert all(command.help for command in commands.values())


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    named = set(re.findall(r": ([\w/-]+\.md)$", navigation, re.MULTILINE))
    for folder in re.findall(r": ([\w-]+/)$", navigation, re.MULTILINE):  # docs/navigation.py lists their pages
        named |= {str(page.relative_to(DOCS)) for page in (DOCS / folder).glob("*.md")}
    assert named == {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}


@pytest.mark.parametrize("name", plugins.names("tasks"))
def test_every_task_has_a_page_with_its_columns_and_settings_and_an_example(name) -> None:
    task = plugins.find("tasks", name)
    page = (DOCS / "tasks" / f"{name}.md").read_text(encoding="utf-8")
    missing = [word for word in (*task.schema.names, *task.model_fields) if f"`{word}`" not in page]
    assert not missing, missing
    examples = [path.read_text(encoding="utf-8") for path in ROOT.glob("examples/*/*.yaml")]
    is_default = name == "text_classification"
    assert is_default or any(re.search(rf"^task: .*\b{name}\b", text, re.MULTILINE) for text in examples)


def test_the_pictures_are_small_shown_and_taken_by_the_script() -> None:
    pictures = {path.name: path.stat().st_size for path in (DOCS / "images").iterdir()}
    assert max(pictures.values()) <= 150_000 and sum(pictures.values()) <= 1_000_000, pictures
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    shown = {Path(path).name: alt for alt, path in re.findall(r"!\[([^\]]*)\]\(([^)]*images/[^)]+)\)", text)}
    assert shown.keys() == pictures.keys()
    assert all(len(alt.split()) >= 5 for alt in shown.values()), "say what a picture shows"
    script = (ROOT / "bench" / "screenshots.py").read_text(encoding="utf-8")
    assert {f"{name}.png" for name in re.findall(r'Picture\(\s*"([\w-]+)"', script)} == pictures.keys()


def test_every_link_leads_to_a_page() -> None:
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in [*PAGES, ROOT / "CONTRIBUTING.md"]
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert not broken, broken
