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
-- How each candidate stands to its row, as the numbers of those that stand alike; a candidate without a row is not among
-- them. Of those that are newer than their rows it is told which content these have, since what is read again is not
-- hashed before somebody asks. Advice: nothing is locked.
-- A row that was embedded before $10 counts as absent, unless something newer is stored.
-- The limit keeps this a probe of the primary key for each candidate, whatever the statistics say.
SELECT standing, array_agg(n) AS numbers, array_agg(content_hash) FILTER (WHERE standing = 'newer') AS stored
FROM (
    SELECT CASE {index}.fence(
                    c.version, c.topic, c.partition, c."offset", c."timestamp", c.log_append_time, c.fence_ts,
                    d.version, d.origin_topic, d.origin_partition, d.origin_offset, d.origin_timestamp, d.fence_ts)
               WHEN 'redelivered' THEN CASE WHEN d.embedded_at < $10::timestamptz THEN 'absent' ELSE 'redelivered' END
               WHEN 'stale' THEN 'superseded'
               ELSE CASE
                   WHEN d.content_hash IS NULL OR d.embedded_at < $10::timestamptz THEN 'absent'
                   ELSE 'newer'
               END
           END AS standing,
           c.n, d.content_hash
    FROM unnest($1::text::text[], $2::text::text[], $3::text::bigint[], $4::text::text[], $5::text::integer[],
                $6::text::bigint[], $7::text::bigint[], $8::text::boolean[], $9::text::bigint[])
         WITH ORDINALITY
         AS c(tenant, id, version, topic, partition, "offset", "timestamp", log_append_time, fence_ts, n)
    CROSS JOIN LATERAL (
        SELECT version, origin_topic, origin_partition, origin_offset, origin_timestamp, fence_ts, content_hash,
               embedded_at
        FROM {index}.documents AS stored
        WHERE stored.tenant = c.tenant AND stored.id = c.id
        LIMIT 1
    ) AS d
) AS judged
GROUP BY standing

-- write_documents --
-- Lock, in the order of the arrays, every row of the group, and write those that pass the fence; their ids are returned,
-- those together that have the rest in common.
-- content_hash is NULL for a deletion. chunk_count is -1 for a touch, which needs the same content under it; one that
-- finds no row makes one with revision 0, for the caller to roll back. anew: no chunk keeps a stored vector.
-- A row that was embedded before $15 lets the same origin through, and no touch; chunks that it keeps are replaced.
-- No chunk may be older than embedded_at says, so that it moves as far as that is known here: to now when the whole
-- content is new, else to $15. Of a new row whose chunks come from elsewhere it is not known yet.
WITH written AS (
INSERT INTO {index}.documents AS d (
    tenant, id, version, origin_topic, origin_partition, origin_offset, origin_timestamp, log_append_time, fence_ts,
    content_hash, chunk_count, title, metadata, deleted_at, embedded_at, stored_at, revision)
SELECT tenant, id, version, topic, partition, "offset", "timestamp", log_append_time, fence_ts,
       content_hash, chunk_count, title, metadata::jsonb,
       CASE WHEN content_hash IS NULL THEN now() END,
       CASE WHEN anew THEN greatest(now(), $15::timestamptz) END,
       now(), CASE WHEN chunk_count < 0 THEN 0 ELSE 1 END
FROM unnest($1::text::text[], $2::text::text[], $3::text::bigint[], $4::text::text[], $5::text::integer[],
            $6::text::bigint[], $7::text::bigint[], $8::text::boolean[], $9::text::bigint[], $10::text::bytea[],
            $11::text::integer[], $12::text::text[], $13::text::text[], $14::text::boolean[])
     AS change(tenant, id, version, topic, partition, "offset", "timestamp", log_append_time, fence_ts,
               content_hash, chunk_count, title, metadata, anew)
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
    embedded_at = CASE
        WHEN excluded.deleted_at IS NOT NULL THEN NULL
        WHEN excluded.embedded_at IS NOT NULL AND d.content_hash IS DISTINCT FROM excluded.content_hash
            THEN excluded.embedded_at
        ELSE greatest(d.embedded_at, $15::timestamptz)
    END,
    stored_at = excluded.stored_at,
    revision = d.revision + 1
WHERE CASE {index}.fence(
          excluded.version, excluded.origin_topic, excluded.origin_partition, excluded.origin_offset,
          excluded.origin_timestamp, excluded.log_append_time, excluded.fence_ts,
          d.version, d.origin_topic, d.origin_partition, d.origin_offset, d.origin_timestamp, d.fence_ts)
          WHEN 'newer' THEN
              excluded.chunk_count >= 0
              OR (d.content_hash = excluded.content_hash AND (d.embedded_at < $15::timestamptz) IS NOT TRUE)
          WHEN 'redelivered' THEN excluded.chunk_count >= 0 AND d.embedded_at < $15::timestamptz
          ELSE false
      END
RETURNING d.tenant, d.id, d.revision, d.embedded_at
)
SELECT tenant, revision, embedded_at, array_agg(id) FROM written GROUP BY tenant, revision, embedded_at

