"""The chain of headers: network parameters, header formats, proof of work, difficulty, the index and its rules.

`networks` names the networks, `headers.HeaderChain` is the one way in for new headers, `index.HeaderIndex` answers
every question about those that are in. Nothing here does I/O or reads a clock: the store and the clock are handed in.
"""
