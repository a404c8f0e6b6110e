-- What the feed and lists need under load.

-- The field that hundreds of runners select their environments by. A column of its own may be indexed without
-- forbidding in-page (HOT) updates: its value stays what it is when anything else in `body` changes. An index on the
-- expression would forbid them, since it counts as touched with every change of `body`.
ALTER TABLE bothy.resource
  ADD COLUMN runner text COLLATE "C" NOT NULL GENERATED ALWAYS AS (coalesce(body #>> '{spec,runner}', '')) STORED;
CREATE INDEX resource_by_runner ON bothy.resource (kind, runner, namespace, name) WHERE runner <> '';

-- Forgets changes that are older than `age` or not among the newest `most`, and answers the new floor; the newest `keep`
-- stay whatever their age. So the log is bounded, however fast it grows.
DROP FUNCTION bothy.compact(interval, bigint);
CREATE FUNCTION bothy.compact(age interval, keep bigint, most bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  lowest bigint := greatest(
    (SELECT c.revision FROM bothy.change c
      WHERE c.at < clock_timestamp() - age
        AND c.revision <= (SELECT k.revision FROM bothy.change k ORDER BY k.revision DESC OFFSET keep LIMIT 1)
      ORDER BY c.revision DESC LIMIT 1),
    (SELECT c.revision FROM bothy.change c ORDER BY c.revision DESC OFFSET greatest(keep, most) LIMIT 1));
BEGIN
  IF lowest IS NOT NULL THEN
    UPDATE bothy.floor f SET revision = greatest(f.revision, lowest);
    DELETE FROM bothy.change c WHERE c.revision <= lowest;
  END IF;
  RETURN (SELECT f.revision FROM bothy.floor f);
END $$;
