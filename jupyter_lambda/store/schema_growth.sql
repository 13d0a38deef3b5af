-- What would grow with the number of functions is counted as it changes, not when it is asked for.

CREATE TABLE total (
    name  TEXT PRIMARY KEY,             -- 'functions'; 'reserved': concurrency; 'code_bytes': of all versions, as AWS counts
    value INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO total SELECT 'functions', count(*) FROM function;
INSERT INTO total SELECT 'reserved', coalesce(sum(reserved), 0) FROM function;
INSERT INTO total SELECT 'code_bytes', (SELECT coalesce(sum(code_size), 0) FROM version)
                                     + (SELECT coalesce(sum(code_size), 0) FROM layer_version);

-- REPLACE deletes without telling triggers: these tables are written with INSERT … ON CONFLICT only.
CREATE TRIGGER function_added AFTER INSERT ON function BEGIN
    UPDATE total SET value = value + 1 WHERE name = 'functions';
    UPDATE total SET value = value + coalesce(new.reserved, 0) WHERE name = 'reserved';
END;
CREATE TRIGGER function_changed AFTER UPDATE OF reserved ON function WHEN new.reserved IS NOT old.reserved BEGIN
    UPDATE total SET value = value + coalesce(new.reserved, 0) - coalesce(old.reserved, 0) WHERE name = 'reserved';
END;
CREATE TRIGGER function_deleted AFTER DELETE ON function BEGIN
    UPDATE total SET value = value - 1 WHERE name = 'functions';
    UPDATE total SET value = value - coalesce(old.reserved, 0) WHERE name = 'reserved';
END;

-- Packages of layers by the versions that name them: needed as long as one does, even when the layer itself is deleted.
CREATE TABLE version_layer (
    function_name TEXT NOT NULL,
    number        INTEGER NOT NULL,
    code_sha256   TEXT NOT NULL,
    PRIMARY KEY (function_name, number, code_sha256)
) WITHOUT ROWID;
CREATE INDEX version_layer_by_code ON version_layer (code_sha256);
INSERT INTO version_layer
    SELECT DISTINCT function_name, number, json_extract(layer.value, '$.CodeSha256')
    FROM version, json_each(version.body, '$.extras.LayerPackages') AS layer;

CREATE TRIGGER version_added AFTER INSERT ON version BEGIN
    UPDATE total SET value = value + new.code_size WHERE name = 'code_bytes';
    INSERT INTO version_layer
        SELECT DISTINCT new.function_name, new.number, json_extract(value, '$.CodeSha256')
        FROM json_each(new.body, '$.extras.LayerPackages');
END;
CREATE TRIGGER version_changed AFTER UPDATE OF body, code_size ON version BEGIN
    UPDATE total SET value = value + new.code_size - old.code_size WHERE name = 'code_bytes';
    DELETE FROM version_layer WHERE function_name = new.function_name AND number = new.number;
    INSERT INTO version_layer
        SELECT DISTINCT new.function_name, new.number, json_extract(value, '$.CodeSha256')
        FROM json_each(new.body, '$.extras.LayerPackages');
END;
CREATE TRIGGER version_deleted AFTER DELETE ON version BEGIN
    UPDATE total SET value = value - old.code_size WHERE name = 'code_bytes';
    DELETE FROM version_layer WHERE function_name = old.function_name AND number = old.number;
END;
CREATE TRIGGER layer_version_added AFTER INSERT ON layer_version BEGIN
    UPDATE total SET value = value + new.code_size WHERE name = 'code_bytes';
END;
CREATE TRIGGER layer_version_deleted AFTER DELETE ON layer_version BEGIN
    UPDATE total SET value = value - old.code_size WHERE name = 'code_bytes';
END;

-- Sums per function over all time; "usage" has them by hour.
CREATE TABLE usage_total (
    function_name TEXT PRIMARY KEY,
    invocations   INTEGER NOT NULL,
    errors        INTEGER NOT NULL,
    throttles     INTEGER NOT NULL,
    cold          INTEGER NOT NULL,
    billed_ms     INTEGER NOT NULL,
    gb_s          REAL NOT NULL,
    run_ms_sum    REAL NOT NULL,
    run_ms_max    REAL NOT NULL,
    first_s       REAL NOT NULL,
    last_s        REAL NOT NULL
) WITHOUT ROWID;
INSERT INTO usage_total
    SELECT function_name, sum(invocations), sum(errors), sum(throttles), sum(cold), sum(billed_ms), sum(gb_s),
           sum(run_ms_sum), max(run_ms_max), min(first_s), max(last_s)
    FROM usage GROUP BY function_name;
CREATE INDEX usage_by_hour ON usage (hour);
