-- indexes --
-- Every schema that holds an index, and what all of its tables take on disk.
SELECT n.nspname AS name,
       (SELECT sum(pg_total_relation_size(t.oid))::bigint FROM pg_class AS t
        WHERE t.relnamespace = n.oid AND t.relkind = 'r') AS bytes
FROM pg_namespace AS n
WHERE has_schema_privilege(n.oid, 'USAGE')
  AND (SELECT count(*) FROM pg_class AS t
       WHERE t.relnamespace = n.oid AND t.relkind = 'r'
         AND t.relname IN ('about', 'chunks', 'documents', 'migrations')) = 4
ORDER BY n.nspname

-- whole_about --
SELECT provider, model, dimensions, vector_type, chunking, tokenizer, created_at, purged_before FROM {index}.about

-- vector_indexes --
-- The indexes over all vectors of each index, and the process that builds one now.
SELECT n.nspname AS index, c.relname AS name, a.amname AS kind, i.indisvalid AS valid, p.pid AS builder,
       coalesce(c.reloptions, '{}') AS options, pg_relation_size(c.oid) AS bytes
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_am AS a ON a.oid = c.relam
JOIN pg_class AS t ON t.oid = i.indrelid
JOIN pg_namespace AS n ON n.oid = t.relnamespace
LEFT JOIN pg_stat_progress_create_index AS p ON p.index_relid = c.oid
WHERE t.relname = 'chunks' AND a.amname IN ('hnsw', 'ivfflat') AND i.indpred IS NULL
ORDER BY n.nspname, c.oid

-- readers --
-- The views that read an index, as the catalogue of PostgreSQL knows it: they can not say otherwise than they do.
SELECT DISTINCT n.nspname AS index, vn.nspname AS schema, v.relname AS view, t.relname AS table
FROM pg_depend AS d
JOIN pg_rewrite AS r ON r.oid = d.objid
JOIN pg_class AS v ON v.oid = r.ev_class
JOIN pg_namespace AS vn ON vn.oid = v.relnamespace
JOIN pg_class AS t ON t.oid = d.refobjid
JOIN pg_namespace AS n ON n.oid = t.relnamespace
WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass
  AND t.relkind = 'r' AND n.nspname <> vn.nspname AND n.nspname = ANY ($1::text[])
ORDER BY n.nspname, vn.nspname, v.relname

-- build_progress --
-- What a process says of the index it builds; of a step that counts nothing there is nothing to say.
SELECT phase,
       CASE WHEN blocks_total > 0 THEN blocks_done::double precision / blocks_total
            WHEN tuples_total > 0 THEN tuples_done::double precision / tuples_total
            WHEN lockers_total > 0 THEN lockers_done::double precision / lockers_total
       END AS done
FROM pg_stat_progress_create_index
WHERE pid = $1

-- work_memory --
-- What the session may use to build an index, in bytes.
SELECT setting::bigint * 1024 FROM pg_settings WHERE name = 'maintenance_work_mem'

-- builder_session --
-- For as long as the index takes: its memory, its helpers ($2; NULL is as the server says), no end to waiting for
-- transactions that are older, and an end of its own when nobody waits for it any longer.
SELECT set_config('maintenance_work_mem', $1, false),
       set_config('max_parallel_maintenance_workers', coalesce($2, current_setting('max_parallel_maintenance_workers')),
                  false),
       -- Vectors lie beside the table, which looks small to what decides on helpers.
       set_config('min_parallel_table_scan_size', '0', false),
       set_config('lock_timeout', '0', false),
       set_config('client_connection_check_interval', '2s', false)

-- promotions --
-- What each pair of views read before.
CREATE SCHEMA IF NOT EXISTS headrace;
CREATE TABLE IF NOT EXISTS headrace.promotions (
    pair text PRIMARY KEY,
    previous text,
    at timestamptz NOT NULL DEFAULT now(),
    by text NOT NULL
);

-- previous --
SELECT previous FROM headrace.promotions WHERE pair = $1

-- remember --
INSERT INTO headrace.promotions (pair, previous, by) VALUES ($1, $2, $3)
ON CONFLICT (pair) DO UPDATE SET previous = excluded.previous, at = now(), by = excluded.by

-- forget --
UPDATE headrace.promotions SET previous = NULL WHERE previous = $1

-- short_lock --
-- Readers that come wait behind whoever waits for the views, so that wait is to be short; and shorter than it takes
-- PostgreSQL to look for deadlocks, which it might end in a reader.
SELECT set_config('lock_timeout', '250ms', true)

-- drop_index --
DROP SCHEMA {index} CASCADE

-- groups --
-- Which groups have worked for an index, and in which topics.
SELECT DISTINCT consumer_group, topic FROM {index}.positions ORDER BY 1, 2