-- stored_hashes --
-- Chunks that were embedded before $3 are not there.
SELECT c.tenant, c.document_id, c.ordinal, c.hash
FROM unnest($1::text::text[], $2::text::text[]) AS k(tenant, id)
CROSS JOIN LATERAL (
    SELECT tenant, document_id, ordinal, hash
    FROM {index}.chunks AS stored
    WHERE stored.tenant = k.tenant AND stored.document_id = k.id AND (stored.embedded_at < $3::timestamptz) IS NOT TRUE
    OFFSET 0
) AS c

-- move_chunks --
-- Chunks whose text stands at another place of their document. Their vectors never leave the database; one statement
-- for all, since it sees every place as it was before. The rows of their documents are locked.
INSERT INTO {index}.chunks AS c (tenant, document_id, ordinal, text, hash, tokens, embedding, embedded_at)
SELECT k.tenant, k.id, k.ordinal, from_.text, from_.hash, from_.tokens, from_.embedding, from_.embedded_at
FROM unnest($1::text::text[], $2::text::text[], $3::text::integer[], $4::text::integer[])
     AS k(tenant, id, ordinal, place)
CROSS JOIN LATERAL (
    SELECT text, hash, tokens, embedding, embedded_at
    FROM {index}.chunks AS stored
    WHERE stored.tenant = k.tenant AND stored.document_id = k.id AND stored.ordinal = k.place
    LIMIT 1
) AS from_
ON CONFLICT (tenant, document_id, ordinal) DO UPDATE SET
    text = excluded.text,
    hash = excluded.hash,
    tokens = excluded.tokens,
    embedding = excluded.embedding,
    embedded_at = excluded.embedded_at

-- write_chunk --
-- A chunk whose text is already in its place is left as it is, vector and all, unless it is older than $9, which its
-- document says that none is.
INSERT INTO {index}.chunks AS c (tenant, document_id, ordinal, text, hash, tokens, embedding, embedded_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, greatest(now(), $8::timestamptz))
ON CONFLICT (tenant, document_id, ordinal) DO UPDATE SET
    text = excluded.text,
    hash = excluded.hash,
    tokens = excluded.tokens,
    embedding = excluded.embedding,
    embedded_at = excluded.embedded_at
WHERE c.hash IS DISTINCT FROM excluded.hash OR c.embedded_at < $9::timestamptz

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

-- advance_positions --
-- All of them, or none where one is not what it is taken for ($5) or the server is not the one it was then ($6).
WITH k AS (
    SELECT * FROM unnest($3::integer[], $4::bigint[], $5::bigint[]) AS k(partition, next_offset, known)
),
held AS (
    SELECT p.partition, p.next_offset
    FROM {index}.positions AS p
    WHERE p.consumer_group = $1 AND p.topic = $2 AND p.partition = ANY ($3)
    FOR UPDATE
),
fit AS (
    SELECT bool_and(held.next_offset IS NOT DISTINCT FROM k.known)
        AND pg_postmaster_start_time()::text = $6 AS fits
    FROM k LEFT JOIN held USING (partition)
),
saved AS (
    INSERT INTO {index}.positions AS p (consumer_group, topic, partition, next_offset, saved_at)
    SELECT $1, $2, k.partition, k.next_offset, now()
    FROM k, fit
    WHERE fit.fits
    ON CONFLICT (consumer_group, topic, partition) DO UPDATE SET
        next_offset = excluded.next_offset,
        saved_at = excluded.saved_at
)
SELECT fits FROM fit

-- server --
SELECT pg_postmaster_start_time()::text

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
