-- Servers keep what they have looked up for a while; whoever changes or takes away a credential tells all of them.
CREATE FUNCTION bothy.notify_credentials() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('bothy_credentials', '');
  RETURN NULL;
END $$;

CREATE TRIGGER notify AFTER UPDATE OR DELETE OR TRUNCATE ON bothy.user_account
  FOR EACH STATEMENT EXECUTE FUNCTION bothy.notify_credentials();
CREATE TRIGGER notify AFTER UPDATE OR DELETE OR TRUNCATE ON bothy.user_token
  FOR EACH STATEMENT EXECUTE FUNCTION bothy.notify_credentials();
CREATE TRIGGER notify AFTER UPDATE OR DELETE OR TRUNCATE ON bothy.runner_identity
  FOR EACH STATEMENT EXECUTE FUNCTION bothy.notify_credentials();
