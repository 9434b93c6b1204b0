"""A node on a disk that forgets what was not synced: ``python lossy.py KEPT ARGUMENTS`` runs ccnode, and `lose_power`
makes of what it left what a power failure would have left.

Whatever is forced onto the disk is copied to ``KEPT`` at that moment: the content of a file when the file is synced,
its name when its directory is. LMDB syncs by itself; its file is copied after each transaction. The database of
addresses is left out.
"""

import os
import random
import shutil
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

SECTOR = 512
"""Bytes that reach the disk together, or not."""


class Keeper:
    """Copies what is safe."""

    def __init__(self, kept: Path) -> None:
        self._kept = kept
        self._fsync, self._fdatasync = os.fsync, os.fdatasync

    def fsync(self, fd: int) -> None:
        self._fsync(fd)
        self._keep(Path(os.readlink(f"/proc/self/fd/{fd}")))

    def fdatasync(self, fd: int) -> None:
        self._fdatasync(fd)
        self._keep(Path(os.readlink(f"/proc/self/fd/{fd}")))

    def _keep(self, path: Path) -> None:
        if path.is_dir():
            for name in os.listdir(path):
                self.keep_name(path / name)
        elif path.parent.name == "blocks":
            self.keep_content(path.with_name(path.name.removesuffix(".new")), path)

    def keep_name(self, path: Path) -> None:
        self._place("names", path).touch()

    def keep_content(self, path: Path, written: Path | None = None) -> None:
        """Killed in between, the copy from before is still there. ``written``: another name that it has for now."""
        place = self._place("contents", path)
        half = place.with_name(f"{place.name}.half")
        shutil.copyfile(written or path, half)
        half.replace(place)

    def _place(self, kind: str, path: Path) -> Path:
        folder = self._kept / kind / path.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        return folder / path.name


def lose_power(folder: Path, kept: Path, rng: random.Random) -> None:
    """Make ``folder``, a network's data directory, what a power failure leaves: what is safe, and some of the rest."""
    left = folder.with_name("left")
    for name in sorted((kept / "names").glob("*/*")):
        where = f"{name.parent.name}/{name.name}"
        content = kept / "contents" / where
        live = folder / where
        safe = content.read_bytes() if content.exists() else b""
        data = bytearray(live.read_bytes() if live.exists() and name.parent.name == "blocks" else safe)
        data[: len(safe)] = safe
        for sector in range(len(safe) // SECTOR * SECTOR, len(data), SECTOR):
            if rng.random() < 0.5:
                begin, end = max(sector, len(safe)), min(len(data), sector + SECTOR)
                data[begin:end] = bytes(end - begin)
        (left / where).parent.mkdir(parents=True, exist_ok=True)
        (left / where).write_bytes(data[: rng.randint(len(safe), len(data))])
    shutil.rmtree(folder, ignore_errors=True)  # it may have died before there was one
    shutil.rmtree(kept, ignore_errors=True)
    if left.exists():
        left.rename(folder)
        for path in folder.glob("*/*"):
            keeper = Keeper(kept)
            keeper.keep_content(path)
            keeper.keep_name(path)


def main() -> int:
    keeper = Keeper(Path(sys.argv[1]))
    os.fsync, os.fdatasync = keeper.fsync, keeper.fdatasync
    from ccnode import cli
    from ccnode.storage.key_value import Batches
    from ccnode.storage.lmdb_store import LmdbStore

    write = LmdbStore.write

    def kept_write(store: LmdbStore, batches: Batches) -> None:
        write(store, batches)
        keeper.keep_content(store.path / "data.mdb")
        keeper.keep_name(store.path / "data.mdb")

    LmdbStore.write = kept_write  # type: ignore[method-assign]
    return cli.main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
