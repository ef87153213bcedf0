-- job_columns: The columns of a Job, in its order.
number, job_id, job_type, machine_type, source_job_id, data, result, priority, status, created_at, started_at,
completed_at, error, metadata, holder, epoch, attempt;

-- find_job: One job.
SELECT /*@job_columns*/ FROM jobs WHERE job_id = ?;

-- add_job: Add a job, unless its id is taken.
INSERT INTO jobs (job_id, job_type, machine_type, source_job_id, data, priority, created_at, metadata)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (job_id) DO NOTHING
RETURNING /*@job_columns*/;

-- claim_job: Take a job. The inner query chooses it, so two claims can never take the same.
UPDATE jobs
SET status = 'running', holder = :machine, epoch = epoch + 1, attempt = attempt + 1, started_at = :now,
    completed_at = NULL, error = NULL
WHERE number = (/*next*/)
RETURNING /*@job_columns*/;

-- next_by_id: This job, if it is free and fits.
SELECT number FROM jobs
WHERE job_id = :job_id AND status = 'available'
  AND (:job_type IS NULL OR job_type = :job_type)
  AND (:machine_type IS NULL OR machine_type IS NULL OR machine_type = :machine_type);

-- open_kinds: Of which job types and machine types there are jobs that have not ended; a jump in the index for each.
WITH RECURSIVE types (job_type) AS (
    SELECT min(job_type) FROM jobs INDEXED BY jobs_open WHERE status = 'available' OR status = 'running'
    UNION ALL
    SELECT (SELECT min(job_type) FROM jobs INDEXED BY jobs_open
            WHERE (status = 'available' OR status = 'running') AND job_type > types.job_type)
    FROM types WHERE types.job_type IS NOT NULL
), kinds (job_type, machine_type) AS (
    SELECT job_type, (SELECT min(machine_type) FROM jobs INDEXED BY jobs_open
                      WHERE (status = 'available' OR status = 'running')
                        AND job_type = types.job_type AND machine_type >= '')
    FROM types WHERE types.job_type IS NOT NULL
    UNION ALL
    SELECT job_type, (SELECT min(machine_type) FROM jobs INDEXED BY jobs_open
                      WHERE (status = 'available' OR status = 'running')
                        AND job_type = kinds.job_type AND machine_type > kinds.machine_type)
    FROM kinds WHERE kinds.machine_type IS NOT NULL
)
SELECT job_type, machine_type FROM kinds;

-- next_job: The next job of all. Of each kind the first, then the first of these.
SELECT jobs.number FROM (/*@open_kinds*/) AS kinds CROSS JOIN jobs ON jobs.number IN (
    SELECT number FROM jobs INDEXED BY jobs_open
    WHERE status = 'available' AND job_type = kinds.job_type AND machine_type IS kinds.machine_type
    ORDER BY priority, created_at, number LIMIT :limit
) ORDER BY jobs.priority, jobs.created_at, jobs.number LIMIT :limit;

-- next_of_type: The next job of a type. The list of machine types ends in NULL, for jobs that have none.
WITH RECURSIVE kinds (machine_type) AS (
    SELECT min(machine_type) FROM jobs INDEXED BY jobs_open
    WHERE (status = 'available' OR status = 'running') AND job_type = :job_type AND machine_type >= ''
    UNION ALL
    SELECT (SELECT min(machine_type) FROM jobs INDEXED BY jobs_open
            WHERE (status = 'available' OR status = 'running')
              AND job_type = :job_type AND machine_type > kinds.machine_type)
    FROM kinds WHERE kinds.machine_type IS NOT NULL
)
SELECT jobs.number FROM kinds CROSS JOIN jobs ON jobs.number IN (
    SELECT number FROM jobs INDEXED BY jobs_open
    WHERE status = 'available' AND job_type = :job_type AND machine_type IS kinds.machine_type
    ORDER BY priority, created_at, number LIMIT :limit
) ORDER BY jobs.priority, jobs.created_at, jobs.number LIMIT :limit;

-- next_for_machine_type: The next job for a machine type or for any.
WITH RECURSIVE types (job_type) AS (
    SELECT min(job_type) FROM jobs INDEXED BY jobs_open WHERE status = 'available' OR status = 'running'
    UNION ALL
    SELECT (SELECT min(job_type) FROM jobs INDEXED BY jobs_open
            WHERE (status = 'available' OR status = 'running') AND job_type > types.job_type)
    FROM types WHERE types.job_type IS NOT NULL
)
SELECT jobs.number FROM types CROSS JOIN (VALUES (NULL), (:machine_type)) AS kinds CROSS JOIN jobs ON jobs.number IN (
    SELECT number FROM jobs INDEXED BY jobs_open
    WHERE status = 'available' AND job_type = types.job_type AND machine_type IS kinds.column1
    ORDER BY priority, created_at, number LIMIT :limit
) ORDER BY jobs.priority, jobs.created_at, jobs.number LIMIT :limit;

