"""The functions of libbitcoinkernel that ccnode calls, in the form in which a hot loop wants them.

The library comes inside the package py-bitcoinkernel, and only its shared object is used here: its Python classes copy
data byte by byte and make an object for everything they touch. `Kernel` declares the C functions anew, so that a
pointer is an ``int`` and bytes are passed as they are.

Each function is bound in one of two ways. What takes long gives the GIL back while it runs, so other threads work in
the meantime. What takes less than a microsecond keeps it: giving it back would mean to queue for it afterwards, behind
a thread that may hold it for half a millisecond.

The library trusts its caller. An index out of range, or a script flag that it does not know, ends the process, so
`ccnode.kernel.scripts` looks at both before. Its interface is not stable, which is why another version than the one
this was written for is refused: what a call with the wrong arguments would do, nobody can say. Whatever a ``_create``
function gives has to be given to its ``_destroy``, once.
"""

import ctypes
from collections.abc import Callable
from importlib import metadata
from typing import Any, Final

from ccnode.errors import StartupError

PACKAGE: Final = "py-bitcoinkernel"
VERSION: Final = "0.1.0a5"
"""The version whose functions are declared here."""

MAINNET: Final = 0
CHECK_MERKLE_ROOT: Final = 2
"""Numbers of its interface: a chain type, and a flag of ``block_check``."""

_POINTER: Final = ctypes.c_void_p
_SIZE: Final = ctypes.c_size_t
_INT: Final = ctypes.c_int


class Kernel:
    """The functions, by their names without ``btck_``. Handles are ``int``; a failed creation gives None."""

    def __init__(self, library: ctypes.CDLL) -> None:
        quick = ctypes.PyDLL(library._name, handle=library._handle)

        def bind(source: ctypes.CDLL, name: str, result: Any, *arguments: Any) -> Callable[..., Any]:
            function = source[f"btck_{name}"]
            function.restype, function.argtypes = result, arguments
            return function

        self.block_create = bind(library, "block_create", _POINTER, _POINTER, _SIZE)
        self.block_destroy = bind(library, "block_destroy", None, _POINTER)
        self.block_get_transaction_at = bind(quick, "block_get_transaction_at", _POINTER, _POINTER, _SIZE)
        """A view: it lives as long as the block, and is not destroyed."""

        self.block_check = bind(library, "block_check", _INT, _POINTER, _POINTER, ctypes.c_uint32, _POINTER)
        """Block, consensus parameters, what to look at (`CHECK_MERKLE_ROOT`), state. 1 if nothing is wrong."""
        self.block_validation_state_create = bind(quick, "block_validation_state_create", _POINTER)
        self.block_validation_state_destroy = bind(quick, "block_validation_state_destroy", None, _POINTER)
        self.chain_parameters_create = bind(library, "chain_parameters_create", _POINTER, ctypes.c_ubyte)
        self.chain_parameters_destroy = bind(library, "chain_parameters_destroy", None, _POINTER)
        self.chain_parameters_get_consensus_params = bind(
            library, "chain_parameters_get_consensus_params", _POINTER, _POINTER
        )

        self.transaction_create = bind(library, "transaction_create", _POINTER, _POINTER, _SIZE)
        self.transaction_destroy = bind(library, "transaction_destroy", None, _POINTER)
        self.transaction_count_inputs = bind(quick, "transaction_count_inputs", _SIZE, _POINTER)

        self.script_pubkey_create = bind(quick, "script_pubkey_create", _POINTER, _POINTER, _SIZE)
        self.script_pubkey_destroy = bind(quick, "script_pubkey_destroy", None, _POINTER)
        self.script_pubkey_verify = bind(
            library,
            "script_pubkey_verify",
            _INT,
            *(_POINTER, ctypes.c_int64, _POINTER, _POINTER, ctypes.c_uint, ctypes.c_uint32, _POINTER),
        )
        """Script, value, transaction, precomputed data or None, input, flags, where the status goes. 1 if it
        verifies."""

        self.transaction_output_create = bind(quick, "transaction_output_create", _POINTER, _POINTER, ctypes.c_int64)
        self.transaction_output_destroy = bind(quick, "transaction_output_destroy", None, _POINTER)
        self.precomputed_create = bind(
            library, "precomputed_transaction_data_create", _POINTER, _POINTER, _POINTER, _SIZE
        )
        """Transaction, array of the outputs it spends (or None), their number."""
        self.precomputed_destroy = bind(library, "precomputed_transaction_data_destroy", None, _POINTER)


def load_kernel() -> Kernel:
    """The library. Raises `StartupError` where it is absent, cannot be loaded, or is of another version."""
    try:
        found = metadata.version(PACKAGE)
        from pbk.capi.library import BITCOINKERNEL_LIB
    except (ImportError, OSError, RuntimeError) as error:  # RuntimeError: the package without its shared object
        raise StartupError(
            f"blocks cannot be verified without {PACKAGE} ({error}): pip install 'ccnode[blocks]', or run with"
            " --sync=headers"
        ) from error
    if found != VERSION:
        raise StartupError(
            f"{PACKAGE} is of version {found}, and its interface changes between versions:"
            f" pip install {PACKAGE}=={VERSION}"
        )
    return Kernel(BITCOINKERNEL_LIB)
