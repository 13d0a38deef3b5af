-- Provisioned concurrency, and what functions import when they initialise.

CREATE TABLE provisioned (
    function_name TEXT NOT NULL,
    qualifier     TEXT NOT NULL,         -- a version's number or an alias
    requested     INTEGER NOT NULL,      -- environments
    last_modified TEXT NOT NULL,
    PRIMARY KEY (function_name, qualifier)
) WITHOUT ROWID;

CREATE TABLE learned_imports (
    function_name TEXT NOT NULL,
    code_sha256   TEXT NOT NULL,
    modules       TEXT NOT NULL,         -- JSON array, in import order
    import_ms     REAL NOT NULL,         -- what they took
    learned_s     REAL NOT NULL,
    PRIMARY KEY (function_name, code_sha256)
) WITHOUT ROWID;
