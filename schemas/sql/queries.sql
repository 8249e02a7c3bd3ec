-- lock_installation --
-- Two inits wait for each other, whatever their index: they share the extension and the views.
SELECT pg_advisory_xact_lock(7310868735371437409)

-- extension --
-- Which pgvector is installed here, and in which schema.
SELECT e.extversion AS version, n.nspname AS schema
FROM pg_extension AS e
JOIN pg_namespace AS n ON n.oid = e.extnamespace
WHERE e.extname = 'vector'

-- table_exists --
SELECT to_regclass($1) IS NOT NULL

-- schema_exists --
SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)

-- begin_index --
-- What has to be there before the first migration.
CREATE SCHEMA IF NOT EXISTS {index};
CREATE TABLE IF NOT EXISTS {index}.migrations (
    number integer PRIMARY KEY,
    name text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- applied_migrations --
SELECT number FROM {index}.migrations

-- unapplied_migrations --
-- Which of these numbers an index has not gone through.
SELECT number FROM unnest($1::integer[]) AS k(number)
WHERE NOT EXISTS (SELECT FROM {index}.migrations AS m WHERE m.number = k.number)
ORDER BY number

-- about --
SELECT provider, model, dimensions, vector_type, chunking, tokenizer FROM {index}.about

-- look_up --
-- How each candidate stands to its row; a candidate without a row is not returned. Advice: nothing is locked.
-- The limit keeps this a probe of the primary key for each candidate, whatever the statistics say.
SELECT c.n,
       CASE {index}.fence(
                c.version, c.topic, c.partition, c."offset", c."timestamp", c.log_append_time, c.fence_ts,
                d.version, d.origin_topic, d.origin_partition, d.origin_offset, d.origin_timestamp, d.fence_ts)
           WHEN 'redelivered' THEN 'redelivered'
           WHEN 'stale' THEN 'superseded'
           ELSE CASE
               WHEN d.content_hash IS NULL THEN 'absent'
               WHEN d.content_hash = c.content_hash THEN 'unchanged'
               ELSE 'changed'
           END
       END AS standing
FROM unnest($1::text::text[], $2::text::text[], $3::text::bigint[], $4::text::text[], $5::text::integer[],
            $6::text::bigint[], $7::text::bigint[], $8::text::boolean[], $9::text::bigint[], $10::text::bytea[])
     WITH ORDINALITY
     AS c(tenant, id, version, topic, partition, "offset", "timestamp", log_append_time, fence_ts, content_hash, n)
CROSS JOIN LATERAL (
    SELECT version, origin_topic, origin_partition, origin_offset, origin_timestamp, fence_ts, content_hash
    FROM {index}.documents AS stored
    WHERE stored.tenant = c.tenant AND stored.id = c.id
    LIMIT 1
) AS d

-- write_documents --
-- Lock, in the order of the arrays, every row of the group, and write those that pass the fence; they are returned.
-- content_hash is NULL for a deletion. chunk_count is -1 for a touch, which needs the same content under it; one that
-- finds no row makes one with revision 0, for the caller to roll back.
INSERT INTO {index}.documents AS d (
    tenant, id, version, origin_topic, origin_partition, origin_offset, origin_timestamp, log_append_time, fence_ts,
    content_hash, chunk_count, title, metadata, deleted_at, embedded_at, stored_at, revision)
SELECT tenant, id, version, topic, partition, "offset", "timestamp", log_append_time, fence_ts,
       content_hash, chunk_count, title, metadata::jsonb,
       CASE WHEN content_hash IS NULL THEN now() END,
       CASE WHEN content_hash IS NOT NULL THEN now() END,
       now(), CASE WHEN chunk_count < 0 THEN 0 ELSE 1 END
FROM unnest($1::text::text[], $2::text::text[], $3::text::bigint[], $4::text::text[], $5::text::integer[],
            $6::text::bigint[], $7::text::bigint[], $8::text::boolean[], $9::text::bigint[], $10::text::bytea[],
            $11::text::integer[], $12::text::text[], $13::text::text[])
     AS change(tenant, id, version, topic, partition, "offset", "timestamp", log_append_time, fence_ts,
               content_hash, chunk_count, title, metadata)
ON CONFLICT (tenant, id) DO UPDATE SET
    version = CASE WHEN excluded.deleted_at IS NULL THEN excluded.version ELSE coalesce(excluded.version, d.version) END,
    origin_topic = excluded.origin_topic,
    origin_partition = excluded.origin_partition,
    origin_offset = excluded.origin_offset,
    origin_timestamp = excluded.origin_timestamp,
    log_append_time = excluded.log_append_time,
    fence_ts = greatest(d.fence_ts, excluded.fence_ts),
    content_hash = excluded.content_hash,
    chunk_count = CASE WHEN excluded.chunk_count < 0 THEN d.chunk_count ELSE excluded.chunk_count END,
    title = excluded.title,
    metadata = excluded.metadata,
    deleted_at = excluded.deleted_at,
    embedded_at = CASE WHEN excluded.deleted_at IS NULL THEN coalesce(d.embedded_at, excluded.embedded_at) END,
    stored_at = excluded.stored_at,
    revision = d.revision + 1
WHERE {index}.fence(
          excluded.version, excluded.origin_topic, excluded.origin_partition, excluded.origin_offset,
          excluded.origin_timestamp, excluded.log_append_time, excluded.fence_ts,
          d.version, d.origin_topic, d.origin_partition, d.origin_offset, d.origin_timestamp, d.fence_ts) = 'newer'
      AND (excluded.chunk_count >= 0 OR d.content_hash = excluded.content_hash)
RETURNING d.tenant, d.id, d.revision

-- stored_hashes --
SELECT c.tenant, c.document_id, c.ordinal, c.hash
FROM unnest($1::text::text[], $2::text::text[]) AS k(tenant, id)
CROSS JOIN LATERAL (
    SELECT tenant, document_id, ordinal, hash
    FROM {index}.chunks AS stored
    WHERE stored.tenant = k.tenant AND stored.document_id = k.id
    OFFSET 0
) AS c

-- stored_vectors --
-- Vectors that move to another place of their document. The rows of their documents are locked.
SELECT c.tenant, c.document_id, c.ordinal, c.embedding, c.embedded_at
FROM unnest($1::text[], $2::text[], $3::integer[]) AS k(tenant, id, ordinal)
CROSS JOIN LATERAL (
    SELECT tenant, document_id, ordinal, embedding, embedded_at
    FROM {index}.chunks AS stored
    WHERE stored.tenant = k.tenant AND stored.document_id = k.id AND stored.ordinal = k.ordinal
    LIMIT 1
) AS c

-- write_chunk --
-- A chunk whose text is already in its place is left as it is, vector and all.
INSERT INTO {index}.chunks AS c (tenant, document_id, ordinal, text, hash, tokens, embedding, embedded_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, coalesce($8, now()))
ON CONFLICT (tenant, document_id, ordinal) DO UPDATE SET
    text = excluded.text,
    hash = excluded.hash,
    tokens = excluded.tokens,
    embedding = excluded.embedding,
    embedded_at = excluded.embedded_at
WHERE c.hash IS DISTINCT FROM excluded.hash

-- remove_surplus --
-- Chunks that a document has no longer; all of them for a deletion.
DELETE FROM {index}.chunks AS c
USING unnest($1::text::text[], $2::text::text[], $3::text::integer[]) AS k(tenant, id, kept)
WHERE c.tenant = k.tenant AND c.document_id = k.id AND c.ordinal >= k.kept

-- save_positions --
INSERT INTO {index}.positions AS p (consumer_group, topic, partition, next_offset, saved_at)
SELECT $1, $2, partition, next_offset, now()
FROM unnest($3::integer[], $4::bigint[]) AS k(partition, next_offset)
ON CONFLICT (consumer_group, topic, partition) DO UPDATE SET
    next_offset = excluded.next_offset,
    saved_at = excluded.saved_at

-- load_positions --
SELECT partition, next_offset FROM {index}.positions WHERE consumer_group = $1 AND topic = $2

-- estimates --
-- Rows as the last ANALYZE or VACUUM saw them; -1 where there was none yet.
SELECT (SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass($1)) AS documents,
       (SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass($2)) AS chunks

-- count_documents --
SELECT count(*) FROM {index}.documents

-- count_tombstones --
SELECT count(*) FROM {index}.documents WHERE deleted_at IS NOT NULL

-- count_chunks --
SELECT count(*) FROM {index}.chunks

-- give_orders --
-- What an operator wants of a fleet; the time is the database's, which all workers share.
INSERT INTO {index}.control (name, value, at, by)
SELECT name, value, clock_timestamp(), $3 FROM unnest($1::text[], $2::text[]) AS told (name, value)
ON CONFLICT (name) DO UPDATE SET value = excluded.value, at = excluded.at, by = excluded.by

-- orders --
SELECT name, value, at, by FROM {index}.control WHERE name = ANY ($1::text[])