-- next_of_both: The next job of a type for a machine type or for any.
SELECT number FROM (
    SELECT * FROM (
        SELECT number, priority, created_at FROM jobs INDEXED BY jobs_open
        WHERE status = 'available' AND job_type = :job_type AND machine_type IS NULL
        ORDER BY priority, created_at, number LIMIT :limit
    ) UNION ALL SELECT * FROM (
        SELECT number, priority, created_at FROM jobs INDEXED BY jobs_open
        WHERE status = 'available' AND job_type = :job_type AND machine_type = :machine_type
        ORDER BY priority, created_at, number LIMIT :limit
    )
) ORDER BY priority, created_at, number LIMIT :limit;

-- jobs_ahead: The next jobs in claiming order. The inner query chooses them.
SELECT /*@job_columns*/ FROM jobs WHERE number IN (/*next*/) ORDER BY priority, created_at, number;

-- write_lease: Write what became of a claimed job.
UPDATE jobs NOT INDEXED
SET epoch = ?2, status = ?3, holder = ?4, attempt = ?5, started_at = ?6, completed_at = ?7, result = ?8, error = ?9
WHERE number = ?1 AND status = ?10 AND epoch = ?11;

-- write_leases: The same for several, by way of a table that SQLite builds for it: the line of values is repeated.
UPDATE jobs NOT INDEXED
SET status = lease.column3, holder = lease.column4, attempt = lease.column5, started_at = lease.column6,
    completed_at = lease.column7, result = lease.column8, error = lease.column9, epoch = lease.column2
FROM (VALUES
(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
) AS lease
WHERE jobs.number = lease.column1 AND jobs.status = lease.column10 AND jobs.epoch = lease.column11;

-- keep_attempt: Keep what the row of a running job tells of its attempt, before it no longer does.
INSERT INTO past_attempts (number, epoch, attempt, holder, started_at, ended_at, outcome)
SELECT number, epoch, attempt, holder, started_at, ?, ? FROM jobs
WHERE job_id = ? AND status = 'running' AND epoch = coalesce(?, epoch);

-- end_job: End a running job for the holder of its lease.
UPDATE jobs SET status = ?, result = ?, error = ?, completed_at = ?
WHERE job_id = ? AND status = 'running' AND epoch = ?
RETURNING /*@job_columns*/;

-- end_job_by_operator: End a job that has not ended, whoever holds it.
UPDATE jobs SET status = ?, result = ?, error = ?, completed_at = ?
WHERE job_id = ? AND status IN ('running', 'available')
RETURNING /*@job_columns*/;

-- release_job: Give a running job back; the attempt does not count.
UPDATE jobs SET status = 'available', holder = NULL, started_at = NULL, attempt = attempt - 1
WHERE job_id = ? AND status = 'running' AND epoch = coalesce(?, epoch)
RETURNING /*@job_columns*/;

-- jobs_at: The jobs of a status that is not an end, by the index.
SELECT number, jobs.job_type, status, job_id, epoch, holder
FROM (/*@open_kinds*/) AS kinds CROSS JOIN jobs INDEXED BY jobs_open
ON jobs.job_type = kinds.job_type AND jobs.machine_type IS kinds.machine_type AND status = /*status*/'running';

-- running_jobs: Who holds which job by which lease.
SELECT job_id, epoch FROM (/*@jobs_at*/);

-- held_jobs: What one machine holds.
SELECT job_id, epoch FROM (/*@jobs_at*/) WHERE holder = ?;

-- ended_jobs: The jobs that have ended, by the index.
SELECT number, job_type, status FROM jobs INDEXED BY jobs_ended WHERE status NOT IN ('available', 'running');

-- numbered_jobs: Jobs of the numbers that the inner query finds, newest first.
SELECT /*@job_columns*/ FROM jobs WHERE number IN (/*numbers*/) ORDER BY number DESC;

-- job_states: Where some jobs stand.
SELECT job_id, status FROM jobs WHERE job_id IN (/*list*/);

-- job_counts: How many jobs of each type stand where; open ones by machine type too, for so the index has them.
SELECT job_type, status, count(*) FROM jobs INDEXED BY jobs_open WHERE status = 'available' OR status = 'running'
GROUP BY job_type, machine_type, status
UNION ALL
SELECT job_type, status, count(*) FROM jobs INDEXED BY jobs_ended
WHERE status NOT IN ('available', 'running') GROUP BY status, job_type;
