"""What takes the whole terminal: ``top``, the node at work.

- ``looks.py`` asks the node again and again, in threads, and tells what it found.
- ``model.py`` is what is on the screen and what keys do to it, with ``peer_table.py`` and ``traffic.py``; it knows no
  terminal, no clock and no node, so tests press keys and look at the rows.
- ``draw.py`` turns the model into lines of styled text, any size of terminal.
- ``top.py`` joins them with prompt-toolkit.
"""
