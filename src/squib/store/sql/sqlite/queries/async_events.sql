-- name: add_async_event
INSERT INTO async_event (event_key, account_id, region, function_name, accepted_at_ms, event, payload)
VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: put_async_event_progress
INSERT INTO async_event_progress (event_key, due_at_ms, attempts, failures, backoffs) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (event_key) DO UPDATE SET due_at_ms = excluded.due_at_ms, attempts = excluded.attempts,
    failures = excluded.failures, backoffs = excluded.backoffs;

-- name: put_async_event_ending
INSERT INTO async_event_progress (event_key, due_at_ms, attempts, failures, backoffs, ending)
VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (event_key) DO UPDATE SET due_at_ms = excluded.due_at_ms, attempts = excluded.attempts,
    failures = excluded.failures, backoffs = excluded.backoffs, ending = excluded.ending;

-- name: delete_async_event
DELETE FROM async_event WHERE event_key = ?;

-- name: delete_async_event_progress
DELETE FROM async_event_progress WHERE event_key = ?;

-- name: get_async_event
SELECT event, payload, ending FROM async_event LEFT JOIN async_event_progress USING (event_key)
WHERE event_key = ?;

-- name: load_async_events
SELECT event_key, account_id, region, function_name, accepted_at_ms, coalesce(due_at_ms, 0),
    coalesce(attempts, 0), coalesce(failures, 0), coalesce(backoffs, 0), ending IS NOT NULL
FROM async_event LEFT JOIN async_event_progress USING (event_key)
ORDER BY event_key;

-- name: count_async_events
SELECT count(*) FROM async_event;

-- name: count_async_event_progress
SELECT count(*) FROM async_event_progress;

-- name: last_async_event
SELECT coalesce(max(event_key), 0) FROM async_event;
