-- name: add_message
INSERT INTO message
    (message_key, queue_id, position, kept_since_ms, visible_at_ms, group_id, head, content)
VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- name: put_delivery
INSERT INTO message_delivery (message_key, visible_at_ms, receive_count, first_received_at_ms)
VALUES (?, ?, ?, ?)
ON CONFLICT (message_key) DO UPDATE SET visible_at_ms = excluded.visible_at_ms,
    receive_count = excluded.receive_count, first_received_at_ms = excluded.first_received_at_ms;

-- name: delete_message
DELETE FROM message WHERE message_key = ?;

-- name: delete_delivery
DELETE FROM message_delivery WHERE message_key = ?;

-- name: get_message_head
SELECT head FROM message WHERE message_key = ?;

-- name: get_message_content
SELECT head, content FROM message WHERE message_key = ?;

-- name: move_message
UPDATE message SET queue_id = :queue_id, position = :position, kept_since_ms = :kept_since_ms,
    visible_at_ms = :visible_at_ms, head = :head
WHERE message_key = :message_key;

-- name: load_messages
SELECT message.message_key, queue_id, position, kept_since_ms,
    coalesce(message_delivery.visible_at_ms, message.visible_at_ms), group_id,
    coalesce(receive_count, 0), coalesce(first_received_at_ms, 0)
FROM message LEFT JOIN message_delivery USING (message_key)
ORDER BY position;

-- name: accept_deduplication
INSERT INTO message_deduplication
    (queue_id, scope, deduplication_id, accepted_at_ms, message_id, position)
VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (queue_id, scope, deduplication_id) DO UPDATE SET accepted_at_ms = excluded.accepted_at_ms,
    message_id = excluded.message_id, position = excluded.position;

-- name: load_deduplications
SELECT queue_id, scope, deduplication_id, accepted_at_ms, message_id, position FROM message_deduplication
ORDER BY accepted_at_ms, position;

-- name: expire_deduplications
DELETE FROM message_deduplication WHERE accepted_at_ms <= :before_ms;

-- name: count_messages
SELECT count(*) FROM message;

-- name: count_deliveries
SELECT count(*) FROM message_delivery;

-- name: count_deduplications
SELECT count(*) FROM message_deduplication;
