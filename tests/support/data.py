"""Where the shared test data is, and how to read it."""

import lzma
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DATA_DIR = Path(os.environ.get("CCNODE_TEST_DATA", ROOT / "../shared/data")).resolve()


def read_xz(path: Path) -> bytes:
    """The content of a data file; ``.xz`` files are unpacked."""
    raw = path.read_bytes()
    return lzma.decompress(raw) if path.suffix == ".xz" else raw
