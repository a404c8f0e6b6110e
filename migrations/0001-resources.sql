-- Resources, the ordered log of their changes, credentials and leases.
--
-- Revisions are handed out in commit order. A sequence alone does not do that: number 101 can become visible before
-- 100, and a reader that has moved on to 101 never sees 100. So `write_batch` takes one advisory lock as the last lock
-- of its transaction, draws its numbers while it holds it, and PostgreSQL releases it only after the commit has become
-- visible: a snapshot that holds revision N holds every committed revision below N.

-- CACHE must stay 1: sessions that draw numbers ahead of use hand them out in the wrong order.
CREATE SEQUENCE bothy.revision AS bigint START 1001 CACHE 1;

-- Watches may start at this revision or later. It begins above 0, so that the revision of an empty store is never '0',
-- which Kubernetes' API reads as "any".
CREATE TABLE bothy.floor (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  revision bigint NOT NULL
);
INSERT INTO bothy.floor (revision) VALUES (1000);

-- The latest state. The revision lives in its column only and is put into the metadata on the way out.
-- No index on anything inside `body`: it would forbid in-page (HOT) updates, and every status write is an update.
CREATE TABLE bothy.resource (
  kind text COLLATE "C" NOT NULL,
  namespace text COLLATE "C" NOT NULL,
  name text COLLATE "C" NOT NULL,
  uid uuid NOT NULL UNIQUE,
  revision bigint NOT NULL,
  body jsonb NOT NULL,
  PRIMARY KEY (kind, namespace, name)
) WITH (fillfactor = 70);

