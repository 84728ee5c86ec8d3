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
