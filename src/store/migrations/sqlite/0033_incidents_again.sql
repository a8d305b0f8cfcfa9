-- An incident that was not acted on for a reason that may pass (what is retained was down) asks again when it is reported again.
ALTER TABLE incidents ADD COLUMN asks_again INTEGER NOT NULL DEFAULT 0;
