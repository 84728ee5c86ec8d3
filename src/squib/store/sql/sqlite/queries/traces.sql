-- name: get_trace
SELECT made_at_s, updated_at_ms, size_bytes, revision, is_cut FROM traces
WHERE account_id = :account_id AND region = :region AND trace_id = :trace_id;

-- name: put_trace
INSERT OR REPLACE INTO traces
    (account_id, region, trace_id, made_at_s, updated_at_ms, size_bytes, revision, is_cut)
VALUES (:account_id, :region, :trace_id, :made_at_s, :updated_at_ms, :size_bytes, :revision, :is_cut);

-- name: segment_bytes
SELECT length(document) FROM segments
WHERE account_id = :account_id AND region = :region AND trace_id = :trace_id AND segment_id = :segment_id;

-- name: put_segment
INSERT OR REPLACE INTO segments (account_id, region, trace_id, segment_id, start_ms, document)
VALUES (:account_id, :region, :trace_id, :segment_id, :start_ms, :document);

-- name: list_segments
SELECT document FROM segments
WHERE account_id = :account_id AND region = :region AND trace_id = :trace_id
ORDER BY start_ms, segment_id;

-- name: list_traces_by_start
SELECT trace_id, made_at_s, updated_at_ms, size_bytes, revision, is_cut FROM traces
WHERE account_id = :account_id AND region = :region
    AND made_at_s >= :from_s AND made_at_s <= :to_s AND (made_at_s, trace_id) > (:after, :after_id)
ORDER BY made_at_s, trace_id
LIMIT :limit;

-- name: list_traces_by_event
SELECT trace_id, made_at_s, updated_at_ms, size_bytes, revision, is_cut FROM traces
WHERE account_id = :account_id AND region = :region AND updated_at_ms >= :from_s * 1000
    AND updated_at_ms <= :to_s * 1000 AND (updated_at_ms, trace_id) > (:after, :after_id)
ORDER BY updated_at_ms, trace_id
LIMIT :limit;

-- name: all_trace_bytes
SELECT coalesce(sum(size_bytes), 0) FROM traces;

-- name: oldest_traces
SELECT account_id, region, trace_id, size_bytes, updated_at_ms FROM traces
ORDER BY updated_at_ms
LIMIT :limit;

-- name: delete_trace
DELETE FROM traces WHERE account_id = :account_id AND region = :region AND trace_id = :trace_id;

-- name: delete_segments
DELETE FROM segments WHERE account_id = :account_id AND region = :region AND trace_id = :trace_id;
