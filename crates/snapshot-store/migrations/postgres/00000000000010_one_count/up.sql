-- A new snapshot changes the row of totals once, for all that is counted there.
DROP TRIGGER snapshots_count_insert ON snapshots;
DROP TRIGGER snapshots_hold ON snapshots;
DROP TRIGGER snapshots_shift_insert ON snapshots;

CREATE FUNCTION count_new_snapshot() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE snapshot_totals SET total = total + 1, held = held + (NEW.state <> 'error')::int, shifts = shifts + EXISTS (
        SELECT 1 FROM snapshots AS later
        WHERE later.organization_id = NEW.organization_id AND (later.created_at, later.id) > (NEW.created_at, NEW.id)
    )::int
    WHERE organization_id = NEW.organization_id;
    RETURN NULL;
END
$$;

CREATE TRIGGER snapshots_count_insert AFTER INSERT ON snapshots
FOR EACH ROW EXECUTE FUNCTION count_new_snapshot();

CREATE TRIGGER snapshots_hold_delete AFTER DELETE ON snapshots
FOR EACH ROW EXECUTE FUNCTION hold_snapshots();
