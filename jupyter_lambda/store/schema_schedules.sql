-- EventBridge buses, rules and targets; EventBridge Scheduler's schedules; when each of them is due; what is on its way
-- to a target beyond this engine.

CREATE TABLE event_bus (                -- "default" is there without a row
    name TEXT PRIMARY KEY,
    body TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE event_rule (
    bus  TEXT NOT NULL,
    name TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (bus, name)
) WITHOUT ROWID;

CREATE TABLE event_target (
    bus      TEXT NOT NULL,
    rule     TEXT NOT NULL,
    id       TEXT NOT NULL,
    arn      TEXT NOT NULL,
    settings TEXT NOT NULL,             -- the target as AWS's API has it, JSON
    PRIMARY KEY (bus, rule, id)
) WITHOUT ROWID;

CREATE TABLE schedule_group (           -- "default" is there without a row
    name TEXT PRIMARY KEY,
    body TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE schedule (
    group_name TEXT NOT NULL,
    name       TEXT NOT NULL,
    target_arn TEXT NOT NULL,
    body       TEXT NOT NULL,
    PRIMARY KEY (group_name, name)
) WITHOUT ROWID;
CREATE INDEX schedule_by_target ON schedule (target_arn, group_name, name);

-- One row for each schedule that ticks. Firing moves it on and enqueues what it fires, in one transaction.
CREATE TABLE timer (
    kind         TEXT NOT NULL,         -- 'rule' or 'schedule'
    place        TEXT NOT NULL,         -- bus or group
    name         TEXT NOT NULL,
    origin_s     REAL NOT NULL,         -- when a rate is due first
    tick_s       REAL,                  -- the next time by its expression; NULL: it does not tick (disabled, over)
    due_ms       INTEGER,               -- when that fires: a flexible window may put it off
    last_tick_s  REAL,
    last_fired_s REAL,
    last_result  TEXT,                  -- 'fired', or why not
    PRIMARY KEY (kind, place, name)
) WITHOUT ROWID;
CREATE INDEX timer_by_due ON timer (due_ms) WHERE due_ms IS NOT NULL;

CREATE TABLE delivery (
    seq      INTEGER PRIMARY KEY,
    due_ms   INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    body     TEXT NOT NULL,
    payload  BLOB NOT NULL
);
CREATE INDEX delivery_by_due ON delivery (due_ms);

-- Answers that a request with the same ClientToken gets again.
CREATE TABLE client_token (
    operation     TEXT NOT NULL,
    token         TEXT NOT NULL,
    params_sha256 TEXT NOT NULL,
    answer        TEXT NOT NULL,
    created_s     REAL NOT NULL,
    PRIMARY KEY (operation, token)
) WITHOUT ROWID;
CREATE INDEX client_token_by_age ON client_token (created_s);
