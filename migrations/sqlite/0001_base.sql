-- The registry as it begins: models and their versions, the blobs that hold their bytes, the jobs that
-- read them, and what was found.
--
-- Times are microseconds since 1970 UTC, made by the daemon; sizes are bytes; digests are lower-case
-- hex; booleans are 0 or 1; names and messages that come out of files are BLOBs, for they need not be
-- text. `folded` is a name in lower case: two names that differ only in case cannot both be.

-- What was applied, so that an edited history is noticed.
CREATE TABLE migration (
    version    INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    sha256     TEXT NOT NULL,
    applied_at INTEGER NOT NULL
) STRICT;

-- Numbers that must be committed in their order and without gaps; sequences promise neither.
CREATE TABLE counter (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO counter (name, value) VALUES ('event', 0);

CREATE TABLE namespace (
    id     INTEGER PRIMARY KEY,
    name   TEXT NOT NULL UNIQUE,
    folded TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE model (
    id           INTEGER PRIMARY KEY,
    namespace_id INTEGER NOT NULL REFERENCES namespace (id),
    name         TEXT NOT NULL,
    folded       TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL, -- when its newest version was made
    serials      INTEGER NOT NULL, -- the last serial given
    versions     INTEGER NOT NULL, -- how many there are
    UNIQUE (namespace_id, name),
    UNIQUE (namespace_id, folded)
) STRICT;

-- Nobody unlinks a blob's file without owning its row in the state deleting.
CREATE TABLE blob (
    id         INTEGER PRIMARY KEY,
    digest     TEXT NOT NULL UNIQUE,
    size       INTEGER NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('live', 'condemned', 'deleting')),
    owner      TEXT, -- the instance that deletes
    changed_at INTEGER NOT NULL
) STRICT;
CREATE INDEX blob_not_live ON blob (state, changed_at) WHERE state <> 'live';

-- What an inspector found in one set of files, once for each revision of the readers.
CREATE TABLE inspection (
    id                INTEGER PRIMARY KEY,
    fileset           TEXT NOT NULL,
    revision          INTEGER NOT NULL,
    format            TEXT NOT NULL,    -- '' where none was recognised
    safety            TEXT NOT NULL,
    default_container INTEGER,          -- container.n
    metadata          TEXT NOT NULL,    -- a JSON object, or ''
    wo_applies        INTEGER NOT NULL, -- torch.load(weights_only=True): does it concern this file,
    wo_loads          INTEGER NOT NULL, -- does it load,
    wo_reason         BLOB NOT NULL,    -- why it never can
    findings_dropped  INTEGER NOT NULL,
    failure_type      TEXT NOT NULL,    -- '' where it succeeded
    failure           TEXT NOT NULL,
    created_at        INTEGER NOT NULL,
    UNIQUE (fileset, revision)
) STRICT;

CREATE TABLE version (
    id            INTEGER PRIMARY KEY,
    model_id      INTEGER NOT NULL REFERENCES model (id),
    label         TEXT NOT NULL,
    serial        INTEGER NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('open', 'pending', 'ready', 'failed', 'rejected')),
    digest        TEXT,             -- NULL while open
    fileset       TEXT,             -- the only file's digest, else the version's
    size          INTEGER NOT NULL, -- of all files
    created_at    INTEGER NOT NULL,
    created_by    TEXT NOT NULL,
    settled_at    INTEGER NOT NULL, -- when it became ready, failed or rejected; 0 before
    failure_type  TEXT NOT NULL,
    failure       TEXT NOT NULL,
    wish          TEXT NOT NULL,    -- the alias to set once it is ready, or ''
    inspection_id INTEGER REFERENCES inspection (id),
    UNIQUE (model_id, label),
    UNIQUE (model_id, serial)
) STRICT;
CREATE INDEX version_by_state ON version (model_id, state, serial);
CREATE INDEX version_by_fileset ON version (fileset, model_id);
CREATE INDEX version_by_digest ON version (digest, model_id);
CREATE INDEX version_by_inspection ON version (inspection_id);
CREATE INDEX version_unsettled ON version (state) WHERE state <> 'ready';

CREATE TABLE version_file (
    version_id INTEGER NOT NULL REFERENCES version (id),
    path       TEXT NOT NULL,
    size       INTEGER NOT NULL,
    blob_id    INTEGER NOT NULL REFERENCES blob (id),
    PRIMARY KEY (version_id, path)
) STRICT, WITHOUT ROWID;
CREATE INDEX version_file_by_blob ON version_file (blob_id);

