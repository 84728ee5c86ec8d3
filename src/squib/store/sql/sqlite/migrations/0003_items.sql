-- Everything that is declared, in one table: what a kind holds is the model's matter.
CREATE TABLE item (
    kind       TEXT NOT NULL,
    account_id TEXT NOT NULL,
    region     TEXT NOT NULL,
    name       TEXT NOT NULL,
    document   TEXT NOT NULL,
    PRIMARY KEY (kind, account_id, region, name)
) STRICT;

INSERT INTO item SELECT 'function', account_id, region, name, document FROM function;
INSERT INTO item SELECT 'account', account_id, '', '', document FROM account;
DROP TABLE function;
DROP TABLE account;

PRAGMA user_version = 3;
