"""docs/extending.md runs: every example is written to files, and its command ends well."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest

from genbench.cli.main import main
from genbench.system.discover import leaf_classes

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "extending.md").read_text()
BLOCK = re.compile(r"^```(python|yaml|sh)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def sections() -> dict[str, str]:
    """The sections of the page that hold an example, by title."""
    _, *parts = re.split(r"^## ", PAGE, flags=re.MULTILINE)
    texts = dict(part.split("\n", 1) for part in parts)
    return {title: text for title, text in texts.items() if "```python" in text}


def write_files(text: str, folder: Path) -> list[str]:
    """Write the Python and YAML blocks, which begin with their file names.

    Returns:
        The commands of the other blocks.
    """
    commands = []
    for language, block in BLOCK.findall(text):
        if language == "sh":
            commands += [line for line in block.splitlines() if line.startswith("genbench ")]
            continue
        name = re.match(r"# (\S+)\n", block)[1]
        (folder / name).write_text(block)
    return commands


@pytest.mark.parametrize("title", sections())
def test_examples_of_the_page_run(title, tmp_path, monkeypatch, capsys):
    commands = write_files(sections()[title], tmp_path)
    modules = [path.stem for path in tmp_path.glob("*.py")]
    assert modules
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setenv("WANDB_MODE", "disabled")
    for module in modules:
        monkeypatch.delitem(sys.modules, module, raising=False)
        importlib.import_module(module)
    for command in commands:
        assert main([*command.split()[1:], *run_folder(command, tmp_path)]) == 0, command
        said = capsys.readouterr().out
        trust = re.search(r" --trust \w+", command)
        if " train " in command and trust:
            # the next command names the module too, without which it would be refused
            assert said.strip().endswith(trust[0]), said


def run_folder(command: str, folder: Path) -> list[str]:
    """Options by which training leaves nothing in the checkout."""
    if " train " in command and " --run_dir" not in command:
        return [f"--run_dir={folder / 'run'}"]
    return []


def test_table_names_classes_that_exist():
    rows = re.findall(
        r"^\| (an? [\w -]+) \| `genbench\.([\w.]+)` \| `(\S+)` \|", PAGE, re.MULTILINE
    )
    assert len(rows) >= 4
    for part, path, folder in rows:
        module, _, name = path.rpartition(".")
        file = ROOT / "genbench" / f"{module.replace('.', '/')}.py"
        assert re.search(rf"^class {name}\b", file.read_text(), re.MULTILINE), part
        assert (ROOT / folder).is_dir()
        assert any(title.lower() == part for title in sections()), part


def test_net_and_data_of_the_package_are_found_without_a_list():
    assert {"MLP", "MADE"} <= {path.rpartition(".")[2] for path in leaf_classes("nets", "Net")}
    assert {"Digits", "Points2d"} <= {
        p.rpartition(".")[2] for p in leaf_classes("data", "ImageData")
    }
