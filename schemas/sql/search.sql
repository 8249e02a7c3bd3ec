-- search --
-- The nearest chunks by cosine distance, of one tenant ($3) and with metadata that contains one of $4, where these are
-- not NULL: the plan is made for the values, so that a condition on nothing costs nothing. Metadata is looked at for a
-- candidate at a time, behind the index on the vectors. What is compared ({near} and {asked}) is what is indexed.
SELECT near.tenant, near.document_id, near.ordinal, 1 - near.distance AS score, d.title, near.text, d.metadata
FROM (
    SELECT c.tenant, c.document_id, c.ordinal, c.text, {near} OPERATOR({vector_schema}.<=>) {asked} AS distance
    FROM {index}.chunks AS c
    WHERE ($3::text IS NULL OR c.tenant = $3)
      AND ($4::jsonb[] IS NULL OR EXISTS (
          SELECT
          FROM {index}.documents AS its
          WHERE its.tenant = c.tenant AND its.id = c.document_id AND its.metadata @> ANY ($4)
      ))
    ORDER BY {near} OPERATOR({vector_schema}.<=>) {asked}
    LIMIT $2
) AS near
JOIN {index}.documents AS d ON d.tenant = near.tenant AND d.id = near.document_id
ORDER BY near.distance, near.tenant, near.document_id, near.ordinal

-- whole_search --
-- An index goes on looking until the limit is met, also behind a filter; for this transaction alone.
SELECT set_config('hnsw.iterative_scan', 'strict_order', true),
       set_config('ivfflat.iterative_scan', 'relaxed_order', true),
       set_config('plan_cache_mode', 'force_custom_plan', true)

-- wide_search --
-- How many candidates an HNSW index keeps at a time.
SELECT set_config('hnsw.ef_search', $1, true)

-- exact_search --
-- Only an index scan brings rows in the order of their distance: without it every row is compared.
SELECT set_config('enable_indexscan', 'off', true),
       set_config('enable_seqscan', 'on', true),
       set_config('plan_cache_mode', 'force_custom_plan', true)

-- nearly_indexed --
-- Whether an index on the chunks answers with most of the nearest rows, and gives up after so many.
SELECT EXISTS (
    SELECT
    FROM pg_index AS i
    JOIN pg_class AS c ON c.oid = i.indexrelid
    JOIN pg_am AS a ON a.oid = c.relam
    WHERE i.indrelid = to_regclass($1) AND a.amname IN ('hnsw', 'ivfflat')
)
