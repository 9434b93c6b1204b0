"""A node process synchronises real headers from a peer on loopback."""

from pathlib import Path

from ccnode.chain.networks import get_params
from tests.support.data import read_xz
from tests.support.process import NodeProcess
from tests.support.scripted import MAINNET_MAGIC, HeaderPeer, wait_until

MAINNET_TIP = "000000008a5b32a0610b2b0eeb5390e30e157324bf28c09ab83ccbb99184c38b"


def mainnet_headers(data_dir: Path) -> list[bytes]:
    """Heights 1 to 32,259."""
    raw = read_xz(data_dir / "headers/mainnet_000000_032259.bin.xz")
    return [raw[i : i + 80] for i in range(80, len(raw), 80)]


def test_mainnet_headers_sync_to_the_exact_tip(data_dir: Path, tmp_path: Path) -> None:
    headers = mainnet_headers(data_dir)
    genesis = get_params("mainnet").genesis
    with (
        HeaderPeer(headers, genesis, MAINNET_MAGIC) as peer,
        NodeProcess(tmp_path, f"--connect={peer.target}", "--minimumchainwork=0", chain="mainnet") as node,
    ):
        wait_until(lambda: node.rpc("getblockcount") == len(headers), seconds=60)
        assert node.rpc("getbestblockhash") == MAINNET_TIP
        info = node.rpc("getblockheader", node.rpc("getblockhash", 32256))
        assert info["difficulty"] > 1.18
        assert node.stop() == 0
