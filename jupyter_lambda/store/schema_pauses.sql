-- Notifications whose functions are not fired for now. Apart from the notification itself, which is written whole by others.

CREATE TABLE notification_paused (
    id TEXT PRIMARY KEY
) WITHOUT ROWID;
