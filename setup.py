"""Packaging of ccnode; every dependency and its reason stands in the README's table."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "([^"]+)"', (HERE / "ccnode/__init__.py").read_text(encoding="utf-8")).group(1)

BLOCKS = ["py-bitcoinkernel==0.1.0a5", "cryptography>=43", "siphashc>=2.5", "mmh3>=5", "lmdb>=2.0"]
TEST = [
    *BLOCKS,
    "pytest>=8",
    "pytest-timeout>=2.3",
    "hypothesis>=6.100",
    "python-bitcoinlib>=0.12.2",
    "python-bitcoinrpc>=1.0",
    "btclib>=2026.10; python_version >= '3.11'",
]
DEV = [
    *TEST,
    "ruff>=0.14",
    "mypy>=1.18",
    "import-linter>=2.5",
    "types-PyYAML",
    "types-psutil",
    "duckdb>=1.1; python_version >= '3.11'",
]

setup(
    name="ccnode",
    version=VERSION,
    description="A node for Bitcoin-protocol networks in synchronous-style Python on gevent",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.10",
    packages=find_packages(include=["ccnode", "ccnode.*"]),
    package_data={"ccnode": ["py.typed"]},
    install_requires=[
        "gevent>=24.10",
        "dnspython>=2.6.1",
        "sqlite-utils>=4.2",
        "prompt-toolkit>=3.0.47",
        "PyYAML>=6.0.1",
        "prometheus-client>=0.21",
        "psutil>=6",
        "embit>=0.8",
        "rich>=13.9",
    ],
    extras_require={"blocks": BLOCKS, "test": TEST, "dev": DEV},
    entry_points={"console_scripts": ["ccnode = ccnode.cli:main"]},
)
