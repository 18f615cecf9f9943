-- Layout: see the header of sqlite/mod.rs. Every checksum is CRC-32C over the row's own name and content.

CREATE TABLE entity (
    number   INTEGER PRIMARY KEY,
    tenant   TEXT    NOT NULL,
    kind     TEXT    NOT NULL,
    id       TEXT    NOT NULL,
    key_hash INTEGER NOT NULL,
    claim    BLOB    NOT NULL,
    epoch    INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    crc      INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX entity_by_key ON entity (tenant, kind, id);
-- A second way to the same row: damage to one index cannot make an entity look as if it never existed.
CREATE INDEX entity_by_hash ON entity (key_hash);

CREATE TABLE event (
    number    INTEGER PRIMARY KEY,
    entity    INTEGER NOT NULL,
    seq       INTEGER NOT NULL,
    append_id BLOB    NOT NULL,
    epoch     INTEGER NOT NULL,
    crc       INTEGER NOT NULL,
    bytes     BLOB    NOT NULL
) STRICT;
CREATE UNIQUE INDEX event_by_seq ON event (entity, seq);

CREATE TABLE snapshot (
    entity INTEGER PRIMARY KEY,
    seq    INTEGER NOT NULL,
    crc    INTEGER NOT NULL,
    bytes  BLOB    NOT NULL
) STRICT;

CREATE TABLE wake (
    shard  INTEGER NOT NULL,
    tenant TEXT    NOT NULL,
    kind   TEXT    NOT NULL,
    id     TEXT    NOT NULL,
    epoch  INTEGER NOT NULL,
    due_ms INTEGER NOT NULL,
    PRIMARY KEY (shard, tenant, kind, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE list_row (
    number  INTEGER PRIMARY KEY,
    tenant  TEXT    NOT NULL,
    list    TEXT    NOT NULL,
    id      TEXT    NOT NULL,
    at_ms   INTEGER NOT NULL,
    version INTEGER NOT NULL,
    crc     INTEGER NOT NULL,
    body    BLOB,
    numbers BLOB
) STRICT;
CREATE UNIQUE INDEX list_row_by_id ON list_row (tenant, list, id);
CREATE INDEX list_row_by_time ON list_row (tenant, list, at_ms DESC, id) WHERE body IS NOT NULL;

CREATE TABLE entity_key (
    tenant  TEXT NOT NULL,
    kind    TEXT NOT NULL,
    id      TEXT NOT NULL,
    -- NULL once destroyed: the row is the mark that stays.
    wrapped BLOB,
    crc     INTEGER NOT NULL,
    PRIMARY KEY (tenant, kind, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE unique_value (
    scope          TEXT    NOT NULL,
    value          TEXT    NOT NULL,
    owner          TEXT    NOT NULL,
    confirmed      INTEGER NOT NULL CHECK (confirmed IN (0, 1)),
    reserved_at_ms INTEGER NOT NULL,
    PRIMARY KEY (scope, value)
) STRICT, WITHOUT ROWID;

CREATE TABLE answer (
    number        INTEGER PRIMARY KEY,
    scope         TEXT    NOT NULL,
    key           TEXT    NOT NULL,
    body_hash     BLOB    NOT NULL,
    started_ms    INTEGER NOT NULL,
    -- When the row is worthless: an answer's expiry, or when a run counts as dead.
    expires_at_ms INTEGER NOT NULL,
    -- NULL while the request runs.
    answer        BLOB
) STRICT;
CREATE UNIQUE INDEX answer_by_key ON answer (scope, key);
CREATE INDEX answer_by_expiry ON answer (expires_at_ms);

CREATE TABLE cluster (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    name   TEXT    NOT NULL,
    shards INTEGER NOT NULL
) STRICT;

CREATE TABLE node (
    id          TEXT    PRIMARY KEY,
    incarnation INTEGER NOT NULL,
    beat        INTEGER NOT NULL,
    alive       INTEGER NOT NULL CHECK (alive IN (0, 1)),
    address     TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE shard (
    shard    INTEGER PRIMARY KEY,
    owner    TEXT    NOT NULL,
    epoch    INTEGER NOT NULL,
    draining INTEGER NOT NULL CHECK (draining IN (0, 1)),
    target   TEXT
) STRICT;
