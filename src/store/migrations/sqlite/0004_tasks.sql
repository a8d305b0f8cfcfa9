-- What a call asked for: answer | count_tokens | embed. Streamed or not is `streamed`.
ALTER TABLE calls ADD COLUMN task TEXT NOT NULL DEFAULT 'answer';
