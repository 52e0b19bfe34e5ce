-- SQLite fills a table of its own with a list of three words or more each time that it checks a row against the list, and
-- throws it away again. Compared one by one, the same words cost next to nothing.
--
-- A check says nothing of how rows are stored. So its text is replaced where it stands, as SQLite's documentation of ALTER TABLE
-- describes it, and no row is written again.
PRAGMA writable_schema = ON;

UPDATE sqlite_schema SET sql = replace(replace(sql,
    'state IN (''snapshotting'', ''available'', ''error'')',
    'state = ''snapshotting'' OR state = ''available'' OR state = ''error'''),
    'health IN (''unverified'', ''ok'', ''damaged'')',
    '(health = ''unverified'' OR health = ''ok'' OR health = ''damaged'')')
WHERE type = 'table' AND name = 'snapshots';

UPDATE sqlite_schema SET sql = replace(replace(sql,
    'kind IN (''capture'', ''restore'', ''erase_volume'', ''forget_snapshot'')',
    'kind = ''capture'' OR kind = ''restore'' OR kind = ''erase_volume'' OR kind = ''forget_snapshot'''),
    'state IN (''pending'', ''running'', ''succeeded'', ''failed'', ''cancelled'')',
    'state = ''pending'' OR state = ''running'' OR state = ''succeeded'' OR state = ''failed'' OR state = ''cancelled''')
WHERE type = 'table' AND name = 'tasks';

UPDATE sqlite_schema SET sql = replace(sql,
    'state IN (''available'', ''saving'', ''fetching'', ''error'')',
    'state = ''available'' OR state = ''saving'' OR state = ''fetching'' OR state = ''error''')
WHERE type = 'table' AND name = 'volumes';

UPDATE sqlite_schema SET sql = replace(sql,
    'standing IN (''kept'', ''condemned'', ''dropped'')',
    'standing = ''kept'' OR standing = ''condemned'' OR standing = ''dropped''')
WHERE type = 'table' AND name = 'packs';

PRAGMA writable_schema = RESET;

-- One trigger for all that a new snapshot counts: SQLite makes room for each that there is, whether it has something to do or not.
DROP TRIGGER snapshots_count_insert;
DROP TRIGGER snapshots_note_insert;

CREATE TRIGGER snapshots_count_insert AFTER INSERT ON snapshots BEGIN
    UPDATE snapshot_totals SET total = total + 1, held = held + (NEW.state <> 'error'), shifts = shifts + EXISTS (
        SELECT 1 FROM snapshots AS later
        WHERE later.organization_id = NEW.organization_id AND (later.created_at, later.id) > (NEW.created_at, NEW.id)
    )
    WHERE organization_id = NEW.organization_id;
    UPDATE domain_sizes SET changes = changes + 1 WHERE domain_id = NEW.domain_id AND NEW.state = 'available';
END;
