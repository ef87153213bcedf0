-- journal_columns: The columns of a JournalRow, in its order.
seq, consumed_no, id, machine, life, type, payload, source, priority, job_id, at, now, disposition,
from_state, to_state, error, detail;

-- event_columns: What a waiting event is read back from.
seq, type, payload, id, source, priority, job_id, at, detail;

-- insert_row: Add a row to the journal (or several: the last line is repeated).
INSERT INTO journal (/*@journal_columns*/, waited) VALUES
(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- consume_row: Give a waiting row its place in the order of consumption.
UPDATE journal
SET consumed_no = ?, life = ?, now = ?, disposition = ?, from_state = ?, to_state = ?, error = ?, detail = ?
WHERE seq = ? AND machine = ? AND consumed_no IS NULL AND disposition = 'queued';

-- clear_all: Nobody will consume the waiting rows of a machine any more.
UPDATE journal SET disposition = 'cleared', now = ?
WHERE machine = ? AND consumed_no IS NULL AND disposition = 'queued'
RETURNING seq, id;

-- clear_types: Nobody will consume the waiting rows of some types any more.
UPDATE journal SET disposition = 'cleared', now = ?
WHERE machine = ? AND consumed_no IS NULL AND disposition = 'queued' AND type IN (/*list*/)
  AND seq NOT IN (SELECT value FROM json_each(?))
RETURNING seq, id;

-- oldest_waiting: The row of some types that has waited longest.
SELECT /*@event_columns*/ FROM journal
WHERE machine = ? AND consumed_no IS NULL AND disposition = 'queued' AND type IN (/*list*/)
ORDER BY seq LIMIT 1;

-- waiting_rows: The events a machine has still to consume, most urgent first.
SELECT /*@event_columns*/ FROM journal
WHERE machine = ? AND consumed_no IS NULL AND disposition = 'queued'
ORDER BY priority, seq LIMIT ?;

-- waiting_counts: How many events wait for each machine.
SELECT machine, count(*) FROM journal WHERE consumed_no IS NULL AND disposition = 'queued' GROUP BY machine;

-- waiting_count: The same for one machine.
SELECT machine, count(*) FROM journal
WHERE machine = ? AND consumed_no IS NULL AND disposition = 'queued' GROUP BY machine;

-- last_seq: The largest number given out so far.
SELECT coalesce(max(seq), 0) FROM journal;

-- events_of_machine: A machine's rows, newest first. Those that never waited come in the order of consumption.
SELECT * FROM (
    SELECT /*@journal_columns*/ FROM journal INDEXED BY journal_by_consumption
    WHERE machine = :machine AND waited IS NULL AND seq < :before AND consumed_no <= coalesce(
        (SELECT consumed_no FROM journal WHERE seq = :before AND machine = :machine AND waited IS NULL), :most
    ) /*conditions*/
    ORDER BY consumed_no DESC LIMIT :limit
) UNION ALL SELECT * FROM (
    SELECT /*@journal_columns*/ FROM journal INDEXED BY journal_waited
    WHERE machine = :machine AND waited = 1 AND seq < :before /*conditions*/
    ORDER BY seq DESC LIMIT :limit
) ORDER BY seq DESC LIMIT :limit;

-- consumed_rows: A machine's history in the order it happened, for replay.
SELECT /*@journal_columns*/ FROM journal WHERE machine = ? AND consumed_no > ? ORDER BY consumed_no LIMIT ?;

-- seen_ids: The answers remembered for some client ids.
SELECT client_id, answer FROM dedup WHERE machine = ? AND client_id IN (/*list*/);

-- remember_new: Remember an answer; the id must be new.
INSERT INTO dedup (machine, client_id, answer, at) VALUES (?, ?, ?, ?);

-- remember_again: Remember the final answer to an event that was queued before.
INSERT INTO dedup (machine, client_id, answer, at) VALUES (?, ?, ?, ?)
ON CONFLICT (machine, client_id) DO UPDATE SET answer = excluded.answer, at = excluded.at;

-- remember_cleared: Remember that an event was cleared that was queued before.
UPDATE dedup SET answer = json_set(answer, '$.disposition', 'cleared'), at = ?
WHERE machine = ? AND client_id = ? AND json_extract(answer, '$.seq') = ?;
