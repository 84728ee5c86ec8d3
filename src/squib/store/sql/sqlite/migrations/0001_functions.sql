CREATE TABLE account (
    account_id TEXT PRIMARY KEY,
    document   TEXT NOT NULL
) STRICT;

CREATE TABLE function (
    account_id TEXT NOT NULL,
    region     TEXT NOT NULL,
    name       TEXT NOT NULL,
    document   TEXT NOT NULL,
    PRIMARY KEY (account_id, region, name)
) STRICT;

PRAGMA user_version = 1;
