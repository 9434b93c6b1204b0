#!/usr/bin/env python3
"""Records how blocks and transactions spread: ``tools/monitor.py --help``; the code is in ``ccnode/crawler/``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ccnode.cli import patch

patch()

from ccnode.crawler.main import main

if __name__ == "__main__":
    sys.exit(main(["monitor", *sys.argv[1:]]))
