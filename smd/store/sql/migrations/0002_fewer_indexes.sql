-- Each change of a job's status wrote to up to nine indexes; now it writes to three, and to each in one place.

DROP INDEX jobs_next;
DROP INDEX jobs_next_of_type;
DROP INDEX jobs_next_for_machine_type;
DROP INDEX jobs_next_of_both;
DROP INDEX jobs_running;
DROP INDEX jobs_by_status;

-- Free jobs, each kind in claiming order: a claim reads the first few of each kind that fits, however long the queue is.
CREATE INDEX jobs_next ON jobs (job_type, machine_type, priority, created_at, number) WHERE status = 'available';
CREATE INDEX jobs_running ON jobs (job_type, holder) WHERE status = 'running';
CREATE INDEX jobs_ended ON jobs (status, job_type) WHERE status IN ('completed', 'failed', 'cancelled');
