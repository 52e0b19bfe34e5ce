-- A new snapshot changes the row of totals once, for all that is counted there.
DROP TRIGGER snapshots_count_insert;
DROP TRIGGER snapshots_hold_insert;
DROP TRIGGER snapshots_shift_insert;

CREATE TRIGGER snapshots_count_insert AFTER INSERT ON snapshots BEGIN
    UPDATE snapshot_totals SET total = total + 1, held = held + (NEW.state <> 'error'), shifts = shifts + EXISTS (
        SELECT 1 FROM snapshots AS later
        WHERE later.organization_id = NEW.organization_id AND (later.created_at, later.id) > (NEW.created_at, NEW.id)
    )
    WHERE organization_id = NEW.organization_id;
END;
