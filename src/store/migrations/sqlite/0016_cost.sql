-- What prices need to know: kinds of tokens with a rate of their own (each a part of its input or output), this machine's time,
-- the vendor's class of service; and by which row of prices an attempt was priced, and how well: valid | partial | stale | missing.
ALTER TABLE attempts ADD COLUMN cache_write_1h_tokens   INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN audio_input_tokens      INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN image_input_tokens      INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN unbilled_input_tokens   INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN audio_output_tokens     INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN image_output_tokens     INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN unbilled_output_tokens  INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN machine_us              INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN service                 TEXT    NOT NULL DEFAULT 'standard';
ALTER TABLE attempts ADD COLUMN priced                  TEXT    NOT NULL DEFAULT 'valid';
ALTER TABLE attempts ADD COLUMN price_row               TEXT;   -- NULL: nothing was used, there is none, or it is from before
UPDATE attempts SET priced = 'missing' WHERE cost_micros IS NULL AND input_tokens + output_tokens > 0;
