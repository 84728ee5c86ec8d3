-- Events of asynchronous invocations. What is written once stands apart from what attempts change, as with
-- messages; most events are run once, and have no row of the second kind.
CREATE TABLE async_event (
    event_key      INTEGER PRIMARY KEY,
    account_id     TEXT NOT NULL,
    region         TEXT NOT NULL,
    function_name  TEXT NOT NULL,
    accepted_at_ms INTEGER NOT NULL,
    event          BLOB NOT NULL,
    payload        BLOB NOT NULL
) STRICT;

CREATE TABLE async_event_progress (
    event_key INTEGER PRIMARY KEY,
    due_at_ms INTEGER NOT NULL,
    attempts  INTEGER NOT NULL,
    failures  INTEGER NOT NULL,
    backoffs  INTEGER NOT NULL,
    ending    BLOB
) STRICT;

PRAGMA user_version = 6;
