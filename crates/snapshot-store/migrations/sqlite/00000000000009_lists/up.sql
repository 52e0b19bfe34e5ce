-- Lists by name, volume or state read only what matches, in the order of lists.
CREATE INDEX snapshots_by_name ON snapshots (organization_id, name, created_at, id);
CREATE INDEX snapshots_by_volume ON snapshots (organization_id, base_volume_id, created_at, id);
CREATE INDEX snapshots_by_state ON snapshots (organization_id, state, created_at, id);
CREATE INDEX volumes_by_name ON volumes (organization_id, name, created_at, id);

-- How often snapshots of an organization changed their places in its list: as one went, or came before the last one. As long
-- as this is the same, so is what stands at a place. Kept by the triggers below.
ALTER TABLE snapshot_totals ADD COLUMN shifts INTEGER NOT NULL DEFAULT 0 CHECK (shifts >= 0);

CREATE TRIGGER snapshots_shift_insert AFTER INSERT ON snapshots
WHEN EXISTS (
    SELECT 1 FROM snapshots AS later
    WHERE later.organization_id = NEW.organization_id AND (later.created_at, later.id) > (NEW.created_at, NEW.id)
) BEGIN
    UPDATE snapshot_totals SET shifts = shifts + 1 WHERE organization_id = NEW.organization_id;
END;

CREATE TRIGGER snapshots_shift_delete AFTER DELETE ON snapshots BEGIN
    UPDATE snapshot_totals SET shifts = shifts + 1 WHERE organization_id = OLD.organization_id;
END;

CREATE TRIGGER snapshots_shift_transfer AFTER UPDATE OF organization_id ON snapshots
WHEN OLD.organization_id <> NEW.organization_id BEGIN
    UPDATE snapshot_totals SET shifts = shifts + 1 WHERE organization_id IN (OLD.organization_id, NEW.organization_id);
END;

-- Without numbers SQLite takes the key of the table for as good as these indexes. They are made up, and need not be true: that
-- an organization has many rows, and that few of them match, is all that they have to say.
ANALYZE sqlite_schema;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('snapshots', 'snapshots', '1000000 100000 2 1'),
    ('snapshots', 'snapshots_by_name', '1000000 100000 10 1 1'),
    ('snapshots', 'snapshots_by_volume', '1000000 100000 100 1 1'),
    ('snapshots', 'snapshots_by_state', '1000000 100000 20000 1 1'),
    ('volumes', 'volumes', '100000 10000 2 1'),
    ('volumes', 'volumes_by_name', '100000 10000 10 1 1');
ANALYZE sqlite_schema;
