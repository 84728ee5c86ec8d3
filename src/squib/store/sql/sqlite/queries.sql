-- name: configure
PRAGMA busy_timeout = 10000;
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

-- name: get_function
SELECT document FROM function WHERE account_id = :account_id AND region = :region AND name = :name;

-- name: list_functions
SELECT document FROM function
WHERE account_id = :account_id AND name > :after AND (:region IS NULL OR region = :region)
ORDER BY name, region
LIMIT :limit;

-- name: all_functions
SELECT document FROM function ORDER BY account_id, region, name;

-- name: put_function
INSERT INTO function (account_id, region, name, document)
VALUES (:account_id, :region, :name, :document)
ON CONFLICT (account_id, region, name) DO UPDATE SET document = excluded.document;

-- name: delete_function
DELETE FROM function WHERE account_id = :account_id AND region = :region AND name = :name;

-- name: list_accounts
SELECT account_id FROM account ORDER BY account_id;

-- name: put_account
INSERT INTO account (account_id, document) VALUES (:account_id, :document)
ON CONFLICT (account_id) DO NOTHING;

-- name: get_log_group
SELECT group_id, account_id, region, name, document, 0 FROM log_group
WHERE account_id = :account_id AND region = :region AND name = :name;

-- name: list_log_groups
SELECT group_id, account_id, region, name, document,
    (SELECT coalesce(sum(json_extract(segment.value, '$.size_bytes')), 0)
     FROM log_stream, json_each(log_stream.document, '$.segments') AS segment
     WHERE log_stream.group_id = log_group.group_id)
FROM log_group
WHERE account_id = :account_id AND region = :region AND name > :after
  AND substr(name, 1, length(:prefix)) = :prefix
ORDER BY name
LIMIT :limit;

-- name: list_retaining_log_groups
SELECT group_id, account_id, region, name, document, 0 FROM log_group
WHERE json_extract(document, '$.retention_days') IS NOT NULL
ORDER BY group_id;

-- name: add_log_group
INSERT INTO log_group (account_id, region, name, document)
VALUES (:account_id, :region, :name, :document)
ON CONFLICT (account_id, region, name) DO NOTHING;

-- name: put_log_group
UPDATE log_group SET document = :document WHERE group_id = :group_id;

-- name: delete_log_group
DELETE FROM log_group WHERE group_id = :group_id;

-- name: get_log_stream
SELECT stream_id, name, document FROM log_stream WHERE group_id = :group_id AND name = :name;

-- name: list_log_streams
SELECT stream_id, name, document FROM log_stream
WHERE group_id = :group_id AND substr(name, 1, length(:prefix)) = :prefix
ORDER BY name;

-- name: list_open_log_streams
SELECT stream_id, name, document FROM log_stream WHERE is_open = 1 ORDER BY stream_id;

-- name: add_log_stream
INSERT INTO log_stream (group_id, name, is_open, document)
VALUES (:group_id, :name, :is_open, :document)
ON CONFLICT (group_id, name) DO NOTHING;

-- name: put_log_stream
UPDATE log_stream SET is_open = :is_open, document = :document WHERE stream_id = :stream_id;

-- name: delete_log_stream
DELETE FROM log_stream WHERE stream_id = :stream_id;
