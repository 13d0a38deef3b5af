-- What buckets and topics tell functions; each has a queue of its own in the cloud, where what it says waits.

CREATE TABLE notification (
    id       TEXT PRIMARY KEY,
    kind     TEXT NOT NULL,          -- "s3", "sns"
    resource TEXT NOT NULL,          -- the bucket's name, the topic's ARN
    body     TEXT NOT NULL
) WITHOUT ROWID;

-- Folders that are watched, and the state in which each of their files was told of last.

CREATE TABLE folder (
    id            TEXT PRIMARY KEY,
    function_name TEXT NOT NULL,
    path          TEXT NOT NULL,     -- absolute
    pattern       TEXT NOT NULL,     -- of names below it
    settings      TEXT NOT NULL,     -- JSON: deleted, content, settle_s
    paused        INTEGER NOT NULL,
    created_s     REAL NOT NULL,
    UNIQUE (function_name, path, pattern)
) WITHOUT ROWID;

CREATE TABLE folder_file (
    folder     TEXT NOT NULL,
    name       TEXT NOT NULL,        -- below the folder, with /
    size_bytes INTEGER NOT NULL,
    mtime_ns   INTEGER NOT NULL,
    inode      INTEGER NOT NULL,
    sha256     TEXT,                 -- hex; NULL: not known
    PRIMARY KEY (folder, name)
) WITHOUT ROWID;
