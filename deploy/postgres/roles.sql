-- Roles of a PostgreSQL store, and the schema that holds it. Run once per database, as a superuser
-- (or a managed service's administrator), before "ecaf store migrate":
--
--   createdb ecaf
--   psql --dbname=ecaf --file=roles.sql
--   psql --dbname=ecaf --command='\password ecaf_owner'      (and the role that serves)
--
-- One database holds one store: a gateway's (shared by any number of gateways) or an authority's.
-- Can be run again: it changes nothing that stands.

DO $$
DECLARE
    name text;
BEGIN
    -- ecaf_owner owns the tables and runs migrations and promotions; no process that serves logs in
    -- with it. The other two may do what their migrations grant: no DDL, and no DELETE but of what was
    -- sequenced.
    FOREACH name IN ARRAY ARRAY['ecaf_owner', 'ecaf_gateway', 'ecaf_authority'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE', name);
        END IF;
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), name);
    END LOOP;
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
END
$$;

-- Lets the owner's function synchronous_standbys() count the replicas that commits wait for.
GRANT pg_read_all_stats TO ecaf_owner;

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
CREATE SCHEMA IF NOT EXISTS ecaf AUTHORIZATION ecaf_owner;
GRANT USAGE ON SCHEMA ecaf TO ecaf_gateway, ecaf_authority;
