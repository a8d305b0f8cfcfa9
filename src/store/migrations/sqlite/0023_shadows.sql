-- What came of asking a release beside what serves: sums over calls, by route and release; nothing of any answer.
CREATE TABLE shadows (
    route        TEXT    NOT NULL,
    release      INTEGER NOT NULL,
    asked        INTEGER NOT NULL,               -- sent to the release's first target
    failed       INTEGER NOT NULL,               -- of these: without an answer
    dropped      INTEGER NOT NULL,               -- not sent, because too many were under way
    compared     INTEGER NOT NULL,               -- both sides gave a whole answer
    same_finish  INTEGER NOT NULL,               -- of these, as all that follow
    same_json    INTEGER NOT NULL,               -- both texts are JSON documents, or neither is
    same_tools   INTEGER NOT NULL,               -- both call tools of the same names, or neither calls any
    refused      INTEGER NOT NULL,               -- by the release
    served_refused INTEGER NOT NULL,
    bytes        INTEGER NOT NULL,               -- of text
    served_bytes INTEGER NOT NULL,
    took_us      INTEGER NOT NULL,               -- from the same moment to the whole answer
    served_us    INTEGER NOT NULL,
    PRIMARY KEY (route, release)
) WITHOUT ROWID;
