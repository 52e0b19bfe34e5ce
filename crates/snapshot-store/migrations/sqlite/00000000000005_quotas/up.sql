-- What counts against quotas: snapshots and volumes that did not end in error, and copies and restores that run. Kept by
-- triggers in the rows that hold the totals, beside what is set for the organization: NULL for the default, and the largest
-- number for no limit.
ALTER TABLE snapshot_totals ADD COLUMN held INTEGER NOT NULL DEFAULT 0 CHECK (held >= 0);
ALTER TABLE snapshot_totals ADD COLUMN at_most INTEGER CHECK (at_most > 0);
ALTER TABLE volume_totals ADD COLUMN held_bytes INTEGER NOT NULL DEFAULT 0 CHECK (held_bytes >= 0);
ALTER TABLE volume_totals ADD COLUMN at_most_bytes INTEGER CHECK (at_most_bytes > 0);

CREATE TABLE task_totals (
    organization_id BLOB NOT NULL PRIMARY KEY REFERENCES organizations (id),
    running INTEGER NOT NULL CHECK (running >= 0),
    at_most INTEGER CHECK (at_most > 0)
) STRICT, WITHOUT ROWID;

UPDATE snapshot_totals SET held = (
    SELECT count(*) FROM snapshots
    WHERE snapshots.organization_id = snapshot_totals.organization_id AND state <> 'error'
);
UPDATE volume_totals SET held_bytes = (
    SELECT coalesce(sum(size_bytes), 0) FROM volumes
    WHERE volumes.organization_id = volume_totals.organization_id AND state <> 'error'
);
INSERT INTO task_totals (organization_id, running)
SELECT id, (
    SELECT count(*) FROM tasks
    WHERE ended_at IS NULL AND state = 'running' AND kind IN ('capture', 'restore')
    AND tasks.organization_id = organizations.id
) FROM organizations;

CREATE TRIGGER organizations_begin_task_totals AFTER INSERT ON organizations BEGIN
    INSERT INTO task_totals (organization_id, running) VALUES (NEW.id, 0);
END;

CREATE TRIGGER snapshots_hold_insert AFTER INSERT ON snapshots WHEN NEW.state <> 'error' BEGIN
    UPDATE snapshot_totals SET held = held + 1 WHERE organization_id = NEW.organization_id;
END;

CREATE TRIGGER snapshots_hold_delete AFTER DELETE ON snapshots WHEN OLD.state <> 'error' BEGIN
    UPDATE snapshot_totals SET held = held - 1 WHERE organization_id = OLD.organization_id;
END;

CREATE TRIGGER snapshots_hold_update AFTER UPDATE OF organization_id, state ON snapshots
WHEN OLD.organization_id <> NEW.organization_id OR (OLD.state = 'error') <> (NEW.state = 'error') BEGIN
    UPDATE snapshot_totals SET held = held - (OLD.state <> 'error') WHERE organization_id = OLD.organization_id;
    UPDATE snapshot_totals SET held = held + (NEW.state <> 'error') WHERE organization_id = NEW.organization_id;
END;

CREATE TRIGGER volumes_hold_insert AFTER INSERT ON volumes WHEN NEW.state <> 'error' BEGIN
    UPDATE volume_totals SET held_bytes = held_bytes + NEW.size_bytes WHERE organization_id = NEW.organization_id;
END;

CREATE TRIGGER volumes_hold_delete AFTER DELETE ON volumes WHEN OLD.state <> 'error' BEGIN
    UPDATE volume_totals SET held_bytes = held_bytes - OLD.size_bytes WHERE organization_id = OLD.organization_id;
END;

CREATE TRIGGER volumes_hold_update AFTER UPDATE OF organization_id, state ON volumes
WHEN OLD.organization_id <> NEW.organization_id OR (OLD.state = 'error') <> (NEW.state = 'error') BEGIN
    UPDATE volume_totals SET held_bytes = held_bytes - OLD.size_bytes * (OLD.state <> 'error')
    WHERE organization_id = OLD.organization_id;
    UPDATE volume_totals SET held_bytes = held_bytes + NEW.size_bytes * (NEW.state <> 'error')
    WHERE organization_id = NEW.organization_id;
END;

CREATE TRIGGER tasks_count_running AFTER UPDATE OF state ON tasks
WHEN NEW.kind IN ('capture', 'restore') AND (OLD.state = 'running') <> (NEW.state = 'running') BEGIN
    UPDATE task_totals SET running = running + (NEW.state = 'running') - (OLD.state = 'running')
    WHERE organization_id = NEW.organization_id;
END;
