-- What a snapshot takes for itself lies in its row, where whoever reads the snapshot has it. True only as long as the domain is
-- at the change at which it was measured.
ALTER TABLE snapshots ADD COLUMN exclusive_bytes INTEGER CHECK (exclusive_bytes >= 0);

UPDATE snapshots SET exclusive_bytes = (
    SELECT snapshot_sizes.exclusive_bytes FROM snapshot_sizes WHERE snapshot_sizes.snapshot_id = snapshots.id
);

DROP TABLE snapshot_sizes;
