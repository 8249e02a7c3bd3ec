-- read_steadily --
-- A reader's plans for one transaction: rows come in the order of their key, none is held back to be sorted, and a
-- reader that waits for its disk is not thrown out.
SELECT set_config('enable_sort', 'off', true),
       set_config('enable_hashjoin', 'off', true),
       set_config('plan_cache_mode', 'force_custom_plan', true),
       set_config('idle_in_transaction_session_timeout', '0', true)

-- moment --
-- When a snapshot was taken, and which index it is of: one that was made anew is another.
SELECT clock_timestamp() AS at, created_at FROM {index}.about

-- all_positions --
SELECT consumer_group, topic, partition, next_offset FROM {index}.positions ORDER BY 1, 2, 3

-- count_rows --
-- How many chunks belong to what is asked for: a tenant ($1), metadata that contains one of $2.
SELECT count(*)
FROM {index}.chunks AS c
JOIN {index}.documents AS d ON d.tenant = c.tenant AND d.id = c.document_id
WHERE ($1::text IS NULL OR c.tenant = $1) AND ($2::jsonb[] IS NULL OR d.metadata @> ANY ($2))

-- rows --
-- The chunks in the order of their key with what belongs to them, behind the document ($3, $4) if there is one.
SELECT c.tenant, c.document_id, c.ordinal, d.revision, d.chunk_count, d.version,
       d.origin_topic, d.origin_partition, d.origin_offset, d.origin_timestamp,
       d.title, d.metadata, CASE WHEN $5::boolean THEN c.text END AS text, c.embedding
FROM {index}.chunks AS c
JOIN {index}.documents AS d ON d.tenant = c.tenant AND d.id = c.document_id
WHERE ($1::text IS NULL OR c.tenant = $1) AND ($2::jsonb[] IS NULL OR d.metadata @> ANY ($2))
  AND ($3::text IS NULL OR (c.tenant, c.document_id) > ($3, $4::text))
ORDER BY c.tenant, c.document_id, c.ordinal

-- states --
-- What tells whether a document is still as it was read, in the order of the keys.
SELECT tenant, id, revision, origin_topic, origin_partition, origin_offset, origin_timestamp, chunk_count
FROM {index}.documents AS d
WHERE chunk_count > 0 AND ($1::text IS NULL OR tenant = $1) AND ($2::jsonb[] IS NULL OR metadata @> ANY ($2))
ORDER BY tenant, id
