"""What a running node counts, captures and serves, seen from outside."""

import hashlib
import socket
import sqlite3
import time
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ccnode.network.capture import FOLDER, RECORD
from ccnode.wire.handshake import Verack, Version
from ccnode.wire.keepalive import Ping, Pong
from tests.support.data import read_xz
from tests.support.process import NodeProcess
from tests.support.scripted import Link, wait_until


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def scrape(port: int) -> dict[tuple[str, ...], float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_and_rpc_tell_the_same(tmp_path: Path) -> None:
    port = free_port()
    with NodeProcess(tmp_path, f"--metrics=127.0.0.1:{port}") as node:
        link = Link.connect(node.port)
        link.handshake()
        link.send(Pong(link.expect(Ping).nonce))
        wait_until(lambda: "pingtime" in node.rpc("getpeerinfo")[0])
        figures = scrape(port)
        peer, totals = node.rpc("getpeerinfo")[0], node.rpc("getnettotals")
        assert figures["ccnode_peers", "not_publicly_routable", "inbound"] == 1
        assert figures["ccnode_bytes_total", "in"] == totals["totalbytesrecv"] == peer["bytesrecv"]
        assert figures["ccnode_messages_total", "in", "pong"] == peer["msgsrecv_per_msg"]["pong"] == 1
        assert figures["ccnode_message_bytes_total", "in", "pong"] == peer["bytesrecv_per_msg"]["pong"] == 32
        stats = node.rpc("getnodestats")
        assert stats["traffic"]["received"]["messages_per_msg"] == peer["msgsrecv_per_msg"]
        assert stats["connections"]["accepted"] == 1
        link.close()
        wait_until(lambda: not node.rpc("getpeerinfo"))
        assert scrape(port)["ccnode_bytes_total", "in"] == totals["totalbytesrecv"], "who left still counts"


def test_an_address_for_metrics_that_is_taken_is_said_at_the_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with NodeProcess(tmp_path, f"--metrics=127.0.0.1:{port}", wait=False) as node:
            assert node.process.wait(20) == 5
            taken_by = "another program listens there"
            assert f"cannot serve metrics: cannot listen on 127.0.0.1:{port}: {taken_by}" in node.text()


def test_failed_dials_are_counted_by_reason(tmp_path: Path) -> None:
    with NodeProcess(tmp_path) as node:
        port = free_port()
        node.rpc("addnode", f"127.0.0.1:{port}", "onetry")
        counted = node.rpc("getnodestats")["connections"]
        assert counted["attempts"] == {"manual": 1}
        assert counted["failures"] == [{"type": "manual", "reason": "refused", "count": 1}]


def test_every_message_of_a_peer_is_captured_before_it_is_seen_to_be_gone(tmp_path: Path) -> None:
    """Core's ``p2p_message_capture.py`` reads the files as soon as the peers have left."""
    with NodeProcess(tmp_path, "--capturemessages") as node:
        link = Link.connect(node.port)
        host, port = link.sock.getsockname()
        link.handshake()
        link.expect(Ping)
        link.close()
        wait_until(lambda: not node.rpc("getpeerinfo"))
        folder = node.folder / FOLDER / f"{host}_{port}"
        received, sent = (types(folder / name) for name in ("msgs_recv.dat", "msgs_sent.dat"))
        assert {Version.command, Verack.command} <= set(received)
        assert {Version.command, Verack.command, Ping.command} <= set(sent)


def types(path: Path) -> list[str]:
    data, found = path.read_bytes(), []
    while data:
        _, name, size = RECORD.unpack_from(data)
        found.append(name.rstrip(b"\0").decode())
        data = data[RECORD.size + size :]
    return found


def test_a_message_sent_by_hand_arrives_as_it_is(tmp_path: Path) -> None:
    with NodeProcess(tmp_path) as node:
        link = Link.connect(node.port)
        link.handshake()
        link.expect(Ping)
        wait_until(lambda: node.rpc("getpeerinfo")[0]["version"])
        node.rpc("sendmsgtopeer", 0, "ping", "0102030405060708")
        assert link.expect(Ping).nonce == 0x0807060504030201


def test_the_asmap_is_looked_over_at_the_start_and_every_day(tmp_path: Path, data_dir: Path) -> None:
    data = read_xz(data_dir / "addrs" / "core_ip_asn.dat.xz")
    (tmp_path / "regtest").mkdir(parents=True)
    (tmp_path / "regtest" / "ip_asn.map").write_bytes(data)
    with NodeProcess(tmp_path, "--asmap=ip_asn.map", "--test=addrman") as node:
        wait_until(lambda: "ASMap Health Check: 0 clearnet peers are mapped to 0 ASNs" in node.text())
        for host in ("8.8.8.8", "8.8.4.4", "1.1.1.1", "2001:4860:4860::8888"):
            node.rpc("addpeeraddress", host, 8333)
        for _ in range(24):
            node.rpc("mockscheduler", 3600)
        text = "ASMap Health Check: 4 clearnet peers are mapped to 2 ASNs with 0 peers being unmapped"
        wait_until(lambda: text in node.text())
        exported = node.rpc("exportasmap", "copy.map")
        assert exported["file_hash"] == hashlib.sha256(data).hexdigest()
        assert (tmp_path / "regtest" / "copy.map").read_bytes() == data


def test_progress_is_logged_as_often_as_asked(tmp_path: Path) -> None:
    with NodeProcess(tmp_path, "--statusinterval=1") as node:
        wait_until(lambda: "peers 0 out 0 in" in node.text(), 6)


def test_ended_bans_go_when_the_sweep_comes(tmp_path: Path) -> None:
    with NodeProcess(tmp_path, "--bansweepinterval=600") as node:
        now = int(time.time())
        node.rpc("setmocktime", now)
        node.rpc("setban", "5.5.5.5", "add", 10)
        wait_until(lambda: stored_bans(node) == 1)
        node.rpc("setmocktime", now + 11)
        node.rpc("mockscheduler", 300)
        assert stored_bans(node) == 1
        node.rpc("mockscheduler", 301)
        wait_until(lambda: stored_bans(node) == 0)


def stored_bans(node: NodeProcess) -> int:
    with closing(sqlite3.connect(f"file:{node.folder / 'node.sqlite'}?mode=ro", uri=True)) as db:
        return int(db.execute("SELECT count(*) FROM bans").fetchone()[0])


@pytest.mark.parametrize(("target", "serves"), [("1", False), ("600m", True)])
def test_the_upload_target_is_shown(tmp_path: Path, target: str, serves: bool) -> None:
    with NodeProcess(tmp_path, f"--maxuploadtarget={target}") as node:
        shown = node.rpc("getnettotals")["uploadtarget"]
        assert shown["serve_historical_blocks"] is serves
        assert shown["target_reached"] is False
        assert shown["bytes_left_in_cycle"] == shown["target"] == {"1": 2**20, "600m": 600_000_000}[target]
