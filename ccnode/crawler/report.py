"""``report``: one page of HTML about a round and those before it.

The page is one file that asks nobody for anything: no script, no font, no picture from elsewhere, and a policy in its
head that has the browser refuse any. It can be mailed, printed and kept. Text from peers (user agents above all) is
written by strangers, so all of it is escaped where it enters a chart or a table.
"""

import argparse
from collections.abc import Sequence
from html import escape
from pathlib import Path
from time import gmtime, strftime
from typing import Final

from ccnode import __version__
from ccnode.crawler.archive import Archive, Round
from ccnode.crawler.files import add_file_options, census_file, published
from ccnode.crawler.page.answers import Answer, answers
from ccnode.crawler.page.findings import Findings, read_findings
from ccnode.crawler.page.style import STYLE
from ccnode.crawler.words import counted
from ccnode.errors import ExitStatus, StartupError

POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"


def report(arguments: Sequence[str]) -> int:
    """The command."""
    options = _parser().parse_args(arguments)
    path = census_file(options)
    target = options.page or path.with_name(f"{path.stem}.html")
    with Archive(path) as archive:
        begun = options.round is not None or any(one.is_census for one in archive.rounds())
        findings = read_findings(archive, options.round) if begun else None
    try:
        with published(target) as out:
            out.write(page(findings))
    except OSError as error:
        raise StartupError(f"cannot write {target}: {error.strerror}", ExitStatus.DATADIR) from error
    print(target)
    return ExitStatus.OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="crawl.py report", description="Writes one page of HTML about what was found.", allow_abbrev=False
    )
    add_file_options(parser)
    parser.add_argument("--round", type=int, metavar="N", help="about that round instead of the latest")
    parser.add_argument("--page", type=Path, metavar="FILE", help="where to write it (DIR/CHAIN.html)")
    return parser


def page(findings: Findings | None) -> str:
    """The whole document; one that says so if no round has ended yet."""
    if findings is None:
        return _document("Census", "<header><h1>Census</h1><p>No round has ended yet.</p></header>")
    found = answers(findings)
    tiles = "".join(
        f'<a href="#{answer.question}"><b>{escape(answer.tile[0])}</b>{escape(answer.tile[1])}</a>'
        for answer in found
        if answer.tile is not None
    )
    title = f"The {findings.chain} network, {_minute(findings.round.started)}"
    head = (
        f"<header><h1>{escape(title)}</h1><p>{escape(_about(findings))}</p>"
        f'<nav class="tiles" aria-label="In short">{tiles}</nav></header>'
    )
    return _document(title, f"{head}<main>{''.join(map(_section, found))}</main>{_foot()}")


def _document(title: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>{body}</body></html>\n"
    )


def _section(answer: Answer) -> str:
    name = escape(answer.question)
    return (
        f'<section id="{name}" data-question="{name}" aria-labelledby="{name}-h">'
        f'<h2 id="{name}-h">{escape(answer.heading)}</h2><p class="answer">{answer.sentence}</p>{answer.body}</section>'
    )


def _about(findings: Findings) -> str:
    this = findings.round
    place = f" from {this.vantage}" if this.vantage else ""
    rounds = len(findings.tallies)
    return f"Round {this.number}{place}: {_span(this)}. The charts over time show {counted(rounds, 'round')}."


def _span(this: Round) -> str:
    if this.ended is None:
        return "it was cut off, and its figures are what it had by then"
    took = this.ended - this.started
    lasted = f"{took:.0f} s" if took < 600 else f"{took / 60:.0f} min" if took < 36_000 else f"{took / 3600:.0f} h"
    return f"{this.status} after {lasted}"


def _foot() -> str:
    return (
        f"<footer>ccnode {escape(__version__)}. Reachable means that both sides completed the handshake. What nodes "
        "say of themselves is told as a claim. Method and limits: docs/crawler.md.</footer>"
    )


def _minute(when: float) -> str:
    return strftime("%Y-%m-%d %H:%M UTC", gmtime(when))
