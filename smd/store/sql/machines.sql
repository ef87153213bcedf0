-- machine_columns: The columns of a MachineRow, in its order.
name, life, chart, status, version, label, parent, linked, initial_context, snapshot, lifecycle, health, restarts,
since, last_event, error, owner, owner_epoch, origin, work_folder, born_of;

-- find_machine: One machine.
SELECT /*@machine_columns*/ FROM machines WHERE name = ?;

-- all_machines: Every machine, by name.
SELECT /*@machine_columns*/ FROM machines ORDER BY name;

-- machine_life: What a row of the journal needs to know of its machine.
SELECT life, status FROM machines WHERE name = ?;

-- other_machines: Whom a send to all reaches.
SELECT name FROM machines WHERE name <> ? AND status <> 'finished' ORDER BY name;

-- create_machine: Add a machine.
INSERT INTO machines (/*@machine_columns*/)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- save_machine: Write what a step left, if the row is still where the step began.
UPDATE machines SET
    since      = CASE WHEN ?6 IS NULL OR (label = ?4 AND status = ?3 AND life = ?1) THEN since ELSE ?6 END,
    life       = ?1,
    version    = ?2,
    status     = ?3,
    label      = ?4,
    snapshot   = coalesce(?5, snapshot),
    chart      = coalesce(?7, chart),
    lifecycle  = coalesce(?8, lifecycle),
    health     = coalesce(?9, health),
    error      = ?10,
    restarts   = coalesce(?11, restarts),
    last_event = coalesce(?12, last_event)
WHERE name = ?13 AND version = ?14;

-- save_machines: The same for several machines: the last line but one is repeated.
UPDATE machines SET
    since      = CASE WHEN column6 IS NULL OR (label = column4 AND status = column3 AND life = column1) THEN since
                      ELSE column6 END,
    life       = column1,
    version    = column2,
    status     = column3,
    label      = column4,
    snapshot   = coalesce(column5, snapshot),
    chart      = coalesce(column7, chart),
    lifecycle  = coalesce(column8, lifecycle),
    health     = coalesce(column9, health),
    error      = column10,
    restarts   = coalesce(column11, restarts),
    last_event = coalesce(column12, last_event)
FROM (VALUES
(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
) AS new WHERE machines.name = column13 AND machines.version = column14;

-- remember_removed: Keep what a later machine of this name goes on from.
INSERT INTO removed_machines (name, life, version) SELECT name, life, version FROM machines WHERE name = ?
ON CONFLICT (name) DO UPDATE SET life = excluded.life, version = excluded.version;

-- removed_machine: Where a machine of this name left off.
SELECT life, version FROM removed_machines WHERE name = ?;

-- remove_machine: Take a machine away.
DELETE FROM machines WHERE name = ?;

-- put_chart: Keep a chart under its hash.
INSERT INTO charts (hash, source) VALUES (?, ?) ON CONFLICT (hash) DO NOTHING;

-- find_chart: The document of a chart.
SELECT source FROM charts WHERE hash = ?;

-- find_base: Where a replay begins.
SELECT version, snapshot FROM bases WHERE machine = ?;
