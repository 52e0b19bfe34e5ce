-- Of two insertions at once the one that waits for the row of the totals has to see the other's snapshot, as a look in the very
-- statement that waits does not: each statement sees what was committed when it began. So it looks in the next one.
CREATE OR REPLACE FUNCTION count_new_snapshot() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE snapshot_totals SET total = total + 1, held = held + (NEW.state <> 'error')::int
    WHERE organization_id = NEW.organization_id;
    IF EXISTS (
        SELECT 1 FROM snapshots AS later
        WHERE later.organization_id = NEW.organization_id AND (later.created_at, later.id) > (NEW.created_at, NEW.id)
    ) THEN
        UPDATE snapshot_totals SET shifts = shifts + 1 WHERE organization_id = NEW.organization_id;
    END IF;
    RETURN NULL;
END
$$;
