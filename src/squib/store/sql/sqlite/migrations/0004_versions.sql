-- Tags belong to a function, not to its versions; content_id tells apart what revision_id told apart before.
UPDATE item SET document = json_set(
    json_remove(document, '$.declared.tags', '$.active.tags'),
    '$.tags', json(coalesce(json_extract(document, '$.declared.tags'), '{}')),
    '$.declared.content_id', json_extract(document, '$.declared.revision_id')
) WHERE kind = 'function';

UPDATE item SET document = json_set(
    document, '$.active.content_id', json_extract(document, '$.active.revision_id')
) WHERE kind = 'function' AND json_type(document, '$.active') = 'object';

PRAGMA user_version = 4;
