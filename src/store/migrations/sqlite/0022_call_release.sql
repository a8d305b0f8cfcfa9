-- The release whose order of targets answered the call: a canary's, or the one that serves. NULL: it was not on record then.
ALTER TABLE calls ADD COLUMN release INTEGER;
