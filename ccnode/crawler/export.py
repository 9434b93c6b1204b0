"""``export``: a round in files for other programs, with a manifest that tells what they are.

Each file is written under another name and then renamed, and ``manifest.json`` comes last: it names the files of this
export with their sizes, rows and SHA-256. A reader who finds all of them as the manifest says has one consistent
export; one who does not has come while it was written, and tries again.
"""

import argparse
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ccnode import __version__
from ccnode.crawler.archive import Archive, Filter, Round
from ccnode.crawler.files import add_file_options, census_file, published
from ccnode.crawler.formats import FORMATS, Source
from ccnode.crawler.outcome import Outcome
from ccnode.crawler.schema import SCHEMA_VERSION
from ccnode.crawler.words import counted
from ccnode.errors import ConfigError, ExitStatus, StartupError
from ccnode.wire.address import BIP155_IDS, Network
from ccnode.wire.protocol import ServiceFlags

MANIFEST: Final = "manifest.json"
ALL_OUTCOMES: Final = "any"
_HASHED_AT_ONCE: Final = 1 << 20


def export_round(
    archive: Archive, target: Path, formats: Sequence[str], number: int | None = None, wanted: Filter | None = None
) -> dict[str, Any]:
    """Write a round's files into the directory ``target``; the manifest. Raises `StartupError`.

    :param formats: of the keys of `FORMATS`.
    :param number: of the round; the latest finished one for None.
    :param wanted: which visits, in the forms that are lists of visits; reachable ones for None.
    """
    source = Source(archive, archive.round(number), Filter() if wanted is None else wanted)
    try:
        target.mkdir(parents=True, exist_ok=True)
        files = [_export(source, target, name) for name in formats]
        manifest = _manifest(archive, source.round, files)
        with published(target / MANIFEST) as out:
            json.dump(manifest, out, indent=1)
            out.write("\n")
    except OSError as error:
        raise StartupError(f"cannot write to {target}: {error.strerror}", ExitStatus.DATADIR) from error
    return manifest


def _export(source: Source, target: Path, name: str) -> dict[str, Any]:
    form = FORMATS[name]
    path = target / form.file
    with published(path) as out:
        rows = form.write(source, out)
    return {"file": form.file, "format": name, "rows": rows, "bytes": path.stat().st_size, "sha256": _sha256(path)}


def _manifest(archive: Archive, this: Round, files: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    outcomes: dict[str, int] = {}
    for counts in archive.outcomes(this.number).values():
        for outcome, count in counts.items():
            outcomes[outcome.value] = outcomes.get(outcome.value, 0) + count
    return {
        "schema_version": SCHEMA_VERSION,
        "program": f"ccnode {__version__}",
        "chain": archive.chain,
        "round": this.number,
        "vantage": this.vantage,
        "started": this.started,
        "ended": this.ended,
        "status": this.status,
        "config": this.config,
        "outcomes": outcomes,
        "files": files,
    }


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_HASHED_AT_ONCE):
            digest.update(piece)
    return digest.hexdigest()


# -- the command -----------------------------------------------------------------------------------------------------


def export(arguments: Sequence[str]) -> int:
    """The command."""
    options = _parser().parse_args(arguments)
    path = census_file(options)
    target = path.with_name(f"{path.stem}-export") if options.to is None else options.to
    with Archive(path) as archive:
        manifest = export_round(archive, target, options.formats or tuple(FORMATS), options.round, _filter(options))
    for file in manifest["files"]:
        print(f"{target / file['file']}  {counted(file['rows'], 'row')}")
    print(target / MANIFEST)
    return ExitStatus.OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="crawl.py export",
        description="Write a round in files for other programs. Filters apply to ndjson, csv and bitnodes.",
    )
    parser.add_argument("formats", nargs="*", metavar="FORMAT", help=f"of {', '.join(FORMATS)}; all by default")
    parser.add_argument("--round", type=int, metavar="N", help="instead of the latest finished one")
    parser.add_argument("--to", type=Path, metavar="DIR", help="where to write (DIR/CHAIN-export)")
    parser.add_argument("--network", choices=[network.value for network in BIP155_IDS], help="only of this network")
    parser.add_argument("--asn", type=int, metavar="N", help="only of this autonomous system")
    parser.add_argument("--user-agent", metavar="TEXT", help="only with this in the user agent")
    parser.add_argument("--services", metavar="NAMES", help="only with all of these, as NETWORK,WITNESS")
    parser.add_argument("--transport", choices=["v1", "v2"], help="only of this transport")
    outcomes = [outcome.value for outcome in Outcome if outcome.dialed]
    parser.add_argument("--outcome", default="reachable", metavar="NAME", help=f"{ALL_OUTCOMES}, {', '.join(outcomes)}")
    add_file_options(parser)
    return parser


def _filter(options: argparse.Namespace) -> Filter:
    """ConfigError for names that there are not."""
    for name in options.formats:
        if name not in FORMATS:
            raise ConfigError(f"there is no format {name}; there are {', '.join(FORMATS)}")
    try:
        outcome = None if options.outcome == ALL_OUTCOMES else Outcome(options.outcome)
    except ValueError:
        raise ConfigError(f"there is no outcome {options.outcome}") from None
    return Filter(
        outcome=outcome,
        network=None if options.network is None else Network(options.network),
        asn=options.asn,
        user_agent=options.user_agent,
        services=_services(options.services),
        transport=options.transport,
    )


def _services(names: str | None) -> int:
    bits = 0
    for name in (names or "").upper().split(","):
        if name and name not in ServiceFlags.__members__:
            raise ConfigError(f"there is no service {name}; there are {', '.join(ServiceFlags.__members__)}")
        bits |= ServiceFlags[name] if name else 0
    return bits
