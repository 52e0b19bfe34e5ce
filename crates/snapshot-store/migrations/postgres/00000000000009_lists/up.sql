-- Lists by name, volume or state read only what matches, in the order of lists.
CREATE INDEX snapshots_by_name ON snapshots (organization_id, name, created_at, id);
CREATE INDEX snapshots_by_volume ON snapshots (organization_id, base_volume_id, created_at, id);
CREATE INDEX snapshots_by_state ON snapshots (organization_id, state, created_at, id);
CREATE INDEX volumes_by_name ON volumes (organization_id, name, created_at, id);

-- How often snapshots of an organization changed their places in its list: as one went, or came before the last one. As long
-- as this is the same, so is what stands at a place. Kept by the triggers below.
ALTER TABLE snapshot_totals ADD COLUMN shifts BIGINT NOT NULL DEFAULT 0 CHECK (shifts >= 0);

-- Triggers run by the alphabet: those that count hold the rows of the totals already, so that of two insertions the second one
-- sees what the first one left.
CREATE FUNCTION shift_snapshots() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        UPDATE snapshot_totals SET shifts = shifts + 1 WHERE organization_id = OLD.organization_id;
    ELSIF TG_OP = 'UPDATE' THEN
        UPDATE snapshot_totals SET shifts = shifts + 1 WHERE organization_id IN (OLD.organization_id, NEW.organization_id);
    ELSIF EXISTS (
        SELECT 1 FROM snapshots AS later
        WHERE later.organization_id = NEW.organization_id AND (later.created_at, later.id) > (NEW.created_at, NEW.id)
    ) THEN
        UPDATE snapshot_totals SET shifts = shifts + 1 WHERE organization_id = NEW.organization_id;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER snapshots_shift_insert AFTER INSERT ON snapshots
FOR EACH ROW EXECUTE FUNCTION shift_snapshots();

CREATE TRIGGER snapshots_shift_delete AFTER DELETE ON snapshots
FOR EACH ROW EXECUTE FUNCTION shift_snapshots();

CREATE TRIGGER snapshots_shift_transfer AFTER UPDATE OF organization_id ON snapshots
FOR EACH ROW WHEN (OLD.organization_id <> NEW.organization_id) EXECUTE FUNCTION shift_snapshots();
