CREATE TABLE log_group (
    group_id   INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id TEXT NOT NULL,
    region     TEXT NOT NULL,
    name       TEXT NOT NULL,
    document   TEXT NOT NULL,
    UNIQUE (account_id, region, name)
) STRICT;

-- AUTOINCREMENT: an id names a file, so a deleted stream's id must never come back.
CREATE TABLE log_stream (
    stream_id INTEGER PRIMARY KEY AUTOINCREMENT,
    group_id  INTEGER NOT NULL REFERENCES log_group (group_id) ON DELETE CASCADE,
    name      TEXT NOT NULL,
    is_open   INTEGER NOT NULL,
    document  TEXT NOT NULL,
    UNIQUE (group_id, name)
) STRICT;

-- Found after a crash: the streams whose files may hold more than their row says.
CREATE INDEX log_stream_open ON log_stream (stream_id) WHERE is_open = 1;

PRAGMA user_version = 2;
