-- name: configure_usage
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
PRAGMA journal_size_limit = 67108864;

-- name: get_usage
SELECT tally FROM usage
WHERE account_id = :account_id AND span_s = :span_s AND start_s = :start_s AND region = :region
    AND function = :function AND qualifier = :qualifier AND version = :version;

-- name: put_usage
INSERT OR REPLACE INTO usage (account_id, span_s, start_s, region, function, qualifier, version, tally)
VALUES (:account_id, :span_s, :start_s, :region, :function, :qualifier, :version, :tally);

-- name: list_usage
SELECT region, function, qualifier, version, start_s, tally FROM usage
WHERE account_id = :account_id AND span_s = :span_s AND start_s >= :from_s AND start_s < :to_s
    AND (:region IS NULL OR region = :region) AND (:function IS NULL OR function = :function)
ORDER BY start_s, region, function, qualifier, version;

-- name: expire_usage
DELETE FROM usage WHERE span_s = :span_s AND start_s < :before_s;
