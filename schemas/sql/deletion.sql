-- count_live_of_tenant --
SELECT count(*) FROM {index}.documents WHERE tenant = $1 AND deleted_at IS NULL

-- live_ids --
-- The documents of a tenant behind an id, a page at a time.
SELECT id FROM {index}.documents WHERE tenant = $1 AND deleted_at IS NULL AND id > $2 ORDER BY id LIMIT $3

-- live_ids_from_before --
-- The same, of those that come from records of a topic ($4) before an offset of their partition; or of another topic.
SELECT d.id
FROM {index}.documents AS d
LEFT JOIN unnest($5::integer[], $6::bigint[]) AS ends (partition, "offset") ON ends.partition = d.origin_partition
WHERE d.tenant = $1 AND d.deleted_at IS NULL AND d.id > $2
  AND (d.origin_topic <> $4 OR d.origin_offset < ends."offset")
ORDER BY d.id
LIMIT $3

-- live_among --
SELECT asked.id
FROM unnest($2::text[]) AS asked (id)
CROSS JOIN LATERAL (
    SELECT FROM {index}.documents AS stored
    WHERE stored.tenant = $1 AND stored.id = asked.id AND stored.deleted_at IS NULL
    LIMIT 1
) AS found

-- time_ago --
SELECT now() - make_interval(secs => $1)

-- count_old_tombstones --
-- Tombstones from before a time ($1): those that may go, those that guard against a record that is not older than $2
-- milliseconds, and those whose version guards whatever the time is, if anything is to be guarded against ($3).
SELECT count(*) FILTER (WHERE fence_ts < $2 AND NOT ($3 AND version IS NOT NULL)) AS going,
       count(*) FILTER (WHERE fence_ts >= $2) AS guarding,
       count(*) FILTER (WHERE fence_ts < $2 AND $3 AND version IS NOT NULL) AS versioned
FROM {index}.documents
WHERE deleted_at < $1::timestamptz

-- note_purge --
-- Before anything goes: from here on a tombstone that is older may be missing.
UPDATE {index}.about SET purged_before = greatest(purged_before, $1)

-- purged_before --
SELECT purged_before FROM {index}.about

-- purge_tombstones --
-- Remove at most $5 tombstones that may go, from a time on; what a worker has locked stays until the next purge.
WITH old AS (
    SELECT tenant, id
    FROM {index}.documents
    WHERE deleted_at >= $4::timestamptz AND deleted_at < $1::timestamptz
      AND fence_ts < $2 AND NOT ($3 AND version IS NOT NULL)
    ORDER BY deleted_at
    LIMIT $5
    FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM {index}.documents AS d USING old WHERE d.tenant = old.tenant AND d.id = old.id
    RETURNING d.deleted_at
)
SELECT count(*) AS gone, max(deleted_at) AS until FROM gone
