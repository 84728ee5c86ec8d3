-- name: get_item
SELECT document, account_id, region, name FROM item
WHERE kind = :kind AND account_id = :account_id AND region = :region AND name = :name;

-- name: list_items
SELECT document, account_id, region, name FROM item
WHERE kind = :kind AND account_id = :account_id AND region = :region AND name > :after AND name >= :prefix
  AND substr(name, 1, length(:prefix)) = :prefix
ORDER BY name
LIMIT :limit;

-- name: load_items
SELECT document, account_id, region, name FROM item WHERE kind = :kind;

-- name: put_item
INSERT INTO item (kind, account_id, region, name, document)
VALUES (:kind, :account_id, :region, :name, :document)
ON CONFLICT (kind, account_id, region, name) DO UPDATE SET document = excluded.document;

-- name: delete_item
DELETE FROM item WHERE kind = :kind AND account_id = :account_id AND region = :region AND name = :name;

-- name: delete_items_under
DELETE FROM item
WHERE kind = :kind AND account_id = :account_id AND region = :region
  AND name >= :name AND name < :name || ';' AND (name = :name OR substr(name, length(:name) + 1, 1) = ':')
RETURNING name;