CREATE TABLE version_metadata (
    version_id INTEGER NOT NULL REFERENCES version (id),
    name       TEXT NOT NULL,
    value      TEXT NOT NULL, -- JSON
    PRIMARY KEY (version_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE alias (
    model_id   INTEGER NOT NULL REFERENCES model (id),
    name       TEXT NOT NULL,
    version_id INTEGER NOT NULL REFERENCES version (id),
    serial     INTEGER NOT NULL, -- of that version: a wish never moves an alias back
    moved_at   INTEGER NOT NULL,
    PRIMARY KEY (model_id, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX alias_by_version ON alias (version_id);

-- Work to be done. A finished job's row goes.
CREATE TABLE job (
    id          INTEGER PRIMARY KEY,
    kind        TEXT NOT NULL,
    key         TEXT NOT NULL,    -- what it is about
    state       TEXT NOT NULL CHECK (state IN ('queued', 'running')),
    owner       TEXT,
    fence       INTEGER NOT NULL, -- grows with each claim
    attempts    INTEGER NOT NULL,
    runnable_at INTEGER NOT NULL, -- queued: not before; running: when the lease ends
    created_at  INTEGER NOT NULL,
    trouble     TEXT NOT NULL,    -- why it is tried again
    UNIQUE (kind, key)
) STRICT;
CREATE INDEX job_runnable ON job (kind, runnable_at, id);

-- Shared by all that have it; a registry of a million epochs holds a few thousand.
CREATE TABLE structure (
    id           INTEGER PRIMARY KEY,
    fingerprint  TEXT NOT NULL UNIQUE, -- structure1
    architecture TEXT NOT NULL,        -- architecture1
    skeleton     TEXT NOT NULL,        -- skeleton1
    tensors      INTEGER NOT NULL,
    elements     INTEGER NOT NULL,     -- saturated, as bytes is
    bytes        INTEGER NOT NULL,
    record       BLOB NOT NULL         -- common/structure/record.h
) STRICT;
CREATE INDEX structure_by_architecture ON structure (architecture);
CREATE INDEX structure_by_skeleton ON structure (skeleton);

CREATE TABLE facts (
    id     INTEGER PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE, -- of the record
    record BLOB NOT NULL
) STRICT;

CREATE TABLE container (
    id            INTEGER PRIMARY KEY,
    inspection_id INTEGER NOT NULL REFERENCES inspection (id),
    n             INTEGER NOT NULL, -- 0, 1 …
    path          BLOB NOT NULL,
    kind          TEXT NOT NULL,
    structure_id  INTEGER NOT NULL REFERENCES structure (id),
    facts_id      INTEGER NOT NULL REFERENCES facts (id),
    UNIQUE (inspection_id, n)
) STRICT;
CREATE INDEX container_by_structure ON container (structure_id);
CREATE INDEX container_by_facts ON container (facts_id);

CREATE TABLE placement (
    container_id INTEGER PRIMARY KEY REFERENCES container (id),
    record       BLOB NOT NULL
) STRICT;

CREATE TABLE finding (
    inspection_id INTEGER NOT NULL REFERENCES inspection (id),
    n             INTEGER NOT NULL,
    name          TEXT NOT NULL, -- 'pickle.global-unlisted'
    severity      TEXT NOT NULL,
    subject       BLOB NOT NULL,
    message       BLOB NOT NULL,
    PRIMARY KEY (inspection_id, n)
) STRICT, WITHOUT ROWID;

-- Globals that must be allowed before torch.load(weights_only=True) takes the file.
CREATE TABLE need (
    inspection_id INTEGER NOT NULL REFERENCES inspection (id),
    n             INTEGER NOT NULL,
    name          BLOB NOT NULL,
    PRIMARY KEY (inspection_id, n)
) STRICT, WITHOUT ROWID;

-- Every change, in the change's own transaction.
CREATE TABLE event (
    id         INTEGER PRIMARY KEY, -- counter 'event'
    kind       TEXT NOT NULL,
    model_id   INTEGER NOT NULL REFERENCES model (id),
    version_id INTEGER NOT NULL REFERENCES version (id),
    at         INTEGER NOT NULL,
    by         TEXT NOT NULL, -- '' = the daemon
    detail     TEXT NOT NULL  -- a JSON object, or ''
) STRICT;
CREATE INDEX event_by_model ON event (model_id, id);
CREATE INDEX event_by_version ON event (version_id);
