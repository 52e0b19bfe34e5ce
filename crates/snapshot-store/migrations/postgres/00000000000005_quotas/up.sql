-- What counts against quotas: snapshots and volumes that did not end in error, and copies and restores that run. Kept by
-- triggers in the rows that hold the totals, beside what is set for the organization: NULL for the default, and the largest
-- number for no limit.
ALTER TABLE snapshot_totals ADD COLUMN held BIGINT NOT NULL DEFAULT 0 CHECK (held >= 0);
ALTER TABLE snapshot_totals ADD COLUMN at_most BIGINT CHECK (at_most > 0);
ALTER TABLE volume_totals ADD COLUMN held_bytes BIGINT NOT NULL DEFAULT 0 CHECK (held_bytes >= 0);
ALTER TABLE volume_totals ADD COLUMN at_most_bytes BIGINT CHECK (at_most_bytes > 0);

CREATE TABLE task_totals (
    organization_id BYTEA NOT NULL PRIMARY KEY REFERENCES organizations (id),
    running BIGINT NOT NULL CHECK (running >= 0),
    at_most BIGINT CHECK (at_most > 0)
);

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

CREATE FUNCTION begin_task_totals() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO task_totals (organization_id, running) VALUES (NEW.id, 0);
    RETURN NULL;
END
$$;

CREATE TRIGGER organizations_begin_task_totals AFTER INSERT ON organizations
FOR EACH ROW EXECUTE FUNCTION begin_task_totals();

-- The rows of a transfer are locked by the triggers that count, which run first: triggers run in the order of their names.
CREATE FUNCTION hold_snapshots() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' AND OLD.state <> 'error' THEN
        UPDATE snapshot_totals SET held = held - 1 WHERE organization_id = OLD.organization_id;
    END IF;
    IF TG_OP <> 'DELETE' AND NEW.state <> 'error' THEN
        UPDATE snapshot_totals SET held = held + 1 WHERE organization_id = NEW.organization_id;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER snapshots_hold AFTER INSERT OR DELETE ON snapshots
FOR EACH ROW EXECUTE FUNCTION hold_snapshots();

CREATE TRIGGER snapshots_hold_update AFTER UPDATE OF organization_id, state ON snapshots
FOR EACH ROW WHEN (OLD.organization_id <> NEW.organization_id OR (OLD.state = 'error') <> (NEW.state = 'error'))
EXECUTE FUNCTION hold_snapshots();

CREATE FUNCTION hold_volumes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' AND OLD.state <> 'error' THEN
        UPDATE volume_totals SET held_bytes = held_bytes - OLD.size_bytes WHERE organization_id = OLD.organization_id;
    END IF;
    IF TG_OP <> 'DELETE' AND NEW.state <> 'error' THEN
        UPDATE volume_totals SET held_bytes = held_bytes + NEW.size_bytes WHERE organization_id = NEW.organization_id;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER volumes_hold AFTER INSERT OR DELETE ON volumes
FOR EACH ROW EXECUTE FUNCTION hold_volumes();

CREATE TRIGGER volumes_hold_update AFTER UPDATE OF organization_id, state ON volumes
FOR EACH ROW WHEN (OLD.organization_id <> NEW.organization_id OR (OLD.state = 'error') <> (NEW.state = 'error'))
EXECUTE FUNCTION hold_volumes();

CREATE FUNCTION count_running_tasks() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE task_totals SET running = running + (NEW.state = 'running')::int - (OLD.state = 'running')::int
    WHERE organization_id = NEW.organization_id;
    RETURN NULL;
END
$$;

CREATE TRIGGER tasks_count_running AFTER UPDATE OF state ON tasks
FOR EACH ROW WHEN (NEW.kind IN ('capture', 'restore') AND (OLD.state = 'running') <> (NEW.state = 'running'))
EXECUTE FUNCTION count_running_tasks();
