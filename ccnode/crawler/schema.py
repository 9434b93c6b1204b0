"""The tables of a census file, one SQLite file per chain: ``OUT/mainnet.sqlite``.

They are written in SQL, and with comments, because people read them: ``sqlite3 FILE .schema`` prints this text.
``docs/crawler.md`` has examples. Times are Unix seconds, durations seconds. Whatever is not known is NULL.

- ``rounds``: one crawl each. Without an ``ended`` it was cut off, and can be resumed.
- ``nodes``: every address ever heard of, under a small number, with what is known of it by now.
- ``addresses``: every address of a round, with the one outcome it ended in; NULL while it has none.
- ``visits``: what each dial of a round taught. The columns are the fields of ``ccnode.crawler.outcome.Visit``.
- ``adverts``: who named whom, if that was to be kept: ten million rows in a round of the main network.
- ``sessions``, ``reliability``, ``changes``: what follows from the visits (``ccnode.crawler.history``).

A step that a release has shipped is never edited, and no column is ever dropped: whoever reads these files has
programs that expect them.
"""

from typing import Final

import sqlite_utils

from ccnode.storage.database import Schema

SCHEMA_VERSION: Final = 1
"""Of the tables and of all exports. It grows when something is added."""

migrations: Final = sqlite_utils.Migrations("ccnode-census")

CENSUS: Final = Schema(migrations, "the rounds kept in it are lost", "directory with --out")

_TABLES: Final = """
CREATE TABLE state (key TEXT PRIMARY KEY, value TEXT NOT NULL);

CREATE TABLE rounds (
    id INTEGER PRIMARY KEY,
    vantage TEXT NOT NULL,           -- where it was made; merging tells rounds apart by this and by their start
    started REAL NOT NULL,
    ended REAL,
    status TEXT NOT NULL,            -- running, complete, revisit (of nodes that were due), or why it ended early
    config TEXT NOT NULL,            -- JSON: limits, seeds, networks, user agent
    UNIQUE (vantage, started)
);

CREATE TABLE nodes (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE,        -- packed address and port
    network TEXT NOT NULL,           -- ipv4, ipv6, onion, i2p, cjdns
    address TEXT NOT NULL,
    port INTEGER NOT NULL,
    first_heard REAL NOT NULL,
    last_visited REAL,               -- dialed; NULL: never
    outcome TEXT,                    -- of that visit
    failures INTEGER NOT NULL DEFAULT 0,  -- visits in a row that found it down
    next_visit REAL,                 -- when another one is worth while
    first_reached REAL,
    last_reached REAL,
    version INTEGER,                 -- claimed when last reached, as are the next three
    services INTEGER,                -- 64 bits, as a number with a sign
    user_agent TEXT,
    height INTEGER
);
CREATE INDEX nodes_due ON nodes (next_visit) WHERE last_reached NOT NULL;

CREATE TABLE addresses (
    id INTEGER PRIMARY KEY,          -- in the order in which the round heard of them
    round INTEGER NOT NULL REFERENCES rounds (id),
    node INTEGER NOT NULL REFERENCES nodes (id),
    source INTEGER REFERENCES nodes (id),  -- who named it; NULL: no peer did
    via TEXT NOT NULL,               -- seed, dns, gossip, stored
    heard REAL NOT NULL,
    claimed_time INTEGER NOT NULL,   -- when it was seen, by its source's word; 0: no word
    outcome TEXT,
    UNIQUE (round, node)
);

CREATE TABLE visits (
    id INTEGER PRIMARY KEY,
    round INTEGER NOT NULL REFERENCES rounds (id),
    node INTEGER NOT NULL REFERENCES nodes (id),
    outcome TEXT NOT NULL,
    detail TEXT NOT NULL,
    started REAL NOT NULL,
    attempts INTEGER NOT NULL,
    lag REAL NOT NULL,               -- of the crawler itself
    connect_time REAL,
    handshake_time REAL,
    ping_times TEXT,                 -- JSON list
    tcp_rtt REAL,
    transport TEXT NOT NULL,
    version INTEGER,                 -- from here on: claimed
    services INTEGER,
    user_agent TEXT,
    start_height INTEGER,
    relay INTEGER,
    time_offset INTEGER,
    address_local TEXT,
    features TEXT,                   -- JSON list
    tip_height INTEGER,              -- from here on: verified
    tip_hash TEXT,                   -- as people write hashes
    chain_ok INTEGER,
    headers_behind INTEGER,
    collected TEXT NOT NULL,         -- why the collection of addresses ended
    adverts_count INTEGER NOT NULL,
    addr_messages INTEGER NOT NULL,
    bytes_received INTEGER NOT NULL,
    bytes_sent INTEGER NOT NULL,
    asn INTEGER                      -- by the asmap of that day; NULL: without one, or not in it
);
CREATE INDEX visits_by_node ON visits (node, round);
CREATE INDEX visits_by_round ON visits (round);

CREATE TABLE adverts (
    round INTEGER NOT NULL REFERENCES rounds (id),
    source INTEGER NOT NULL REFERENCES nodes (id),
    node INTEGER NOT NULL REFERENCES nodes (id),
    claimed_time INTEGER NOT NULL,
    services INTEGER NOT NULL,
    PRIMARY KEY (round, source, node)
) WITHOUT ROWID;

CREATE TABLE sessions (
    node INTEGER NOT NULL REFERENCES nodes (id),
    began REAL NOT NULL,             -- first found up
    last REAL NOT NULL,              -- last found up
    ended REAL,                      -- found down, or not looked at for too long; NULL: up so far
    PRIMARY KEY (node, began)
) WITHOUT ROWID;

CREATE TABLE reliability (
    node INTEGER NOT NULL REFERENCES nodes (id),
    window INTEGER NOT NULL,         -- seconds
    reliability REAL NOT NULL,       -- 0 .. weight
    weight REAL NOT NULL,            -- how much of the window the visits speak for, 0 .. 1
    count REAL NOT NULL,             -- visits, older ones counting less
    PRIMARY KEY (node, window)
) WITHOUT ROWID;

CREATE TABLE changes (
    id INTEGER PRIMARY KEY,
    node INTEGER NOT NULL REFERENCES nodes (id),
    time REAL NOT NULL,
    field TEXT NOT NULL,             -- version, services, user_agent, or height where it fell
    old TEXT NOT NULL,
    new TEXT NOT NULL
);
CREATE INDEX changes_by_node ON changes (node);

CREATE VIEW census AS                -- one row per round and outcome
    SELECT round, outcome, count(*) AS addresses FROM addresses GROUP BY round, outcome;

CREATE VIEW reachable AS             -- the latest complete round, node by node
    SELECT n.network, n.address, n.port, v.*
    FROM visits v JOIN nodes n ON n.id = v.node
    WHERE v.outcome = 'reachable' AND v.round = (SELECT max(id) FROM rounds WHERE status = 'complete');

CREATE VIEW advertisers AS           -- how much of what a node named first turned out to be there
    SELECT a.round, n.network, n.address, n.port, count(*) AS named,
        sum(a.outcome NOT IN ('unroutable', 'opted-out', 'capped', 'no-lane', 'unvisited')) AS dialed,
        sum(a.outcome IN ('reachable', 'slots-full', 'obsolete')) AS found,
        sum(a.outcome = 'capped') AS capped
    FROM addresses a JOIN nodes n ON n.id = a.source
    GROUP BY a.round, a.source;
"""


@migrations(name="0001_census")
def _census(db: sqlite_utils.Database) -> None:
    for statement in _TABLES.split(";\n"):
        if statement.strip():
            db.execute(statement)
