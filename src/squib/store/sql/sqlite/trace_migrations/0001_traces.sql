-- Traces and the segments in them. `document` is JSON as it was sent.
CREATE TABLE traces (
    account_id TEXT NOT NULL,
    region TEXT NOT NULL,
    trace_id TEXT NOT NULL,
    made_at_s INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    is_cut INTEGER NOT NULL,
    PRIMARY KEY (account_id, region, trace_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX traces_by_start ON traces (account_id, region, made_at_s, trace_id);
CREATE INDEX traces_by_event ON traces (account_id, region, updated_at_ms, trace_id);
CREATE INDEX traces_by_age ON traces (updated_at_ms);

CREATE TABLE segments (
    account_id TEXT NOT NULL,
    region TEXT NOT NULL,
    trace_id TEXT NOT NULL,
    segment_id TEXT NOT NULL,
    start_ms INTEGER NOT NULL,
    document BLOB NOT NULL
) STRICT;

CREATE UNIQUE INDEX segments_by_id ON segments (account_id, region, trace_id, segment_id);

PRAGMA user_version = 1;
