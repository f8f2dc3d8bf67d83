-- Versions of several files: open until they are committed, gone again where they never are.

-- When an open version goes, unless somebody touches it before; 0 for all others.
ALTER TABLE version ADD COLUMN expires_at INTEGER NOT NULL DEFAULT 0;
CREATE INDEX version_open ON version (expires_at) WHERE state = 'open';

-- Two paths of one version that differ only in case would be one file on many a disk.
CREATE UNIQUE INDEX version_file_folded ON version_file (version_id, lower(path));

-- A version that is gone must not lend its number to another: caches and waits are keyed by it.
INSERT INTO counter (name, value) SELECT 'version', coalesce(max(id), 0) FROM version;

-- An event outlives its version, whose label it keeps.
CREATE TABLE event_kept (
    id         INTEGER PRIMARY KEY, -- counter 'event'
    kind       TEXT NOT NULL,
    model_id   INTEGER NOT NULL REFERENCES model (id),
    version_id INTEGER NOT NULL, -- perhaps gone
    label      TEXT NOT NULL,    -- of that version
    at         INTEGER NOT NULL,
    by         TEXT NOT NULL,    -- '' = the daemon
    detail     TEXT NOT NULL     -- a JSON object, or ''
) STRICT;
INSERT INTO event_kept (id, kind, model_id, version_id, label, at, by, detail)
    SELECT e.id, e.kind, e.model_id, e.version_id, v.label, e.at, e.by, e.detail
    FROM event e JOIN version v ON v.id = e.version_id;
DROP TABLE event;
ALTER TABLE event_kept RENAME TO event;
CREATE INDEX event_by_model ON event (model_id, id);
CREATE INDEX event_by_version ON event (version_id);
