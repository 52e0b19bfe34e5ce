-- Who did what. An entry without a token is of somebody at the command line of the host. Its ids refer to nothing: what they
-- name may be gone, or may never have been there.
CREATE TABLE audit (
    id BLOB NOT NULL CHECK (length(id) = 16),
    organization_id BLOB NOT NULL CHECK (length(organization_id) = 16),
    at INTEGER NOT NULL,
    token_id BLOB CHECK (length(token_id) = 16),
    account_id BLOB CHECK (length(account_id) = 16),
    request_id BLOB NOT NULL CHECK (length(request_id) = 16),
    action TEXT NOT NULL,
    resource_id BLOB CHECK (length(resource_id) = 16),
    outcome TEXT NOT NULL,
    PRIMARY KEY (organization_id, at, id),
    CHECK ((token_id IS NULL) = (account_id IS NULL))
) STRICT, WITHOUT ROWID;
