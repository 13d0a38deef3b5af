-- Version 1 of lambda.db. Times: *_s are seconds since the epoch, *_ms milliseconds since the epoch.
-- "body" columns hold a dataclass of jupyter_lambda.model as JSON; the other columns are what is searched by.

CREATE TABLE setting (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- ── functions ──────────────────────────────────────────────────────────────────────────────────────────────────────

CREATE TABLE function (
    name         TEXT PRIMARY KEY,
    reserved     INTEGER,               -- reserved concurrency; NULL: none
    next_version INTEGER NOT NULL,
    tags         TEXT NOT NULL          -- JSON object
) WITHOUT ROWID;

CREATE TABLE version (
    function_name TEXT NOT NULL,
    number        INTEGER NOT NULL,     -- 0 is $LATEST
    code_sha256   TEXT NOT NULL,
    code_size     INTEGER NOT NULL,
    body          TEXT NOT NULL,
    PRIMARY KEY (function_name, number)
) WITHOUT ROWID;
CREATE INDEX version_by_code ON version (code_sha256);

CREATE TABLE alias (
    function_name    TEXT NOT NULL,
    name             TEXT NOT NULL,
    function_version TEXT NOT NULL,
    body             TEXT NOT NULL,
    PRIMARY KEY (function_name, name)
) WITHOUT ROWID;

CREATE TABLE layer (
    name         TEXT PRIMARY KEY,
    next_version INTEGER NOT NULL       -- numbers are never used again, so this outlives the versions
) WITHOUT ROWID;

CREATE TABLE layer_version (
    name        TEXT NOT NULL,
    version     INTEGER NOT NULL,
    code_sha256 TEXT NOT NULL,
    code_size   INTEGER NOT NULL,
    body        TEXT NOT NULL,
    PRIMARY KEY (name, version)
) WITHOUT ROWID;
CREATE INDEX layer_version_by_code ON layer_version (code_sha256);

CREATE TABLE invoke_config (
    function_name TEXT NOT NULL,
    qualifier     TEXT NOT NULL,
    body          TEXT NOT NULL,
    PRIMARY KEY (function_name, qualifier)
) WITHOUT ROWID;

CREATE TABLE policy (
    resource_arn TEXT PRIMARY KEY,
    owner        TEXT NOT NULL,         -- "function:NAME" or "layer:NAME": what the policy is deleted with
    body         TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX policy_by_owner ON policy (owner);

-- ── asynchronous events ────────────────────────────────────────────────────────────────────────────────────────────

-- due_ms is when a worker may take the event. Taking it sets leased = 1 and moves due_ms to the end of the lease, so an
-- expired lease is simply due again. Neither changes the row's size, so SQLite rewrites the row's first page only,
-- however large the payload is.
CREATE TABLE event (
    seq            INTEGER PRIMARY KEY,
    due_ms         INTEGER NOT NULL,
    leased         INTEGER NOT NULL DEFAULT 0,
    state          TEXT NOT NULL DEFAULT 'waiting',     -- 'waiting' for the function; 'outcome': its result is owed
    attempts       INTEGER NOT NULL,
    deferrals      INTEGER NOT NULL,
    request_id     TEXT NOT NULL UNIQUE,
    function_name  TEXT NOT NULL,
    qualifier      TEXT NOT NULL,
    source         TEXT NOT NULL,
    enqueued_s     REAL NOT NULL,
    client_context TEXT,
    trace_id       TEXT,
    outcome        TEXT,                                -- JSON, in state 'outcome'
    payload        BLOB NOT NULL
);
CREATE INDEX event_by_due ON event (state, due_ms);

CREATE TABLE dead_event (
    seq        INTEGER PRIMARY KEY,
    request_id TEXT NOT NULL,
    buried_s   REAL NOT NULL,
    reason     TEXT NOT NULL,
    body       TEXT NOT NULL,
    payload    BLOB NOT NULL
);
CREATE INDEX dead_event_by_request ON dead_event (request_id);

-- ── ledger ─────────────────────────────────────────────────────────────────────────────────────────────────────────

CREATE TABLE invocation (
    seq            INTEGER PRIMARY KEY,
    request_id     TEXT NOT NULL,       -- not unique: an asynchronous event has a record per attempt
    function_name  TEXT NOT NULL,
    version        TEXT NOT NULL,
    source         TEXT NOT NULL,
    status         TEXT NOT NULL,
    received_s     REAL NOT NULL,
    started_s      REAL,
    queue_ms       REAL NOT NULL,
    init_ms        REAL,
    run_ms         REAL NOT NULL,
    billed_ms      INTEGER NOT NULL,
    memory_mb      INTEGER NOT NULL,
    memory_used_mb INTEGER,
    cold           INTEGER NOT NULL,
    error_type     TEXT,
    environment_id TEXT,
    log_stream     TEXT,
    attempt        INTEGER NOT NULL,
    gb_s           REAL NOT NULL
);
CREATE INDEX invocation_by_request ON invocation (request_id);
CREATE INDEX invocation_by_time ON invocation (received_s);
CREATE INDEX invocation_by_function ON invocation (function_name, received_s);
CREATE INDEX invocation_failed ON invocation (received_s) WHERE status <> 'success';
CREATE INDEX invocation_failed_by_function ON invocation (function_name, received_s) WHERE status <> 'success';

-- What stays when records leave: sums per function and hour.
CREATE TABLE usage (
    function_name TEXT NOT NULL,
    hour          INTEGER NOT NULL,     -- hours since the epoch
    invocations   INTEGER NOT NULL,
    errors        INTEGER NOT NULL,
    throttles     INTEGER NOT NULL,
    cold          INTEGER NOT NULL,
    billed_ms     INTEGER NOT NULL,
    gb_s          REAL NOT NULL,
    run_ms_sum    REAL NOT NULL,
    run_ms_max    REAL NOT NULL,
    first_s       REAL NOT NULL,
    last_s        REAL NOT NULL,
    PRIMARY KEY (function_name, hour)
) WITHOUT ROWID;
