-- Metrics as CloudWatch keeps them, and how long each function's log is kept.

CREATE TABLE metric (
    id            INTEGER PRIMARY KEY,
    namespace     TEXT NOT NULL,
    name          TEXT NOT NULL,
    dimensions    TEXT NOT NULL,        -- JSON object, keys sorted, no blanks
    function_name TEXT NOT NULL,        -- of AWS/Lambda's own; '' elsewhere
    resource      TEXT NOT NULL,        -- same
    unit          TEXT NOT NULL,
    derived       INTEGER NOT NULL,     -- 1: has no rows of its own, sums those of narrower dimensions
    last_s        INTEGER NOT NULL,     -- seconds since the epoch of its newest period
    UNIQUE (namespace, name, dimensions)
);
CREATE INDEX metric_by_function ON metric (function_name, name) WHERE derived = 0;

-- Statistics of one metric and period. Rows grow coarser with age: 60 s, 300 s, 3,600 s.
CREATE TABLE metric_period (
    metric    INTEGER NOT NULL,
    period_s  INTEGER NOT NULL,
    start_s   INTEGER NOT NULL,         -- seconds since the epoch, a multiple of period_s
    samples   REAL NOT NULL,
    total     REAL NOT NULL,
    smallest  REAL NOT NULL,
    largest   REAL NOT NULL,
    histogram BLOB,                     -- see model/statistics.py; NULL: no percentiles
    PRIMARY KEY (metric, period_s, start_s)
) WITHOUT ROWID;

CREATE TABLE log_retention (
    function_name TEXT PRIMARY KEY,
    days          INTEGER NOT NULL
) WITHOUT ROWID;
