"""What a block must be by itself, asked of the library: a quick yes (Core: ``CheckBlock``).

`ccnode.chain.block_rules.check_block` makes the same checks in Python, and takes two to five milliseconds more for a
megabyte, holding the GIL. The library hashes the block to merkle root, counts its signature operations and looks at
every transaction while other threads run. It says no without a reason; then our own rules are asked, and theirs is
the verdict. None of these checks depends on the network: proof of work and a signet's signature are not among them.
"""

from ccnode.kernel.library import CHECK_MERKLE_ROOT, MAINNET, Kernel
from ccnode.kernel.verification import Loaded, bitcoin_form
from ccnode.wire.parsing import ParsedBlock


class BlockChecker:
    """Plain blocking code for a worker thread, and for any number of them at once."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._parameters = kernel.chain_parameters_create(MAINNET)
        self._consensus = kernel.chain_parameters_get_consensus_params(self._parameters)

    def close(self) -> None:
        """Give the memory back. Once, when no thread checks a block any more."""
        self._kernel.chain_parameters_destroy(self._parameters)

    def passes(self, block: ParsedBlock) -> bool:
        """Whether nothing is wrong with ``block`` by itself, proof of work and signet solution aside."""
        loaded = Loaded(self._kernel, bitcoin_form(block), is_block=True)
        state = self._kernel.block_validation_state_create()
        passed = self._kernel.block_check(loaded.handle, self._consensus, CHECK_MERKLE_ROOT, state)
        self._kernel.block_validation_state_destroy(state)
        loaded.close()
        return bool(passed)
