-- What functions have used, by the minute and by the hour. `tally` is a model.usage.Tally as msgpack.
CREATE TABLE usage (
    account_id TEXT NOT NULL,
    span_s INTEGER NOT NULL,
    start_s INTEGER NOT NULL,
    region TEXT NOT NULL,
    function TEXT NOT NULL,
    qualifier TEXT NOT NULL,
    version TEXT NOT NULL,
    tally BLOB NOT NULL,
    PRIMARY KEY (account_id, span_s, start_s, region, function, qualifier, version)
) STRICT, WITHOUT ROWID;

CREATE INDEX usage_by_age ON usage (span_s, start_s);

PRAGMA user_version = 1;
