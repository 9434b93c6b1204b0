"""What is told of the validation of blocks."""

from dataclasses import replace

import pytest

from ccnode.chain.networks import MAINNET, REGTEST
from ccnode.chain.params import TxHistory
from ccnode.sync.progress import Phase
from tests.support.blocks import BlockRoom, room_at
from tests.support.fakes import HeaderLine
from tests.support.sync import DAY, SyncRoom


def test_headers_first_then_blocks_then_nothing() -> None:
    line = HeaderLine().grow(64, spacing=3600)
    room = BlockRoom(now=line.time + 60)
    phases = [room.sync.progress().phase]
    peer = room.join()
    phases.append(room.sync.progress().phase)
    room.serve(peer, line)
    while asked := room.requested(peer, line):
        phases.append(room.sync.progress().phase)
        room.send_blocks(peer, line, asked)
    phases.append(room.sync.progress().phase)
    seen = [phase for i, phase in enumerate(phases) if i == 0 or phase is not phases[i - 1]]
    assert seen == [Phase.NO_PEERS, Phase.HEADERS, Phase.BLOCKS, Phase.SYNCED]


def test_height_rate_and_time_left_of_the_blocks(long_line: HeaderLine) -> None:
    room = BlockRoom(now=long_line.time)
    peer = room.join_with(long_line)
    room.sync.progress()
    room.clock.advance(2)
    room.send_blocks(peer, long_line, list(range(1, 13)))
    progress = room.sync.progress()
    assert (progress.phase, progress.height, progress.rate) == (Phase.BLOCKS, 12, 6)
    assert progress.best_time == room.index.time(room.index.tip)
    assert progress.percent == pytest.approx(100 * 13 / 6101)
    assert progress.eta == pytest.approx(6088 / 6)
    assert room.sync.verified() == progress.percent / 100


def test_one_new_block_is_no_download_any_more() -> None:
    line = HeaderLine().grow(10)
    room = room_at(line)
    longer = line.fork(10).grow(7, spacing=1)
    peer = room.join_with(line)
    room.give(peer, longer.headers[11:17])
    assert room.sync.progress().phase is Phase.SYNCED
    assert room.sync.verified() == pytest.approx(11 / 17)
    room.give(peer, longer.headers[17:])
    assert room.sync.progress().phase is Phase.BLOCKS


def test_where_the_transactions_are_known_they_are_the_measure() -> None:
    line = HeaderLine().grow(100)
    history = TxHistory(time=line.time, count=81, rate=20 / DAY)
    room = BlockRoom(replace(REGTEST, tx_history=history), now=line.time + DAY)
    room.connect(line.fork(80))
    assert room.sync.verified() == pytest.approx(81 / (81 + 20))
    room.connect(line.fork(90))
    room.load(line)
    waiting = (room.clock.now() - line.fork(90).time) * history.rate
    assert room.sync.verified() == pytest.approx(91 / (91 + waiting))
    room.connect(line)
    assert room.sync.verified() == 1.0


def test_a_node_of_headers_goes_by_its_headers() -> None:
    line = HeaderLine().grow(64, spacing=3600)
    room = SyncRoom(now=line.time)
    peer = room.join()
    assert room.sync.verified() < 0.5
    room.serve(peer, line)
    assert room.sync.verified() == 1.0


def test_mainnet_knows_its_transactions() -> None:
    assert MAINNET.tx_history is not None
    assert MAINNET.tx_history.count > 900_000_000


def test_without_peers_blocks_may_be_connected_or_read_from_files() -> None:
    line = HeaderLine().grow(64, spacing=3600)
    room = BlockRoom(now=line.time + 60)
    room.chain.accept(line.headers[1:])
    assert room.sync.progress().phase is Phase.NO_PEERS
    room.clock.advance(1)
    room.connect(line.fork(10))
    assert room.sync.progress().phase is Phase.CONNECT
    room.blocks.importing = True
    assert room.sync.progress().phase is Phase.IMPORT
