"""Where the time of header synchronisation goes: each stage alone, in this process, batch after batch.

What is missing here of the time that ``headers`` shows is the socket, the event loop and the bookkeeping per message.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from ccnode.chain.headers import HeaderChain
from ccnode.chain.rules import Candidates, first_fault
from ccnode.clock import SystemClock
from ccnode.storage.header_file import HeaderFile, HeaderFileKind
from ccnode.wire.factory import MessageFactory
from ccnode.wire.framing import V1Transport
from ccnode.wire.headers import Headers
from ccnode.wire.protocol import MAX_HEADERS_RESULTS
from tools.bench.process import scratch
from tools.bench.regtest import PARAMS, split, wire_headers
from tools.bench.report import Row, show

FORMAT = PARAMS.header_format
KIND = HeaderFileKind(PARAMS.name, PARAMS.magic, FORMAT.name, PARAMS.genesis, PARAMS.genesis_hash)


class StageTimes:
    """Seconds by stage, summed over the batches of a turn."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begun


def one_turn(folder: Path, frames: list[bytes]) -> dict[str, float]:
    """A chain takes in all frames; seconds by stage."""
    store = HeaderFile.open(folder / "headers.dat", KIND)
    chain = HeaderChain(PARAMS, store, SystemClock())
    chain.load()
    transport, factory, times = V1Transport(PARAMS.magic), MessageFactory(), StageTimes()
    parent = 0
    for data in frames:
        with times.stage("framing, with its checksum"):
            transport.receive_data(data)
            frame = transport.next_frame() or transport.next_frame()
        assert frame is not None
        with times.stage("message"):
            message = factory.decode(frame.command, frame.payload)
            assert isinstance(message, Headers)
        with times.stage("headers one by one"):
            headers = message.split()
        with times.stage("hashes (the floor)"):
            hashes = FORMAT.hashes(headers)
        with times.stage("fields, proof of work, continuity"):
            batch = chain.check_batch(headers, hashes=hashes)
        with times.stage("claimed work"):
            _ = batch.work
        with times.stage("rules"):
            versions, _prevs, stamps, bits = batch.columns
            fault = first_fault(
                Candidates(PARAMS, chain.index, parent, parent + 1, hashes, versions, stamps, bits, time.time()), None
            )
        assert fault is None, fault
        with times.stage("header file"):
            store.append(headers)
        with times.stage("index"):
            chain.index.add(parent, hashes, stamps, bits)
        parent = len(chain.index) - 1
    store.close()
    (folder / "headers.dat").unlink()
    return times.seconds


def run(quick: bool) -> None:
    count = 4_000 if quick else 200_000
    headers = split(wire_headers(count))
    transport = V1Transport(PARAMS.magic)
    batches = [headers[i : i + MAX_HEADERS_RESULTS] for i in range(0, count, MAX_HEADERS_RESULTS)]
    frames = [transport.frame(Headers.command, Headers.build(batch).encode()) for batch in batches]
    with scratch() as folder:
        turns = [one_turn(folder, frames) for _ in range(2 if quick else 7)]
    rows = []
    for name in turns[0]:
        each = median(turn[name] for turn in turns) / count
        share = median(turn[name] / sum(turn.values()) for turn in turns)
        rows.append(Row(name, f"{each * 1e6:.3f} us", f"{share:.0%}"))
    whole = median(sum(turn.values()) for turn in turns) / count
    ratio = median(sum(turn.values()) / turn["hashes (the floor)"] for turn in turns)
    rows.append(Row("together", f"{whole * 1e6:.3f} us", f"{ratio:.2f}x the floor"))
    show(f"Stages of header synchronisation, per header, {count:,} headers", rows)
