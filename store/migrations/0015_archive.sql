-- What has left the database for files, what was mended of the rollups, and who made corrections.

-- +goose Up

-- The files of the archive: rows of call and of correction that are here no longer. A row of either table is in the table, or in
-- one file, never in both: a file's row is written in the transaction that removes its rows.
CREATE TABLE archive (
    account TEXT   NOT NULL,
    kind    TEXT   NOT NULL, -- calls, corrections
    day     BIGINT NOT NULL, -- on which the calls began: days from 1970 in UTC
    part    BIGINT NOT NULL, -- of the day's, from 1
    sha256  BYTEA  NOT NULL, -- of the file
    size    BIGINT NOT NULL, -- bytes
    entries BIGINT NOT NULL, -- how many rows there are in it
    nano    BIGINT NOT NULL, -- and what they come to
    first   BIGINT NOT NULL, -- when the first of its calls began, in microseconds from 1970
    last    BIGINT NOT NULL, -- and the last
    made    BIGINT NOT NULL, -- microseconds from 1970 in UTC
    PRIMARY KEY (account, kind, day, part)
) WITHOUT ROWID;
CREATE INDEX archive_day ON archive (kind, day);

-- Rows of the rollups that were not the sums of the calls, and were moved to them by a difference. Figures are JSON.
CREATE TABLE repair (
    number  INTEGER PRIMARY KEY,
    made    BIGINT NOT NULL, -- microseconds from 1970 in UTC
    author  TEXT   NOT NULL,
    reason  TEXT   NOT NULL,
    rollup  TEXT   NOT NULL, -- the table
    account TEXT   NOT NULL,
    hour    BIGINT NOT NULL,
    line    BIGINT NOT NULL, -- of charge_hour and split_hour charge_line.id, of caller_hour caller.id
    party   BIGINT NOT NULL, -- of split_hour party.id; else 0
    was     TEXT   NOT NULL,
    became  TEXT   NOT NULL
);

ALTER TABLE correction ADD COLUMN author TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE correction DROP COLUMN author;
DROP TABLE repair;
DROP TABLE archive;
