-- Accounts, users, access keys and inline policies. Times are milliseconds since 1970 in UTC.

-- +goose Up
CREATE TABLE iam_account (
    id         TEXT   PRIMARY KEY, -- 12 digits
    created_at BIGINT NOT NULL
);

CREATE TABLE iam_user (
    account    TEXT   NOT NULL REFERENCES iam_account (id),
    name       TEXT   NOT NULL,
    id         TEXT   NOT NULL UNIQUE, -- AIDA...
    created_at BIGINT NOT NULL,
    PRIMARY KEY (account, name)
);

-- Names are not distinguished by case, but keep theirs.
CREATE UNIQUE INDEX iam_user_name ON iam_user (account, lower(name));

CREATE TABLE iam_access_key (
    id         TEXT    PRIMARY KEY, -- AKIA...
    account    TEXT    NOT NULL REFERENCES iam_account (id),
    user_name  TEXT    NOT NULL, -- '' is the account's root
    secret     BYTEA   NOT NULL, -- sealed
    active     BOOLEAN NOT NULL,
    created_at BIGINT  NOT NULL
);

CREATE TABLE iam_user_policy (
    account    TEXT   NOT NULL,
    user_name  TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    document   TEXT   NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (account, user_name, name),
    FOREIGN KEY (account, user_name) REFERENCES iam_user (account, name)
);

-- +goose Down
DROP TABLE iam_user_policy;
DROP TABLE iam_access_key;
DROP TABLE iam_user;
DROP TABLE iam_account;
