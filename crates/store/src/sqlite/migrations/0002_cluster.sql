-- What several nodes need: the version of what they say to each other, a check of the master key, and instructions that outlive who gave them.
-- A folder of before has no key check, and gets none: whoever opens it first after the upgrade might have the wrong key.
ALTER TABLE cluster ADD COLUMN schema INTEGER NOT NULL DEFAULT 1;
ALTER TABLE cluster ADD COLUMN key_check TEXT NOT NULL DEFAULT '';

CREATE TABLE fact (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
