-- A CHECK or an index condition with an IN of more than two values makes SQLite build a table for it in each statement
-- that writes; the same rules with OR cost nothing. While it runs it takes about three times what the tables take.

CREATE TABLE new_machines (
    id              INTEGER PRIMARY KEY,
    name            TEXT    NOT NULL UNIQUE,
    life            INTEGER NOT NULL,
    chart           TEXT    NOT NULL,
    status          TEXT    NOT NULL CHECK (
        status = 'running' OR status = 'paused' OR status = 'stopped' OR status = 'failed' OR status = 'finished'
    ),
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
INSERT INTO new_machines SELECT * FROM machines;
DROP TABLE machines;
ALTER TABLE new_machines RENAME TO machines;

CREATE TABLE new_jobs (
    number        INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id        TEXT    NOT NULL UNIQUE,
    job_type      TEXT    NOT NULL,
    machine_type  TEXT,
    source_job_id TEXT,
    data          TEXT,
    result        TEXT,
    priority      INTEGER NOT NULL DEFAULT 5,
    status        TEXT    NOT NULL DEFAULT 'available' CHECK (
        status = 'available' OR status = 'running' OR status = 'completed' OR status = 'failed'
        OR status = 'cancelled'
    ),
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
INSERT INTO new_jobs SELECT * FROM jobs;
-- Numbers go on from the highest ever given, even if its job is gone.
DELETE FROM sqlite_sequence WHERE name = 'new_jobs';
UPDATE sqlite_sequence SET name = 'new_jobs' WHERE name = 'jobs';
DROP TABLE jobs;
ALTER TABLE new_jobs RENAME TO jobs;

CREATE TABLE new_job_attempts (
    number     INTEGER NOT NULL,
    epoch      INTEGER NOT NULL,
    attempt    INTEGER NOT NULL,
    holder     TEXT    NOT NULL,
    started_at REAL    NOT NULL,
    ended_at   REAL,
    outcome    TEXT CHECK (
        outcome = 'released' OR outcome = 'completed' OR outcome = 'failed' OR outcome = 'cancelled'
    ),
    error      TEXT,
    PRIMARY KEY (number, epoch)
) STRICT, WITHOUT ROWID;
INSERT INTO new_job_attempts SELECT * FROM job_attempts;
DROP TABLE job_attempts;
ALTER TABLE new_job_attempts RENAME TO job_attempts;

CREATE INDEX jobs_next ON jobs (job_type, machine_type, priority, created_at, number) WHERE status = 'available';
CREATE INDEX jobs_running ON jobs (job_type, holder) WHERE status = 'running';
CREATE INDEX jobs_ended ON jobs (status, job_type) WHERE status NOT IN ('available', 'running');
