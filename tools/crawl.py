#!/usr/bin/env python3
"""Takes a census of a network's nodes: see ``tools/crawl.py --help``. The crawler is in ``ccnode/crawler/``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ccnode.cli import patch

patch()

from ccnode.crawler.main import main

if __name__ == "__main__":
    sys.exit(main())
