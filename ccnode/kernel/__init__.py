"""libbitcoinkernel, Bitcoin Core's own engine: script verification. An optional part, for nodes that have blocks."""
