-- The service tier that a call asked for.

-- +goose Up

-- NULL is the default tier.
ALTER TABLE call ADD COLUMN tier TEXT;

-- +goose Down
ALTER TABLE call DROP COLUMN tier;
