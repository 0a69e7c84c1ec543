-- Long-term API keys. Times are milliseconds since 1970 in UTC.

-- +goose Up
CREATE TABLE iam_bearer_key (
    id         TEXT    PRIMARY KEY, -- ACCA...
    alias      TEXT    NOT NULL UNIQUE, -- the part of the key that is no secret
    account    TEXT    NOT NULL,
    user_name  TEXT    NOT NULL,
    hash       BYTEA   NOT NULL, -- SHA-256 of the secret
    active     BOOLEAN NOT NULL,
    created_at BIGINT  NOT NULL,
    expires_at BIGINT, -- NULL: never
    FOREIGN KEY (account, user_name) REFERENCES iam_user (account, name)
);

-- +goose Down
DROP TABLE iam_bearer_key;
