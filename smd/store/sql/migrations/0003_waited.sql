-- Of one machine's rows, those that never waited stand in the order of their numbers also in the order of consumption,
-- so one index finds them by both; the few that waited have one of their own. Each event wrote to two indexes, of which
-- every machine has its own pages; now it writes to one.

ALTER TABLE journal ADD COLUMN waited INTEGER;

UPDATE journal SET waited = 1 WHERE consumed_no IS NULL OR seq IN (
    SELECT seq FROM (
        SELECT seq, max(seq) OVER (
            PARTITION BY machine ORDER BY consumed_no ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS highest FROM journal WHERE consumed_no IS NOT NULL
    ) WHERE seq < highest
);

DROP INDEX journal_by_machine;

CREATE INDEX journal_waited ON journal (machine, seq) WHERE waited = 1;