-- What happened, in order. `body` is the state after the change, or the last state when `removed`.
CREATE TABLE bothy.change (
  revision bigint PRIMARY KEY,
  kind text COLLATE "C" NOT NULL,
  namespace text COLLATE "C" NOT NULL,
  name text COLLATE "C" NOT NULL,
  removed boolean NOT NULL,
  body jsonb NOT NULL,
  previous_revision bigint,
  previous jsonb,
  at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX change_by_kind ON bothy.change (kind, revision);

-- Several writes in one transaction. Each item is
--   {op: create|put|remove, kind, namespace, name, uid, expected: revision that must be stored, body}
-- and stands for itself: an item whose precondition fails is skipped, the others are written. No object may appear
-- twice. Answers one row per item: `written` is its new revision, or null when skipped; `existing` is the revision that
-- was found before, null when there was no object.
CREATE FUNCTION bothy.write_batch(items jsonb)
RETURNS TABLE (ord integer, written bigint, existing bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  n integer := jsonb_array_length(items);
  revisions bigint[] := array_fill(NULL::bigint, ARRAY[n]);
  bodies jsonb[] := array_fill(NULL::jsonb, ARRAY[n]);
  item record;
  key text[];
  last_key text[];
  stored record;
  next_revision bigint;
  ordered boolean := false;
BEGIN
  -- 1. All row locks, in key order, so that no two batches can wait for each other. Point look-ups rather than one
  --    join: its plan would be chosen while the tables are small and kept when they no longer are.
  FOR item IN
    SELECT i.ord, i.value->>'kind' AS kind, i.value->>'namespace' AS namespace, i.value->>'name' AS name
      FROM jsonb_array_elements(items) WITH ORDINALITY AS i (value, ord)
     ORDER BY (i.value->>'kind') COLLATE "C", (i.value->>'namespace') COLLATE "C", (i.value->>'name') COLLATE "C"
  LOOP
    key := ARRAY[item.kind, item.namespace, item.name];
    IF key = last_key THEN
      RAISE EXCEPTION 'write_batch: % %/% appears twice', item.kind, item.namespace, item.name
        USING ERRCODE = 'cardinality_violation';
    END IF;
    last_key := key;
    SELECT r.revision, r.body INTO stored FROM bothy.resource r
     WHERE r.kind = item.kind AND r.namespace = item.namespace AND r.name = item.name
       FOR UPDATE;
    IF FOUND THEN
      revisions[item.ord] := stored.revision;
      bodies[item.ord] := stored.body;
    END IF;
  END LOOP;

  FOR item IN
    SELECT i.ord::integer AS ord, x.*
      FROM jsonb_array_elements(items) WITH ORDINALITY AS i (value, ord),
           jsonb_to_record(i.value) AS x (op text, kind text, namespace text, name text, uid uuid, expected bigint, body jsonb)
     ORDER BY i.ord
  LOOP
    ord := item.ord;
    written := NULL;
    existing := revisions[item.ord];
    IF (item.op = 'create') <> (existing IS NULL) OR (item.op <> 'create' AND existing IS DISTINCT FROM item.expected) THEN
      RETURN NEXT;
      CONTINUE;
    END IF;

    -- 2. The order lock: after every row lock, before the first number.
    IF NOT ordered THEN
      PERFORM pg_advisory_xact_lock(1651471464, 1);
      ordered := true;
    END IF;

    -- 3. Number, state, log.
    next_revision := nextval('bothy.revision');
    IF item.op = 'create' THEN
      INSERT INTO bothy.resource (kind, namespace, name, uid, revision, body)
      VALUES (item.kind, item.namespace, item.name, item.uid, next_revision, item.body)
      ON CONFLICT (kind, namespace, name) DO NOTHING;
      IF NOT FOUND THEN
        -- Somebody was faster between the look-up and the lock.
        SELECT r.revision INTO existing FROM bothy.resource r
         WHERE r.kind = item.kind AND r.namespace = item.namespace AND r.name = item.name;
        RETURN NEXT;
        CONTINUE;
      END IF;
    ELSIF item.op = 'put' THEN
      UPDATE bothy.resource r SET revision = next_revision, body = item.body
       WHERE r.kind = item.kind AND r.namespace = item.namespace AND r.name = item.name;
    ELSE
      DELETE FROM bothy.resource r
       WHERE r.kind = item.kind AND r.namespace = item.namespace AND r.name = item.name;
    END IF;
    INSERT INTO bothy.change (revision, kind, namespace, name, removed, body, previous_revision, previous)
    VALUES (next_revision, item.kind, item.namespace, item.name, item.op = 'remove', item.body, existing, bodies[item.ord]);
    written := next_revision;
    RETURN NEXT;
  END LOOP;

  -- One nudge for the whole batch, without payload: the log is the truth, readers go and look.
  IF ordered THEN
    PERFORM pg_notify('bothy_change', '');
  END IF;
END $$;

-- Forgets changes older than `age` and answers the new floor; the newest `keep` changes stay whatever their age.
CREATE FUNCTION bothy.compact(age interval, keep bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  lowest bigint;
BEGIN
  SELECT c.revision INTO lowest FROM bothy.change c
   WHERE c.at < clock_timestamp() - age
     AND c.revision <= (SELECT k.revision FROM bothy.change k ORDER BY k.revision DESC OFFSET keep LIMIT 1)
   ORDER BY c.revision DESC LIMIT 1;
  IF FOUND THEN
    UPDATE bothy.floor f SET revision = greatest(f.revision, lowest);
    DELETE FROM bothy.change c WHERE c.revision <= lowest;
  END IF;
  RETURN (SELECT f.revision FROM bothy.floor f);
END $$;

CREATE TABLE bothy.user_account (
  name text COLLATE "C" PRIMARY KEY,
  role text NOT NULL CHECK (role IN ('admin', 'member', 'viewer'))
);

-- Hashes are SHA-256 of 256 random bits, in hex.
CREATE TABLE bothy.user_token (
  hash text COLLATE "C" PRIMARY KEY,
  user_name text COLLATE "C" NOT NULL REFERENCES bothy.user_account ON DELETE CASCADE,
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE bothy.enrollment_token (
  hash text COLLATE "C" PRIMARY KEY,
  runner_uid text COLLATE "C" NOT NULL,
  namespace text COLLATE "C" NOT NULL,
  name text COLLATE "C" NOT NULL,
  expires_at_ms bigint NOT NULL
);

CREATE TABLE bothy.runner_identity (
  uid text COLLATE "C" PRIMARY KEY,
  namespace text COLLATE "C" NOT NULL,
  name text COLLATE "C" NOT NULL,
  signing_key text NOT NULL,
  sealing_key text NOT NULL,
  enrolled_at timestamptz NOT NULL DEFAULT now()
);

-- Heartbeats. Unlogged: a crash of the database may forget them, the next beat brings them back.
CREATE UNLOGGED TABLE bothy.lease (
  holder text COLLATE "C" PRIMARY KEY,
  renewed_at_ms bigint NOT NULL
) WITH (fillfactor = 50);
