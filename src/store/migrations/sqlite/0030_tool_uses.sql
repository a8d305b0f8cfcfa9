-- How often an attempt used the tools that its vendor runs: searches of the web and of files, and machines on which code ran.
ALTER TABLE attempts ADD COLUMN web_searches INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN file_searches INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN code_sessions INTEGER NOT NULL DEFAULT 0;
