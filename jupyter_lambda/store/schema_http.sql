-- Function URLs; API Gateway's HTTP and REST APIs.

CREATE TABLE function_url (
    function_name TEXT NOT NULL,
    qualifier     TEXT NOT NULL,         -- an alias, or $LATEST
    url_id        TEXT NOT NULL UNIQUE,
    auth_type     TEXT NOT NULL,
    created       TEXT NOT NULL,
    modified      TEXT NOT NULL,
    invoke_mode   TEXT,
    cors          TEXT,                  -- JSON, or NULL
    PRIMARY KEY (function_name, qualifier)
) WITHOUT ROWID;

CREATE TRIGGER function_url_without_function AFTER DELETE ON function BEGIN
    DELETE FROM function_url WHERE function_name = old.name;
END;
CREATE TRIGGER function_url_without_alias AFTER DELETE ON alias BEGIN
    DELETE FROM function_url WHERE function_name = old.function_name AND qualifier = old.name;
END;

CREATE TABLE http_api (
    api_id TEXT PRIMARY KEY,
    kind   TEXT NOT NULL,                -- "http" (apigatewayv2) or "rest" (apigateway)
    body   TEXT NOT NULL                 -- JSON, as the control plane answers it
) WITHOUT ROWID;

CREATE TABLE http_api_part (
    api_id  TEXT NOT NULL,
    kind    TEXT NOT NULL,               -- route, integration, stage, deployment, authorizer, resource, …
    part_id TEXT NOT NULL,
    number  INTEGER NOT NULL,            -- order of making
    body    TEXT NOT NULL,               -- JSON
    PRIMARY KEY (api_id, kind, part_id)
) WITHOUT ROWID;

-- Requests with an API key, counted against the quota of its usage plan.
CREATE TABLE http_usage (
    plan_id TEXT NOT NULL,
    key_id  TEXT NOT NULL,
    day     TEXT NOT NULL,               -- 2026-11-25, UTC
    used    INTEGER NOT NULL,
    PRIMARY KEY (plan_id, key_id, day)
) WITHOUT ROWID;
