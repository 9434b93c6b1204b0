"""Words about the chain."""

import time

from rich.console import RenderableType

from ccnode.admin.shell import units
from ccnode.admin.shell.tables import facts
from ccnode.admin.shell.views import Given, Result, Session, view


@view(
    "chain",
    "Chain",
    help="Shows the chain that the node follows.",
    uses=("getblockchaininfo", "getheadersyncinfo"),
    examples=("chain",),
)
def chain(shell: Session, given: Given) -> Result:
    info, sync = shell.remote.call("getblockchaininfo"), shell.remote.call("getheadersyncinfo")

    def show() -> RenderableType:
        return facts(
            [
                ("chain", info["chain"]),
                ("phase", sync["phase"]),
                ("height", units.number(info["headers"])),
                ("tip", info["bestblockhash"]),
                ("tip's age", units.age(info["time"], time.time())),
                ("difficulty", f"{info['difficulty']:,.4g}"),
                ("work", info["chainwork"].lstrip("0") or "0"),
            ]
        )

    return Result({"blockchain": info, "sync": sync}, show)
