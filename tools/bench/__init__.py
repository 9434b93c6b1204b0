"""Benches of ccnode.

Machines differ and are noisy, so a figure alone says little. Every bench measures a *floor* in the same run, taken in
turn with the thing itself: the work that no implementation in Python can avoid, such as double SHA-256 of the same
bytes. What counts is the ratio, and the median of several turns.

Nodes are real processes, started as a person would start them. Whatever they talk to is a process of its own and has
its bytes ready, so that it is never what is being measured.
"""
