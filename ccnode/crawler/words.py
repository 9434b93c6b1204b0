"""Numbers with their nouns."""


def plural(count: int, one: str, more: str | None = None) -> str:
    """``one`` for exactly 1, else ``more``, which is ``one`` with an s unless told."""
    return one if count == 1 else more or one + "s"


def counted(count: int, one: str, more: str | None = None) -> str:
    """``1 node``, ``2 nodes``."""
    return f"{count} {plural(count, one, more)}"


def addresses(count: int) -> str:
    """``1 address``, ``2 addresses``."""
    return counted(count, "address", "addresses")
