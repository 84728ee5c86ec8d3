-- name: configure
PRAGMA busy_timeout = 10000;
PRAGMA cache_size = -1024;
PRAGMA foreign_keys = ON;

-- name: configure_writer
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA journal_size_limit = 67108864;

-- name: configure_reader
PRAGMA query_only = ON;

-- name: begin_read
BEGIN DEFERRED;

-- name: begin_write
BEGIN IMMEDIATE;

-- name: commit
COMMIT;

-- name: rollback
ROLLBACK;

-- name: savepoint
SAVEPOINT decision;

-- name: release_savepoint
RELEASE SAVEPOINT decision;

-- name: rollback_savepoint
ROLLBACK TO SAVEPOINT decision;

-- name: schema_version
PRAGMA user_version;
