-- There is nothing to do here: this is about how SQLite checks rows.
SELECT 1;
