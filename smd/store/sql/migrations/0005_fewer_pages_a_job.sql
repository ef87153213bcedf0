-- Each page that a commit changes is written and checksummed whole, so what a job changes lies close together: a job that
-- is claimed moves a little within one index, and its own row tells of its last attempt.

DROP INDEX jobs_next;
DROP INDEX jobs_running;
CREATE INDEX jobs_open ON jobs (job_type, machine_type, status DESC, priority, created_at, number)
    WHERE status = 'available' OR status = 'running';

ALTER TABLE job_attempts RENAME TO past_attempts;
DELETE FROM past_attempts WHERE EXISTS (
    SELECT 1 FROM jobs
    WHERE jobs.number = past_attempts.number AND jobs.epoch = past_attempts.epoch AND jobs.started_at IS NOT NULL
);
CREATE VIEW job_attempts AS
    SELECT number, epoch, attempt, holder, started_at, ended_at, outcome, error FROM past_attempts
    UNION ALL
    SELECT number, epoch, attempt, holder, started_at, completed_at, nullif(status, 'running'), error FROM jobs
    WHERE started_at IS NOT NULL;
