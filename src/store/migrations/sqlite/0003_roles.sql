-- Why an attempt was made: rung | retry | hedge | restart.
ALTER TABLE attempts ADD COLUMN role TEXT NOT NULL DEFAULT 'rung';
