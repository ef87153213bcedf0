-- The first form of the store. Times are seconds since the epoch; JSON is canonical text.

CREATE TABLE charts (
    hash   TEXT PRIMARY KEY,
    source BLOB NOT NULL
) STRICT;

CREATE TABLE machines (
    id              INTEGER PRIMARY KEY,
    name            TEXT    NOT NULL UNIQUE,
    life            INTEGER NOT NULL,
    chart           TEXT    NOT NULL,
    status          TEXT    NOT NULL CHECK (status IN ('running', 'paused', 'stopped', 'failed', 'finished')),
    version         INTEGER NOT NULL CHECK (version >= 0),
    label           TEXT    NOT NULL,
    parent          TEXT,
    linked          INTEGER NOT NULL,
    initial_context BLOB    NOT NULL,
    lifecycle       TEXT    NOT NULL,
    health          TEXT    NOT NULL,
    restarts        INTEGER NOT NULL,
    since           REAL    NOT NULL,
    last_event      TEXT    NOT NULL,
    error           TEXT,
    owner           TEXT    NOT NULL,
    owner_epoch     INTEGER NOT NULL,
    origin          TEXT    NOT NULL,
    work_folder     TEXT    NOT NULL,
    born_of         TEXT    NOT NULL,
    -- Last, because it may be large: the columns before it are then read without its overflow pages.
    snapshot        BLOB
) STRICT;

-- What a machine of the same name goes on from, so that its action keys and journal places never repeat.
CREATE TABLE removed_machines (
    name    TEXT PRIMARY KEY,
    life    INTEGER NOT NULL,
    version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- `seq` is given out by the one writer, which goes on from the largest: whoever deletes rows leaves the newest.
CREATE TABLE journal (
    seq         INTEGER PRIMARY KEY,
    consumed_no INTEGER CHECK (consumed_no > 0),
    id          TEXT    NOT NULL,
    machine     TEXT    NOT NULL,
    life        INTEGER NOT NULL,
    type        TEXT    NOT NULL,
    payload     TEXT,
    source      TEXT    NOT NULL,
    priority    INTEGER NOT NULL,
    job_id      TEXT,
    at          REAL    NOT NULL,
    now         REAL,
    disposition TEXT    NOT NULL,
    from_state  TEXT,
    to_state    TEXT,
    error       TEXT,
    detail      TEXT
) STRICT;

CREATE UNIQUE INDEX journal_by_consumption ON journal (machine, consumed_no) WHERE consumed_no IS NOT NULL;
CREATE INDEX journal_waiting ON journal (machine, priority, seq)
    WHERE consumed_no IS NULL AND disposition = 'queued';
CREATE INDEX journal_errors ON journal (seq) WHERE error IS NOT NULL;
-- Its entries end in the row's seq, so a quiet machine's history is found without reading the others'.
CREATE INDEX journal_by_machine ON journal (machine);

CREATE TABLE bases (
    machine  TEXT PRIMARY KEY,
    version  INTEGER NOT NULL,
    snapshot BLOB    NOT NULL
) STRICT;

CREATE TABLE dedup (
    machine   TEXT NOT NULL,
    client_id TEXT NOT NULL,
    answer    TEXT,
    at        REAL NOT NULL,
    PRIMARY KEY (machine, client_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE jobs (
    number        INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id        TEXT    NOT NULL UNIQUE,
    job_type      TEXT    NOT NULL,
    machine_type  TEXT,
    source_job_id TEXT,
    data          TEXT,
    result        TEXT,
    priority      INTEGER NOT NULL DEFAULT 5,
    status        TEXT    NOT NULL DEFAULT 'available'
        CHECK (status IN ('available', 'running', 'completed', 'failed', 'cancelled')),
    created_at    REAL    NOT NULL,
    started_at    REAL,
    completed_at  REAL,
    error         TEXT,
    metadata      TEXT,
    holder        TEXT,
    epoch         INTEGER NOT NULL DEFAULT 0,
    attempt       INTEGER NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    CHECK (status <> 'running' OR holder IS NOT NULL)
) STRICT;

-- One index for each way of asking for the next job, so that a claim reads two entries however long the queue is.
CREATE INDEX jobs_next ON jobs (priority, created_at, number) WHERE status = 'available';
CREATE INDEX jobs_next_of_type ON jobs (job_type, priority, created_at, number) WHERE status = 'available';
CREATE INDEX jobs_next_for_machine_type ON jobs (machine_type, priority, created_at, number)
    WHERE status = 'available';
CREATE INDEX jobs_next_of_both ON jobs (job_type, machine_type, priority, created_at, number)
    WHERE status = 'available';
CREATE INDEX jobs_running ON jobs (holder) WHERE status = 'running';
CREATE INDEX jobs_by_status ON jobs (status, job_type);

CREATE TABLE job_attempts (
    number     INTEGER NOT NULL,
    epoch      INTEGER NOT NULL,
    attempt    INTEGER NOT NULL,
    holder     TEXT    NOT NULL,
    started_at REAL    NOT NULL,
    ended_at   REAL,
    outcome    TEXT CHECK (outcome IN ('released', 'completed', 'failed', 'cancelled')),
    error      TEXT,
    PRIMARY KEY (number, epoch)
) STRICT, WITHOUT ROWID;
