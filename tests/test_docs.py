"""What README, ARCHITECTURE and ``--help`` say is true of the code."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from ccnode.cli import COMMANDS
from ccnode.cli import main as ccnode
from ccnode.config import load_config
from ccnode.networks import network_params
from ccnode.options import CHAINS, IGNORED, OPTIONS
from tests.support.data import ROOT

DOCUMENTS = ("README.md", "ARCHITECTURE.md", "CHANGELOG.md")
README = (ROOT / "README.md").read_text()
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text()


def code_blocks(language: str) -> str:
    return "\n".join(re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL))


def ccnode_commands() -> Iterator[list[str]]:
    """The arguments of every call of ccnode in the README, in blocks and in running text."""
    for line in [*code_blocks("sh").splitlines(), *re.findall(r"`(ccnode [^`]*)`", README)]:
        for part in line.split("&&"):
            words = shlex.split(part)
            if words and Path(words[0]).name == "ccnode":
                yield words[1:]


def test_help_lists_every_option_and_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert ccnode(["--help"]) == 0
    text = capsys.readouterr().out
    for name, option in OPTIONS.items():
        assert re.search(rf"^  --{name}[ =]", text, re.MULTILINE), name
        assert option.help in " ".join(text.split()), name
    assert all(f"ccnode {command}" in text for command in COMMANDS)


def test_commands_of_the_readme_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    calls = list(ccnode_commands())
    assert len(calls) > 10
    for words in calls:
        if words and not words[0].startswith("-"):
            assert words[0] in COMMANDS
        elif words != ["--help"]:
            load_config(words)
    assert {words[0] for words in calls if words} >= {"demo", "shell", "rpc", "networks", "check-config"}


def test_options_in_the_readme_exist() -> None:
    for name in re.findall(r"`--([a-zA-Z]\w*)", README):
        assert name in {*OPTIONS, *IGNORED, "help", "KEY", "noKEY"}, name


def test_rpc_commands_of_the_readme_exist() -> None:
    from ccnode.admin.commands import REGISTRY

    called = [[word for word in words if not word.startswith("-")] for words in ccnode_commands()]
    called = [words[1] for words in called if words[:1] == ["rpc"] and len(words) > 1]
    assert called
    assert all(REGISTRY.find(name) is not None for name in called)


def test_network_example_is_a_network(tmp_path: Path) -> None:
    example = code_blocks("yaml")
    path = tmp_path / "own.yaml"
    path.write_text(example)
    params = network_params(load_config(["-c", str(path)]))
    written = yaml.safe_load(example)
    assert (params.name, params.default_port) == (written["chain"], written["network"]["port"])
    assert params.magic.hex() == written["network"]["magic"]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_paths_in_documents_exist(document: str) -> None:
    text = (ROOT / document).read_text()
    for path in re.findall(r"(?<!\.)\b((?:conf|tools|tests|ccnode)/[\w./]*\w)", text):
        assert (ROOT / path).exists(), f"{document}: {path}"
    for room, module in re.findall(r"(?<![\w/])(wire|chain|peers|sync|storage|network|admin)/(\w+\.py)", text):
        assert (ROOT / "ccnode" / room / module).is_file(), f"{document}: {room}/{module}"
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (ROOT / target).exists(), f"{document}: {target}"


def test_architecture_names_every_room_and_top_module() -> None:
    package = ROOT / "ccnode"
    rooms = {path.parent.name for path in package.glob("*/__init__.py")}
    assert rooms == set(re.findall(r"^\| `ccnode/(\w+)/`", ARCHITECTURE, re.MULTILINE))
    modules = {path.name for path in package.glob("*.py")} - {"__init__.py"}
    assert modules <= set(re.findall(r"`ccnode/(\w+\.py)`", ARCHITECTURE))


def test_architecture_shows_the_import_order_that_is_checked() -> None:
    contract = (ROOT / "pyproject.toml").read_text().split("layers = [")[1].split("]")[0]
    layers = re.findall(r'"([^"]+)"', contract)
    wanted = " > ".join(", ".join(re.findall(r"ccnode\.(\w+)", layer)) for layer in layers)
    shown = re.search(r"Imports point one way: `([^`]+)`", ARCHITECTURE)
    assert shown is not None
    assert " ".join(shown[1].split()) == wanted


def test_classes_named_in_the_architecture_exist() -> None:
    source = "\n".join(path.read_text() for path in (ROOT / "ccnode").rglob("*.py"))
    names = set(re.findall(r"`([A-Z][a-z]+[A-Z]\w+)(?:\.\w+)?`", ARCHITECTURE))
    assert len(names) > 5
    assert all(f"class {name}" in source for name in names), names


def test_dependencies_have_a_reason() -> None:
    """The table lists what is imported, and no more."""
    section = README.split("## Dependencies")[1].split("\n## ")[0]
    table = set(re.findall(r"^\| ([A-Za-z0-9-]+) \|", section, re.MULTILINE)) - {"Package"}
    source = "\n".join(path.read_text() for path in (ROOT / "ccnode").rglob("*.py"))
    modules = {"gevent": "gevent", "dnspython": "dns", "sqlite-utils": "sqlite_utils", "PyYAML": "yaml"}
    modules |= {"prompt-toolkit": "prompt_toolkit", "rich": "rich", "psutil": "psutil", "embit": "embit"}
    modules |= {"prometheus-client": "prometheus_client", "py-bitcoinkernel": "pbk", "cryptography": "cryptography"}
    modules |= {"siphashc": "siphashc", "mmh3": "mmh3", "lmdb": "lmdb"}
    assert table == set(modules)
    for name, module in modules.items():
        assert re.search(rf"^\s*(?:from|import) {module}\b", source, re.MULTILINE), name


def test_tests_named_beside_rules_exist() -> None:
    rows = re.findall(r"^\| .+ \| (.+) \|$", (ROOT / "tests/README.md").read_text(), re.MULTILINE)
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", " ".join(rows))
    for row in rows:
        assert "::" in row or row in ("Test", "Counterpart"), row
    for file, function in named:
        assert re.search(rf"^def {function}\(", (ROOT / "tests" / file).read_text(), re.MULTILINE), (file, function)


@pytest.mark.parametrize("chain", CHAINS)
def test_configuration_files_load(chain: str) -> None:
    path = ROOT / f"conf/{chain}.yaml"
    assert network_params(load_config(["-c", str(path)])).name == chain
    text = path.read_text()
    for name in re.findall(r"^#?(\w+):", text, re.MULTILINE):
        assert name in OPTIONS, name


@pytest.mark.parametrize("chain", CHAINS)
def test_settings_shown_in_configuration_files_load(chain: str, tmp_path: Path) -> None:
    """Every line that shows a setting loads once its # is gone."""
    text = (ROOT / f"conf/{chain}.yaml").read_text()
    for line in re.findall(r"^#(\w+:.*)$", text, re.MULTILINE):
        path = tmp_path / "one.yaml"
        path.write_text(f"chain: {chain}\n{line}\n")
        load_config(["-c", str(path)])
