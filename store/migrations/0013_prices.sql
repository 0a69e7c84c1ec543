-- What calls cost less than by the list, what was corrected of their cost, and prices that were imported.

-- +goose Up

-- Nano-USD beyond what was charged, by the list.
ALTER TABLE charge_hour ADD COLUMN discount BIGINT NOT NULL DEFAULT 0;

-- Corrections of what settled calls cost. The call's own row stays as it is; the rollups have both.
CREATE TABLE correction (
    account TEXT   NOT NULL, -- account, began and call name the row of call
    began   BIGINT NOT NULL,
    call    BYTEA  NOT NULL,
    number  BIGINT NOT NULL, -- of the call's corrections, from 1
    made    BIGINT NOT NULL, -- microseconds since 1970 in UTC
    reason  TEXT   NOT NULL,
    back    TEXT   NOT NULL, -- what holds no longer, in the form of call.charges
    charges TEXT   NOT NULL, -- what takes its place
    nano    BIGINT NOT NULL, -- charges less back
    PRIMARY KEY (account, began, call, number)
) WITHOUT ROWID;

-- Catalogue files with prices, laid over the built-in ones in the order of their numbers. None is ever changed: what was
-- rated by one can be told for ever.
CREATE TABLE price_import (
    number    INTEGER PRIMARY KEY,
    imported  BIGINT NOT NULL, -- microseconds since 1970 in UTC
    source    TEXT   NOT NULL, -- for people: the file's name, and what it says of itself
    facts     TEXT   NOT NULL, -- JSON
    withdrawn BIGINT           -- since when it is laid over no longer
);

-- +goose Down
DROP TABLE price_import;
DROP TABLE correction;
ALTER TABLE charge_hour DROP COLUMN discount;
