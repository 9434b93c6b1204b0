"""Every word of the shell, once, on a real node with a peer: a walk through the registry that leaves nobody out."""

import re
import sys
from pathlib import Path

import pytest

from ccnode.admin.shell.remote import Remote
from ccnode.admin.shell.session import Shell
from ccnode.admin.shell.views import VIEWS
from ccnode.admin.shell.words import load_words
from ccnode.chain.networks import REGTEST
from tests.support.fakes import HeaderLine, mined
from tests.support.process import NodeProcess
from tests.support.scripted import HeaderPeer, wait_until
from tests.support.terminal import Terminal

LINES = [
    ("status", r"regtest"),
    ("network", r"ipv4"),
    ("peers", r"scripted:1\.0"),
    ("peer 0", r"/scripted:1\.0/"),
    ("traffic", r"version"),
    ("sync", r"headers/s"),
    ("standing", r"with us"),
    ("chain", r"height +3"),
    ("headers 1..2", r"207fffff"),
    ("block 2", r"confirmations +2"),
    ("tips", r"active"),
    ("reorgs", r"none since the start"),
    ("addrman", r"ipv4"),
    ("addresses", r"no such address is known"),
    ("anchors", r"no anchors"),
    ("bans", r"nobody"),
    ("ban 192.0.2.0/24 --for 2h --reason spam", r"192\.0\.2\.0/24"),
    ("bans", r"192\.0\.2\.0/24 .*spam"),
    ("unban 192.0.2.0/24", r"192\.0\.2\.0/24"),
    ("connect {unreachable} --keep", r"is kept connected"),
    ("kept", r"127\.0\.0\.1"),
    ("forget {unreachable}", r"no longer kept"),
    ("disconnect 0", r"disconnected peer 0, 127\.0\.0\.1"),
    ("net off", r"none is made"),
    ("net on", r"made again"),
    ("log net debug", r"debug"),
    ("help peers", r"--sort COLUMN"),
    ("rpc getblockcount", r"3"),
    ("stop", r"stop"),
]
"""What is typed, and a pattern in what is shown, in an order in which each has something to show."""

ONGOING = {
    "watch": "test_shell_every_word.py",
    "top": "test_shell_top.py",
    "tap": "test_shell_tap.py",
    "events": "test_shell_tap.py",
}
"""Words without an end, and where they are tested."""

BLOCK_LINES = [
    ("transactions 1", r"50\.00000000 .*{txid}"),
    ("transaction {txid} 1", r"new coins(.|\n)*bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"),
    ("transaction {txid} 1 --hex", r"^0200000000"),
    ("coin {txid} 0", r"50\.00000000"),
    ("coin {txid} 7", r"there is no such output"),
    ("coins", r"outputs +2"),
    ("coins --hash muhash", r"muhash +[0-9a-f]{{64}}"),
    ("block 1", r"transactions +1"),
    ("tips", r"active"),
]
"""The same on a node with blocks."""


def test_every_word_works_on_a_node(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = HeaderLine().grow(3)
    with HeaderPeer(line.headers[1:], REGTEST.genesis_hash) as peer, NodeProcess(tmp_path, "--connect=0") as node:
        node.rpc("addnode", peer.target, "onetry")
        wait_until(lambda: node.rpc("getblockcount") == 3)
        shell = Shell(Remote(lambda: node.socket))
        for text, pattern in LINES:
            assert shell.run(text.format(unreachable="127.0.0.1:1")), (text, capsys.readouterr().err)
            shown = capsys.readouterr().out
            assert re.search(pattern, shown), (text, shown)


def test_every_word_about_blocks_works_on_a_node(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pbk")
    with NodeProcess(tmp_path, "--sync=blocks") as node:
        first, _ = node.rpc("generatetoaddress", 2, "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080")
        txid = node.rpc("getblock", first)["tx"][0]
        shell = Shell(Remote(lambda: node.socket))
        for text, pattern in BLOCK_LINES:
            assert shell.run(text.format(txid=txid)), (text, capsys.readouterr().err)
            shown = capsys.readouterr().out
            assert re.search(pattern.format(txid=txid), shown), (text, shown)


def test_watch(tmp_path: Path) -> None:
    with NodeProcess(tmp_path) as node:
        command = [sys.executable, "-m", "ccnode", "shell", f"--socket={node.socket}", "-e", "watch chain --every 1s"]
        terminal = Terminal(*command)
        try:
            for height in range(3):
                terminal.expect(rf"every 1s: chain[^$]*height +{height}\b")
                node.rpc("submitheader", _next_header(node).hex())
            terminal.type("q")
            assert terminal.exit_status() == 0
        finally:
            terminal.close()


def _next_header(node: NodeProcess) -> bytes:
    tip = node.rpc("getblockheader", node.rpc("getbestblockhash"))
    return mined(bytes.fromhex(tip["hash"])[::-1], tip["time"] + 1, 1)[0]


def test_no_word_is_left_out() -> None:
    load_words()
    assert {text.split()[0] for text, _ in (*LINES, *BLOCK_LINES)} | set(ONGOING) == {each.name for each in VIEWS}
    for word, file in ONGOING.items():
        assert re.search(rf'"{word}[ "]', (Path(__file__).parent / file).read_text()), word
