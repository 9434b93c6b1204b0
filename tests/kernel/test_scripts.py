"""`ScriptChecker`: blocks and transactions in slices on threads."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import gevent
import pytest
from kernel_vectors import verifies

from ccnode.chain.coins import make_coin, read_coin
from ccnode.chain.networks import MAINNET, TESTNET3
from ccnode.chain.ports import ScriptFailure
from ccnode.chain.script_flags import ALL_SCRIPT_FLAGS, ScriptFlag, block_script_flags
from ccnode.errors import StartupError
from ccnode.kernel import library
from ccnode.kernel.library import Kernel, load_kernel
from ccnode.kernel.script_cache import ScriptCache
from ccnode.kernel.scripts import SLICE_BYTES, ScriptChecker, cut
from ccnode.wire.parsing import ParsedBlock, parse_block
from tests.support.data import ROOT, read_xz
from tests.support.kernel import pbk as pbk  # skips all of this where the library is absent
from tests.support.spends import OP_TRUE, P2PKH, P2TR, P2WPKH, P2WSH_OP_TRUE, Spend, block_of, spend

SCRIPTS = (P2PKH, P2WPKH, P2TR, P2WSH_OP_TRUE, OP_TRUE)
FAR_OUT = 2**32 - 1
"""All 32 flags there can be: the library would end the process."""


@pytest.fixture
def checker() -> Iterator[ScriptChecker]:
    checker = ScriptChecker(2)
    yield checker
    checker.close()


class CountingKernel(Kernel):
    """Counts what is created and not yet destroyed, and the scripts verified."""

    def __init__(self, kernel: Kernel) -> None:
        self.alive: Counter[str] = Counter()
        self.verified: Counter[int] = Counter()
        for name, function in vars(kernel).items():
            setattr(self, name, self._counted(name, function))

    def _counted(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        what, _, verb = name.rpartition("_")

        def counted(*arguments: Any) -> Any:
            result = function(*arguments)
            if verb == "create" and result is not None:
                self.alive[what] += 1
            elif verb == "destroy":
                self.alive[what] -= 1
            elif verb == "verify":
                self.verified[arguments[5]] += 1
            return result

        return counted


@pytest.fixture
def counting(checker: ScriptChecker) -> CountingKernel:
    checker._kernel = CountingKernel(load_kernel())
    return checker._kernel


def worthless(coin: bytes) -> bytes:
    """The same coin with another value, to which no signature with a witness commits."""
    value, script, height, is_coinbase = read_coin(coin)
    return make_coin(value + 1, script, height, is_coinbase)


def mixed(count: int) -> list[Spend]:
    """Transactions with one to five inputs of all kinds."""
    return [spend([SCRIPTS[(n + i) % 5] for i in range(n % 5 + 1)], outputs=n % 3 + 1, salt=n) for n in range(count)]


REAL = {
    "main_024835": 74,
    "main_057043": 131,
    "main_150013": 94,
    "main_210000": 899,
    "main_300025": 1427,
    "main_403200": 1036,
    "main_757753": 131,
    "main_866342": 7972,
    "test3_928816": 8692,
    "test3_1087400": 205,
}
"""Real blocks whose spent outputs are known, and their inputs."""


def real_block(data_dir: Path, name: str) -> tuple[ParsedBlock, list[list[bytes]], int]:
    block = parse_block(read_xz(data_dir / f"blocks/{name}.raw.xz"))
    rows = [row.split("\t") for row in read_xz(data_dir / f"blocks/{name}.spent.tsv.xz").decode().splitlines()]
    coins = iter([make_coin(int(row[0]), bytes.fromhex(row[1]), 1, False) for row in rows if row[0][0] != "#"])
    spent = [[next(coins) for _ in outpoints] for outpoints in block.outpoints[1:]]
    assert next(coins, None) is None
    network, height = name.split("_")
    return block, spent, block_script_flags(MAINNET if network == "main" else TESTNET3, int(height), block.hash)


@pytest.mark.parametrize("name", REAL)
def test_real_blocks_verify_under_the_rules_of_their_time(
    checker: ScriptChecker, counting: CountingKernel, data_dir: Path, name: str
) -> None:
    block, spent, flags = real_block(data_dir, name)
    assert checker.wait_verify(block, spent, flags) is None
    assert counting.verified.total() == REAL[name]
    assert not +counting.alive


@pytest.mark.parametrize("position", [1, 100, 1500, 2200])
def test_a_changed_value_is_found_where_it_is(checker: ScriptChecker, data_dir: Path, position: int) -> None:
    block, spent, flags = real_block(data_dir, "main_866342")
    signed = [at for at in range(position, len(block)) if block.witnesses[at] is not None]
    at = next(at for at in signed if all(block.witnesses[at] or ()))
    last = len(spent[at - 1]) - 1
    spent[at - 1][last] = worthless(spent[at - 1][last])
    failure = checker.wait_verify(block, spent, flags)
    assert failure is not None
    assert failure.transaction == at
    # an input that spends a taproot output commits to the values of all
    assert failure.input == last or any(coin[12:14] == P2TR[:2] for coin in spent[at - 1])


def test_the_first_of_several_failures_is_told(checker: ScriptChecker, counting: CountingKernel) -> None:
    block, spent = block_of(mixed(600))
    assert checker.wait_verify(block, spent, ALL_SCRIPT_FLAGS) is None
    for at in (500, 303, 111, 400):
        spent[at] = [worthless(coin) for coin in spent[at]]
    assert {checker.wait_verify(block, spent, ALL_SCRIPT_FLAGS) for _ in range(5)} == {ScriptFailure(112, 0)}
    assert not +counting.alive


@pytest.mark.parametrize(("scripts", "light"), [([OP_TRUE] * 3, True), ([P2WPKH], True), ([P2WPKH] * 3, False)])
def test_few_bytes_of_scripts_are_verified_without_a_thread(
    checker: ScriptChecker, counting: CountingKernel, scripts: list[bytes], light: bool
) -> None:
    block, spent = block_of([spend(scripts)])
    threads = set()
    verify = counting.script_pubkey_verify
    counting.script_pubkey_verify = lambda *arguments: threads.add(threading.get_ident()) or verify(*arguments)
    assert checker.wait_verify(block, spent, ALL_SCRIPT_FLAGS) is None
    spent[0][-1] = make_coin(1, b"\x00", 1, False)
    assert checker.wait_verify(block, spent, ALL_SCRIPT_FLAGS) == ScriptFailure(1, len(scripts) - 1)
    assert (threading.get_ident() in threads) is light
    assert not +counting.alive


def test_a_header_of_another_size_does_not_matter(checker: ScriptChecker) -> None:
    block, spent = block_of(mixed(20), header_size=112)
    assert checker.wait_verify(block, spent, ALL_SCRIPT_FLAGS) is None
    spent[3] = [worthless(coin) for coin in spent[3]]
    assert checker.wait_verify(block, spent, ALL_SCRIPT_FLAGS) == ScriptFailure(4, 3)


def test_a_transaction_of_many_slices(checker: ScriptChecker, counting: CountingKernel) -> None:
    """It is cut, and what its inputs have in common is made once."""
    large = spend([P2TR, P2WPKH, P2PKH] * 200)
    block, spent = block_of([spend([P2WPKH], salt=1), large, spend([P2TR], salt=2)])
    assert len([*cut(block.offsets, spent, ())]) > 3
    made = []
    create = counting.precomputed_create
    counting.precomputed_create = lambda *arguments: made.append(arguments[2]) or create(*arguments)
    assert checker.wait_verify(block, spent, ALL_SCRIPT_FLAGS) is None
    assert sorted(made) == [1, 600]
    spent[1][451] = make_coin(1, P2PKH[:-1] + b"\xad", 1, False)
    assert checker.wait_verify(block, spent, ALL_SCRIPT_FLAGS & ~ScriptFlag.TAPROOT) == ScriptFailure(2, 451)
    assert not +counting.alive


def test_who_stops_waiting_leaves_no_memory_behind(checker: ScriptChecker, counting: CountingKernel) -> None:
    block, spent = block_of(mixed(600))
    waiting = gevent.spawn(checker.wait_verify, block, spent, ALL_SCRIPT_FLAGS)
    gevent.sleep(0.001)
    waiting.kill()
    assert waiting.dead
    inputs = sum(map(len, spent))
    with gevent.Timeout(30):
        while counting.verified.total() < inputs or +counting.alive:
            gevent.sleep(0.001)


def test_slices_are_of_like_size_and_miss_nothing() -> None:
    block, spent = block_of([*mixed(300), spend([OP_TRUE] * 3000, salt=-1 & 0xFFFF)])
    slices = [*cut(block.offsets, spent, {7, 9})]
    covered = [(span.position, index) for spans in slices for span in spans for index in range(span.first, span.end)]
    wanted = [(at, index) for at, coins in enumerate(spent, 1) if at not in (7, 9) for index in range(len(coins))]
    assert covered == wanted
    per_input = [(block.offsets[at + 1] - block.offsets[at]) / len(coins) for at, coins in enumerate(spent, 1)]
    sizes = [sum(per_input[span.position - 1] * (span.end - span.first) for span in spans) for spans in slices]
    assert all(SLICE_BYTES * 0.9 < size < SLICE_BYTES * 2 for size in sizes[:-1])


def test_only_the_rules_of_consensus_reach_the_library(checker: ScriptChecker, counting: CountingKernel) -> None:
    block, spent = block_of(mixed(10))
    assert checker.wait_verify(block, spent, FAR_OUT) is None
    good = spend([P2TR, P2WPKH])
    assert checker.wait_verify_transaction(good.raw, good.coins, FAR_OUT) is None
    assert checker.wait_verify_transaction(good.raw, good.coins, FAR_OUT & ~ALL_SCRIPT_FLAGS) is None
    allowed = {int(ALL_SCRIPT_FLAGS), int(ALL_SCRIPT_FLAGS & ~ScriptFlag.TAPROOT), 0}
    assert set(counting.verified) == allowed
    assert int(ALL_SCRIPT_FLAGS) == int(pbk.ScriptVerificationFlags.ALL)


def test_flags_that_make_no_sense_are_an_error_and_not_a_verdict(checker: ScriptChecker) -> None:
    good = spend([P2WPKH])
    with pytest.raises(ValueError, match="refuses"):
        checker.wait_verify_transaction(good.raw, good.coins, ScriptFlag.WITNESS)


def test_coins_that_do_not_fit_are_an_error_and_not_a_verdict(checker: ScriptChecker, counting: CountingKernel) -> None:
    block, spent = block_of(mixed(10))
    for wrong in (spent[:-1], [*spent[:-1], []], [*spent[:-1], [*spent[-1], spent[0][0]]]):
        with pytest.raises(ValueError, match="coins"):
            checker.wait_verify(block, wrong, ALL_SCRIPT_FLAGS)
    two = spend([P2WPKH, P2TR])
    for coins in ([], two.coins[:1], two.coins * 2):
        with pytest.raises(ValueError, match=r"coins|spends nothing"):
            checker.wait_verify_transaction(two.raw, coins, ALL_SCRIPT_FLAGS)
    large = spend([P2TR] * 300)
    with pytest.raises(ValueError, match="coins"):
        checker.wait_verify_transaction(large.raw, large.coins[:-1], ALL_SCRIPT_FLAGS)
    with pytest.raises(ValueError, match="cannot read"):
        checker.wait_verify_transaction(two.raw[:-1], two.coins, ALL_SCRIPT_FLAGS)
    assert not +counting.alive


@pytest.mark.parametrize("script", SCRIPTS[:3], ids=["P2PKH", "P2WPKH", "P2TR"])
def test_a_transaction_alone(checker: ScriptChecker, script: bytes) -> None:
    good = spend([OP_TRUE, script, script])
    assert checker.wait_verify_transaction(good.raw, good.coins, ALL_SCRIPT_FLAGS) is None
    other = make_coin(1001, {P2PKH: P2WPKH, P2WPKH: P2TR, P2TR: P2PKH}[script], 1, False)
    wrong = [good.coins[0], other, good.coins[2]]
    assert checker.wait_verify_transaction(good.raw, wrong, ALL_SCRIPT_FLAGS, False) == ScriptFailure(0, 1)


def test_a_verified_transaction_is_not_verified_again_in_a_block(
    checker: ScriptChecker, counting: CountingKernel
) -> None:
    spends = mixed(10)
    block, spent = block_of(spends)
    for each in spends[:6]:
        assert checker.wait_verify_transaction(each.raw, each.coins, ALL_SCRIPT_FLAGS) is None
        assert checker.wait_verify_transaction(each.raw, each.coins, ALL_SCRIPT_FLAGS) is None
    alone = counting.verified.total()
    assert alone == sum(len(each.coins) for each in spends[:6])
    assert checker.wait_verify(block, spent, ALL_SCRIPT_FLAGS) is None
    assert counting.verified.total() - alone == sum(len(each.coins) for each in spends[6:])
    checker.wait_verify(block, spent, ALL_SCRIPT_FLAGS & ~ScriptFlag.TAPROOT)
    checker.wait_verify(block, spent, ALL_SCRIPT_FLAGS, script_cache_ok=False)
    assert counting.verified.total() - alone == sum(len(each.coins) for each in [*spends, *spends, *spends[6:]])


def test_a_failure_is_not_remembered(checker: ScriptChecker) -> None:
    good = spend([P2WPKH])
    wrong = [worthless(good.coins[0])]
    for _ in range(2):
        assert checker.wait_verify_transaction(good.raw, wrong, ALL_SCRIPT_FLAGS) == ScriptFailure(0, 0)


def test_the_cache_is_bounded_and_keeps_the_latest() -> None:
    cache = ScriptCache(bytes(16), size=100)
    ids = [number.to_bytes(32, "big") for number in range(1000)]
    for wtxid in ids:
        cache.add(wtxid, 1)
        assert cache.knows(wtxid, 1)
        assert not cache.knows(wtxid, 0)
        assert len(cache) <= 100
    assert all(cache.knows(wtxid, 1) for wtxid in ids[-50:])
    assert not any(cache.knows(wtxid, 1) for wtxid in ids[:900])
    assert ScriptCache(bytes(15) + b"\x01")._key(ids[0], 1) != cache._key(ids[0], 1)


def test_without_the_package_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(library.metadata, "version", absent)
    with pytest.raises(StartupError, match=r"pip install 'ccnode\[blocks\]'"):
        ScriptChecker(1)


def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library.metadata, "version", lambda name: "0.2.0")
    with pytest.raises(StartupError, match=r"version 0\.2\.0.*py-bitcoinkernel==0\.1\.0a5"):
        load_kernel()


def test_the_version_is_the_one_that_is_installed() -> None:
    for name in ("setup.py", "constraints.txt"):
        assert f"{library.PACKAGE}=={library.VERSION}" in (ROOT / name).read_text()


def test_precomputed_data_are_needed_for_taproot_and_made(counting: CountingKernel) -> None:
    single = spend([P2TR])
    assert verifies(counting, single.raw, single.coins, range(1), ALL_SCRIPT_FLAGS)
    assert counting.alive["transaction_output"] == 0
    assert not verifies(counting, single.raw, [worthless(single.coins[0])], range(1), ALL_SCRIPT_FLAGS)
    assert not +counting.alive
