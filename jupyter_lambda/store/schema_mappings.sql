-- Event source mappings, and how far each has come in its stream.

CREATE TABLE event_source_mapping (
    uuid            TEXT PRIMARY KEY,
    function_name   TEXT NOT NULL,
    source_arn      TEXT NOT NULL,
    state           TEXT NOT NULL,
    reason          TEXT NOT NULL,         -- StateTransitionReason
    last_result     TEXT NOT NULL,         -- LastProcessingResult
    last_modified_s REAL NOT NULL,
    body            TEXT NOT NULL          -- JSON: kind, qualifier, options, tags
) WITHOUT ROWID;

CREATE INDEX event_source_mapping_source ON event_source_mapping (source_arn);

CREATE TABLE mapping_shard (
    uuid     TEXT NOT NULL,
    shard_id TEXT NOT NULL,
    body     TEXT NOT NULL,                -- JSON: position, batches that are being retried, window
    PRIMARY KEY (uuid, shard_id)
) WITHOUT ROWID;
