-- What a call used that is not paid by the token: pictures, search units.

-- +goose Up

-- JSON, without members that are 0; NULL where there are none.
ALTER TABLE call ADD COLUMN units TEXT;

-- +goose Down
ALTER TABLE call DROP COLUMN units;
