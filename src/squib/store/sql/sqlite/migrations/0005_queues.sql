-- Messages of queues. What is written once and may be large stands apart from what every receive changes,
-- so that a receive writes a small row. Rows of queues that are gone are removed in the background.
CREATE TABLE message (
    message_key   INTEGER PRIMARY KEY,
    queue_id      INTEGER NOT NULL,
    position      INTEGER NOT NULL,
    kept_since_ms INTEGER NOT NULL,
    visible_at_ms INTEGER NOT NULL,
    group_id      TEXT,
    head          BLOB NOT NULL,
    content       BLOB NOT NULL
) STRICT;

CREATE TABLE message_delivery (
    message_key          INTEGER PRIMARY KEY,
    visible_at_ms        INTEGER NOT NULL,
    receive_count        INTEGER NOT NULL,
    first_received_at_ms INTEGER NOT NULL
) STRICT;

-- What FIFO queues have accepted within the deduplication interval, deleted or not.
CREATE TABLE message_deduplication (
    queue_id         INTEGER NOT NULL,
    scope            TEXT NOT NULL,
    deduplication_id TEXT NOT NULL,
    accepted_at_ms   INTEGER NOT NULL,
    message_id       TEXT NOT NULL,
    position         INTEGER NOT NULL,
    PRIMARY KEY (queue_id, scope, deduplication_id)
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 5;
