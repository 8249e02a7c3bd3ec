-- compared --
-- Each document that readers of either index see, and how that of the second index ({index}) stands to that of the
-- first ({reference}). Whose record is newer the fence says.
SELECT state, tenant, id, reference, index, changed_at
FROM (
    SELECT coalesce(a.tenant, b.tenant) AS tenant, coalesce(a.id, b.id) AS id,
           a.origin_topic || '/' || a.origin_partition || '/' || a.origin_offset AS reference,
           b.origin_topic || '/' || b.origin_partition || '/' || b.origin_offset AS index,
           CASE WHEN b.id IS NULL THEN a.embedded_at ELSE a.stored_at END AS changed_at,
           CASE
               WHEN b.id IS NULL THEN 'missing'
               WHEN a.id IS NULL THEN 'extra'
               WHEN a.origin_offset = b.origin_offset AND a.origin_partition = b.origin_partition
                    AND a.origin_topic = b.origin_topic AND a.origin_timestamp = b.origin_timestamp
                   THEN CASE WHEN {same_looks} AND {same_count} THEN 'same' ELSE 'differing' END
               WHEN {same_looks} AND {same_text} THEN 'same'
               WHEN {index}.fence(
                        a.version, a.origin_topic, a.origin_partition, a.origin_offset, a.origin_timestamp,
                        a.log_append_time, a.fence_ts,
                        b.version, b.origin_topic, b.origin_partition, b.origin_offset, b.origin_timestamp,
                        b.fence_ts) = 'newer' THEN 'stale'
               ELSE 'ahead'
           END AS state
    FROM {reference}.documents AS a
    FULL JOIN {index}.documents AS b ON b.tenant = a.tenant AND b.id = a.id
    WHERE a.deleted_at IS NULL AND a.id IS NOT NULL OR b.deleted_at IS NULL AND b.id IS NOT NULL
) AS every

-- same_looks --
(a.deleted_at IS NULL) = (b.deleted_at IS NULL) AND a.title IS NOT DISTINCT FROM b.title
                    AND a.metadata IS NOT DISTINCT FROM b.metadata

-- same_text_by_content --
-- Of one fingerprint: the hash of the content tells.
a.content_hash IS NOT DISTINCT FROM b.content_hash

-- same_text_by_chunks --
-- Cut in the same way, for another model: the texts of the chunks tell.
(SELECT array_agg(c.hash ORDER BY c.ordinal) FROM {reference}.chunks AS c
                     WHERE c.tenant = a.tenant AND c.document_id = a.id)
                    IS NOT DISTINCT FROM
                    (SELECT array_agg(c.hash ORDER BY c.ordinal) FROM {index}.chunks AS c
                     WHERE c.tenant = b.tenant AND c.document_id = b.id)

-- same_number_of_chunks --
a.chunk_count = b.chunk_count

-- coverage --
-- How many documents are in which state; with a time, of those that lack something only such as had it at that time.
SELECT state, count(*) AS documents
FROM ({compared}) AS c
WHERE $1::timestamptz IS NULL OR changed_at <= $1 OR state NOT IN ('missing', 'stale')
GROUP BY state

-- differences --
SELECT state, tenant, id, reference, index
FROM ({compared}) AS c
WHERE state <> 'same'
ORDER BY state, tenant, id
LIMIT $1

-- reader_session --
-- For this transaction: whole tables are read, and one reader may take its time.
SELECT set_config('enable_seqscan', 'on', true), clock_timestamp() AS at

-- common --
-- Documents that both indexes have from one record, at random.
SELECT a.tenant, a.id
FROM {reference}.documents AS a
JOIN {index}.documents AS b ON b.tenant = a.tenant AND b.id = a.id
WHERE a.chunk_count > 0 AND b.chunk_count > 0
  AND a.origin_topic = b.origin_topic AND a.origin_partition = b.origin_partition
  AND a.origin_offset = b.origin_offset AND a.origin_timestamp = b.origin_timestamp
ORDER BY random()
LIMIT $1

-- first_vectors --
-- The vector of each document's first chunk, packed as pgvector sends one; a document that is gone is left out.
SELECT k.tenant, k.id, {vector_schema}.vector_send(c.embedding::{vector_schema}.vector) AS sent
FROM unnest($1::text[], $2::text[]) AS k(tenant, id)
JOIN {index}.chunks AS c ON c.tenant = k.tenant AND c.document_id = k.id AND c.ordinal = 0
