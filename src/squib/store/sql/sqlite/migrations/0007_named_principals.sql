-- Stored policies name users and roles; with each goes from now on who that is. For those that were stored
-- before, it is whoever bears the name now; where nobody does, an id that nobody ever has: whom the policy
-- meant is gone, and who comes after gets nothing.
CREATE TEMP TABLE bearer AS
SELECT
    kind,
    'arn:aws:iam::' || account_id || ':' || substr(kind, 5)
        || coalesce(json_extract(document, '$.path'), '/') || json_extract(document, '$.name') AS arn,
    'arn:aws:sts::' || account_id || ':assumed-role/' || json_extract(document, '$.name') || '/' AS sessions,
    json_extract(document, '$.unique_id') AS unique_id
FROM item WHERE kind IN ('iam-user', 'iam-role');

CREATE TEMP TABLE policy AS
SELECT kind, account_id, region, name, json_extract(document, CASE kind
    WHEN 'resource_policy' THEN '$.document'
    WHEN 'queue' THEN '$.policy'
    ELSE '$.trust_policy'
END) AS text
FROM item WHERE kind IN ('resource_policy', 'queue', 'iam-role');

DELETE FROM policy WHERE text IS NULL OR NOT json_valid(text);

CREATE TEMP TABLE named AS
SELECT DISTINCT policy.kind, policy.account_id, policy.region, policy.name, part.atom AS arn
FROM policy, json_tree(policy.text) AS part
WHERE part.type = 'text'
    AND (part.path GLOB '*.Principal*' OR part.path GLOB '*.NotPrincipal*')
    AND (part.atom GLOB 'arn:aws:iam::*:user/*' OR part.atom GLOB 'arn:aws:iam::*:role/*'
        OR part.atom GLOB 'arn:aws:sts::*:assumed-role/*/*')
    AND substr(part.atom, 14, 12) IN (SELECT account_id FROM item WHERE kind = 'account');

CREATE TEMP TABLE principals AS
SELECT kind, account_id, region, name, json_group_object(arn, coalesce(
    (SELECT unique_id FROM bearer WHERE bearer.arn = named.arn),
    (SELECT unique_id || ':' || substr(named.arn, length(sessions) + 1) FROM bearer
        WHERE bearer.kind = 'iam-role' AND substr(named.arn, 1, length(sessions)) = sessions),
    CASE WHEN named.arn GLOB '*:user/*' THEN 'AIDA00000000000000000' ELSE 'AROA00000000000000000' END
)) AS ids
FROM named GROUP BY kind, account_id, region, name;

UPDATE item SET document = json_set(
    item.document,
    CASE item.kind WHEN 'iam-role' THEN '$.trusted_ids' ELSE '$.principal_ids' END,
    json_patch(principals.ids, coalesce(json_extract(item.document, '$.trusted_ids'), '{}'))
)
FROM principals
WHERE item.kind = principals.kind AND item.account_id = principals.account_id
    AND item.region = principals.region AND item.name = principals.name;

DROP TABLE principals;
DROP TABLE named;
DROP TABLE policy;
DROP TABLE bearer;

PRAGMA user_version = 7;
