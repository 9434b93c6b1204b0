"""Commands about the branches of the header tree, and which of them is followed (Core: ``rpc/blockchain.cpp``).

On a node of headers a branch off the active chain is ``headers-only``: that is all the node has of any.
"""

from ccnode.admin import rpc_errors
from ccnode.admin.commands.common import BLOCKHASH, display_hash, find_block
from ccnode.admin.context import AdminContext
from ccnode.admin.registry import HIDDEN, Arg, ArgType, command
from ccnode.chain.reorgs import MAX_REORGS
from ccnode.errors import RpcError
from ccnode.network.hub import breathing


@command(
    "getchaintips",
    "blockchain",
    help="Returns all ends of the tree of headers: the tip of the active chain and those of its branches.",
    result="""[{
  "height": n,
  "hash": "hex",
  "branchlen": n,                    headers since the branch left the active chain
  "status": "str"                    active; valid-fork: all its blocks are here and valid; valid-headers: here and
                                     not looked at; headers-only; invalid: marked so, or on top of such a header
}, ...]""",
)
def get_chain_tips(context: AdminContext) -> list[dict[str, object]]:
    index = context.chain.index
    tip = index.tip
    tips = []
    # After invalidateblock the tip may have children.
    for entry in breathing(sorted({tip, *index.tips()}, key=index.height, reverse=True)):
        height = index.height(entry)
        tips.append(
            {
                "height": height,
                "hash": display_hash(index.hash(entry)),
                "branchlen": height - index.height(index.fork_point(entry, tip)),
                "status": _status(context, entry),
            }
        )
    return tips


def _status(context: AdminContext, entry: int) -> str:
    """What is known of the branch that ends here, in Core's words."""
    index, blocks = context.chain.index, context.blocks
    if entry == index.tip:
        return "active"
    if index.is_invalid(entry):
        return "invalid"
    if blocks is None or not blocks.table.chain_tx(entry):
        return "headers-only"
    return "valid-fork" if blocks.table.scripts_valid(entry) else "valid-headers"


@command(
    "getreorgs",
    "blockchain",
    args=[Arg("count", ArgType.INTEGER, f"How many at most; the node remembers {MAX_REORGS}", default=MAX_REORGS)],
    help="Returns the last reorganisations since the start, the newest first: when the active chain lost headers.",
    result="""[{
  "time": n,                         Unix seconds, when we saw it
  "fork_height": n,                  of the last header that both chains share
  "fork_hash": "hex",
  "disconnected": n,                 headers that left the active chain
  "connected": n,                    headers that joined it; 0 after invalidateblock without another branch
  "old_tip": "hex",
  "new_tip": "hex"
}, ...]""",
    example="10",
)
def get_reorgs(context: AdminContext, count: int) -> list[dict[str, object]]:
    if count < 0:
        raise RpcError(rpc_errors.INVALID_PARAMETER, "Negative count")
    index = context.chain.index
    return [
        {
            "time": round(each.time, 3),
            "fork_height": index.height(each.fork),
            "fork_hash": display_hash(index.hash(each.fork)),
            "disconnected": each.disconnected,
            "connected": each.connected,
            "old_tip": display_hash(index.hash(each.old_tip)),
            "new_tip": display_hash(index.hash(each.new_tip)),
        }
        for each in context.reorgs.latest(count)
    ]


@command(
    "invalidateblock",
    HIDDEN,
    changes=True,
    args=[BLOCKHASH],
    help="Marks a block as invalid, with all that builds on it. The mark is kept until reconsiderblock.",
    result="null",
    example="00000000c937983704a73af28acdec37b049d214adbda81d7e2a3dd146f6ed09",
)
def invalidate_block(context: AdminContext, blockhash: bytes) -> None:
    entry = find_block(context, blockhash)
    if entry == 0:
        raise RpcError(rpc_errors.INVALID_PARAMETER, "The first block cannot be invalidated")
    if context.blocks is not None:
        context.blocks.wait_invalidate(entry)
    else:
        context.chain.invalidate(entry)
    context.wait_stored()


@command(
    "reconsiderblock",
    HIDDEN,
    changes=True,
    args=[BLOCKHASH],
    help="Takes back the marks of invalidateblock on a block, on what it builds on and on what builds on it.",
    result="null",
    example="00000000c937983704a73af28acdec37b049d214adbda81d7e2a3dd146f6ed09",
)
def reconsider_block(context: AdminContext, blockhash: bytes) -> None:
    entry = find_block(context, blockhash)
    if context.blocks is not None:
        context.blocks.wait_reconsider(entry)
    else:
        context.chain.reconsider(entry)
    context.wait_stored()


@command(
    "preciousblock",
    "blockchain",
    changes=True,
    args=[BLOCKHASH],
    help="Prefers a block to others with as much work, as if it had arrived first. A later call overrides an earlier "
    "one. Not kept over a restart.",
    result="null",
    example="00000000c937983704a73af28acdec37b049d214adbda81d7e2a3dd146f6ed09",
)
def precious_block(context: AdminContext, blockhash: bytes) -> None:
    entry = find_block(context, blockhash)
    if context.blocks is not None:
        context.blocks.wait_prefer(entry)
    else:
        context.chain.prefer(entry)
