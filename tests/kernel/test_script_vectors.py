"""Bitcoin Core's script vectors through our way into its library.

The library is Core's, so what these find is ours: a flag lost, a coin mixed up, data precomputed wrongly. How many
vectors are decided by the rules of consensus is stated in every test, so that none is passed over silently.
"""

import io
import tarfile
from pathlib import Path

import pytest
from kernel_vectors import Vector, script_tests, taproot_assets, transaction_tests, verifies

from ccnode.chain.coins import make_coin
from ccnode.chain.script_flags import ALL_SCRIPT_FLAGS
from ccnode.kernel.library import Kernel, load_kernel
from ccnode.wire.transaction import OutPoint, Transaction, TxIn, TxOut
from tests.support.data import read_xz
from tests.support.kernel import pbk


@pytest.fixture(scope="module")
def kernel() -> Kernel:
    return load_kernel()


def check(kernel: Kernel, vectors: list[Vector]) -> tuple[int, int]:
    """All agree; how many are valid, how many not."""
    for vector in vectors:
        assert verifies(kernel, vector.raw, vector.coins, vector.inputs, vector.flags) == vector.valid, vector.name
    valid = sum(vector.valid for vector in vectors)
    return valid, len(vectors) - valid


def test_script_tests(kernel: Kernel, data_dir: Path) -> None:
    vectors, undecided = script_tests(data_dir)
    assert (*check(kernel, vectors), undecided) == (448, 282, 91)


def test_valid_transactions(kernel: Kernel, data_dir: Path) -> None:
    vectors, undecided = transaction_tests(data_dir, "tx_valid", True)
    assert (*check(kernel, vectors), undecided) == (83, 0, 0)


def test_invalid_transactions(kernel: Kernel, data_dir: Path) -> None:
    """Not decided: those that policy refuses, and those that are wrong in another way than by a script."""
    vectors, undecided = transaction_tests(data_dir, "tx_invalid", False)
    assert (*check(kernel, vectors), undecided) == (0, 45, 16)


def test_taproot_assets(kernel: Kernel, data_dir: Path) -> None:
    assert check(kernel, [*taproot_assets(data_dir)]) == (2285, 1660)


def fuzz_corpus(data_dir: Path, name: str) -> list[bytes]:
    with tarfile.open(fileobj=io.BytesIO(read_xz(data_dir / f"fuzz/{name}.tar.xz"))) as archive:
        return [content.read() for member in archive if (content := archive.extractfile(member)) is not None]


CORPORA = {
    "bitcoinfuzz_verify_script": (1822, 9),
    "bitcoinfuzz_script_eval": (1577, 231),
    "bitcoinfuzz_script": (92, 63),
    "rbk_script_verify": (68, 1),
}
"""Files, and how many of them succeed as a script."""


@pytest.mark.parametrize("name", CORPORA)
def test_scripts_that_fuzzing_found(kernel: Kernel, data_dir: Path, name: str) -> None:
    """As scriptPubKey they end as they do through the package's own classes, which copy everything."""
    spending = Transaction(2, (TxIn(OutPoint(bytes(32), 0), b"\x51\x51", 0),), (TxOut(1, b""),), 0).encode()
    theirs = pbk.Transaction(spending)
    # without taproot's rules, for which the package wants all spent outputs
    flags = int(ALL_SCRIPT_FLAGS) & ~pbk.ScriptVerificationFlags.TAPROOT
    scripts = fuzz_corpus(data_dir, name)
    succeeded = 0
    for script in scripts:
        wanted = pbk.ScriptPubkey(script).verify(1, theirs, None, 0, flags)
        assert verifies(kernel, spending, [make_coin(1, script, 1, False)], range(1), flags) == bool(wanted), script
        succeeded += bool(wanted)
    assert (len(scripts), succeeded) == CORPORA[name]
