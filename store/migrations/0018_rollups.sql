-- Rollups by day and by month: a report over a year reads what it would of a day.

-- +goose Up

-- Until when the hours of an account are in the days and months too. Those since then are in the hours alone: a day or a
-- month that has not ended has what was before, and is whole together with them.
CREATE TABLE rolled (
    account TEXT   NOT NULL PRIMARY KEY,
    hour    BIGINT NOT NULL -- the first one that is not
) WITHOUT ROWID;

-- What is there already is taken up hour by hour, as calls come.
INSERT INTO rolled (account, hour)
    SELECT account, MIN(hour) FROM (SELECT account, hour FROM charge_hour UNION ALL SELECT account, hour FROM caller_hour) AS hours GROUP BY account;

-- As charge_hour, split_hour and caller_hour. Days count from 1970 in UTC, and so do months: 12 is January of 1971.
CREATE TABLE charge_day (
    account   TEXT   NOT NULL,
    day       BIGINT NOT NULL,
    line      BIGINT NOT NULL, -- charge_line.id
    quantity  BIGINT NOT NULL,
    nano      BIGINT NOT NULL,
    calls     BIGINT NOT NULL,
    unrated   BIGINT NOT NULL,
    estimated BIGINT NOT NULL,
    discount  BIGINT NOT NULL,
    PRIMARY KEY (account, day, line)
) WITHOUT ROWID;
CREATE TABLE charge_month (
    account   TEXT   NOT NULL,
    month     BIGINT NOT NULL,
    line      BIGINT NOT NULL,
    quantity  BIGINT NOT NULL,
    nano      BIGINT NOT NULL,
    calls     BIGINT NOT NULL,
    unrated   BIGINT NOT NULL,
    estimated BIGINT NOT NULL,
    discount  BIGINT NOT NULL,
    PRIMARY KEY (account, month, line)
) WITHOUT ROWID;
CREATE TABLE split_day (
    account   TEXT   NOT NULL,
    day       BIGINT NOT NULL,
    line      BIGINT NOT NULL,
    party     BIGINT NOT NULL, -- party.id
    quantity  BIGINT NOT NULL,
    nano      BIGINT NOT NULL,
    calls     BIGINT NOT NULL,
    unrated   BIGINT NOT NULL,
    estimated BIGINT NOT NULL,
    discount  BIGINT NOT NULL,
    PRIMARY KEY (account, day, line, party)
) WITHOUT ROWID;
CREATE TABLE split_month (
    account   TEXT   NOT NULL,
    month     BIGINT NOT NULL,
    line      BIGINT NOT NULL,
    party     BIGINT NOT NULL,
    quantity  BIGINT NOT NULL,
    nano      BIGINT NOT NULL,
    calls     BIGINT NOT NULL,
    unrated   BIGINT NOT NULL,
    estimated BIGINT NOT NULL,
    discount  BIGINT NOT NULL,
    PRIMARY KEY (account, month, line, party)
) WITHOUT ROWID;
CREATE TABLE caller_day (
    account TEXT   NOT NULL,
    day     BIGINT NOT NULL,
    caller  BIGINT NOT NULL, -- caller.id
    calls   BIGINT NOT NULL,
    input   BIGINT NOT NULL,
    output  BIGINT NOT NULL,
    nano    BIGINT NOT NULL,
    PRIMARY KEY (account, day, caller)
) WITHOUT ROWID;
CREATE TABLE caller_month (
    account TEXT   NOT NULL,
    month   BIGINT NOT NULL,
    caller  BIGINT NOT NULL,
    calls   BIGINT NOT NULL,
    input   BIGINT NOT NULL,
    output  BIGINT NOT NULL,
    nano    BIGINT NOT NULL,
    PRIMARY KEY (account, month, caller)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE caller_month;
DROP TABLE caller_day;
DROP TABLE split_month;
DROP TABLE split_day;
DROP TABLE charge_month;
DROP TABLE charge_day;
DROP TABLE rolled;
