"""ccnode: a node for Bitcoin-protocol networks in synchronous-style Python on gevent."""

__version__ = "0.1.0"
