-- The policies that bound everyone in an account, its root too. Times are milliseconds since 1970 in UTC.

-- +goose Up
CREATE TABLE iam_guardrail (
    account    TEXT   NOT NULL REFERENCES iam_account (id),
    name       TEXT   NOT NULL,
    document   TEXT   NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (account, name)
);

-- +goose Down
DROP TABLE iam_guardrail;
