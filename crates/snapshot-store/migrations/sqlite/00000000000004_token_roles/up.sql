-- A token that was made before there were roles keeps doing all that it did. Its owner may hold no other one, so it is an
-- admin's: somebody has to be able to say who may call.
ALTER TABLE tokens ADD COLUMN role TEXT NOT NULL DEFAULT 'admin' CHECK (role IN ('admin', 'operator', 'backup', 'read'));
ALTER TABLE tokens ADD COLUMN expires_at INTEGER;
