"""The numbers of JSON-RPC errors: JSON-RPC 2.0's own and Bitcoin Core's (``rpc/protocol.h``).

Clients compare numbers, and often the texts too, so both are Core's wherever Core has the situation.
"""

from typing import Final

# JSON-RPC 2.0
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602  # Core uses it in few places; most bad values are INVALID_PARAMETER
INTERNAL_ERROR: Final = -32603
PARSE_ERROR: Final = -32700

# General
MISC_ERROR: Final = -1  # also carries the help text after a wrong number of arguments
FORBIDDEN: Final = -2  # Core's number for what safe mode forbade
TYPE_ERROR: Final = -3
INVALID_ADDRESS_OR_KEY: Final = -5  # the hash or address is well formed and unknown
INVALID_PARAMETER: Final = -8
DATABASE_ERROR: Final = -20
DESERIALIZATION_ERROR: Final = -22
VERIFY_ERROR: Final = -25
IN_WARMUP: Final = -28

# The peer-to-peer side
CLIENT_NOT_CONNECTED: Final = -9
CLIENT_IN_INITIAL_DOWNLOAD: Final = -10
CLIENT_NODE_ALREADY_ADDED: Final = -23
CLIENT_NODE_NOT_ADDED: Final = -24
CLIENT_NODE_NOT_CONNECTED: Final = -29
CLIENT_INVALID_IP_OR_SUBNET: Final = -30
CLIENT_P2P_DISABLED: Final = -31
CLIENT_NODE_CAPACITY_REACHED: Final = -34
