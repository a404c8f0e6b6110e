-- What each runner measured last, all of its host in one row: replaced every few seconds, so it is neither logged nor a
-- resource. The report is text, since nobody looks inside it here. `watched_at_ms` is when somebody last read it, which
-- says how soon the runner is to tell again.
CREATE UNLOGGED TABLE bothy.usage (
  runner uuid PRIMARY KEY,
  told_at_ms bigint NOT NULL,
  watched_at_ms bigint NOT NULL DEFAULT 0,
  report text NOT NULL
) WITH (fillfactor = 50);
