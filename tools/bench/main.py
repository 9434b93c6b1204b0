"""The command line of the benches."""

import argparse
import platform
from collections.abc import Callable, Sequence

from tools.bench import (
    addrman,
    block_memory,
    coins,
    connect,
    crawl,
    headers,
    lag,
    parse,
    reader,
    scale,
    scripts,
    shell,
    stages,
    startup,
    sync_blocks,
)
from tools.bench.universe import MIXES

BENCHES: dict[str, tuple[str, Callable[[bool], None]]] = {
    "headers": ("header synchronisation from one peer over loopback", headers.run),
    "stages": ("where the time of header synchronisation goes", stages.run),
    "startup": ("start-up with 900,000 headers, and memory", startup.run),
    "memory": ("the same as startup, which shows both", startup.run),
    "lag": ("lag of the event loop while busy", lag.run),
    "framing": ("small messages through a reader", reader.run_framing),
    "blocks-parse": ("real blocks taken apart and checked, without coins", parse.run),
    "block": ("large messages through a reader", reader.run_block),
    "scale": ("thousands of peers: memory, accepting, pings", scale.run),
    "addrman": ("the address manager under 100,000 addresses", addrman.run),
    "crawl": ("a census of a simulated internet", crawl.run),
    "scripts": ("verification of a block's scripts on threads", scripts.run),
    "connect": ("a block connected, beside Bitcoin Core's library", connect.run),
    "sync": ("blocks downloaded and validated over loopback, beside bcoin", sync_blocks.run),
    "block-memory": ("memory while 10,000 blocks are validated", block_memory.run),
    "coins": ("the coins beyond their cache, under several flags of LMDB", coins.run),
    "shell": ("the shell's prompt, completion and commands", shell.run),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benches that are asked for; returns the exit status."""
    parser = argparse.ArgumentParser(prog="tools/bench.py", description="Speed and size of ccnode on this machine.")
    choices = "\n".join(f"  {name:<12} {about}" for name, (about, _run) in BENCHES.items())
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = f"benches:\n{choices}\n  {'all':<12} all of them"
    parser.add_argument("bench", nargs="+", choices=[*BENCHES, "all"], metavar="BENCH")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that the benches run, not how fast")
    parser.add_argument("--addresses", type=int, default=crawl.COUNT, help="crawl: in the simulated internet")
    parser.add_argument("--mix", choices=MIXES, default="standard", help="crawl: how its nodes behave")
    arguments = parser.parse_args(argv)
    print(f"{platform.python_implementation()} {platform.python_version()}, {platform.system()} {platform.machine()}")
    wanted = [run for name, (_about, run) in BENCHES.items() if name in arguments.bench or "all" in arguments.bench]
    for run in dict.fromkeys(wanted):
        if run is crawl.run:
            crawl.run(arguments.quick, arguments.addresses, arguments.mix)
        else:
            run(arguments.quick)
    return 0
