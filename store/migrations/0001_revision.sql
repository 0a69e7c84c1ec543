-- +goose Up
CREATE TABLE revision (
    domain TEXT   PRIMARY KEY,
    number BIGINT NOT NULL
);

-- +goose Down
DROP TABLE revision;
