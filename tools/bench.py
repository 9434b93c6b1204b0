#!/usr/bin/env python3
"""Speed and size of ccnode on this machine: see ``tools/bench.py --help``. The benches are in ``tools/bench/``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.bench.main import main

if __name__ == "__main__":
    sys.exit(main())
