"""``ccnode shell``: the program by which people meet a running node.

A process of its own that starts at once: it imports neither gevent nor anything of the node, and the prompt's library
only for a prompt. What it knows of the node it asks over the admin socket.

- ``arguments.py``: the command line, and which node is meant.
- ``line.py``, ``session.py``: one line from its words to its output, into a pipe or a file as well.
- ``views.py`` declares the shell's own words, ``words/`` has them, one module per subject; every command of the node's
  can be called by its name besides.
- ``prompt.py``, ``completion.py``, ``toolbar.py``: the prompt.
- ``screens/`` takes the whole terminal; ``plot.py`` draws with characters.
"""

from collections.abc import Sequence


def run_shell(argv: Sequence[str]) -> int:
    """``ccnode shell ARGV``; returns the exit status, 0 or 1. CcnodeError for wrong arguments or when no node runs."""
    from ccnode.admin.shell.main import main

    return main(argv)
