-- SQLite has one writer: nobody inserts at the same moment, and there is nothing to change.
SELECT 1;
