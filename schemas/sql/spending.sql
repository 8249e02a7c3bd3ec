-- spend --
-- Add to today's rows; the answer is the whole day, over all tenants. Rows are locked in one order.
WITH today AS (
    SELECT (statement_timestamp() AT TIME ZONE 'UTC')::date AS day
),
added AS (
    INSERT INTO {index}.spent AS s (day, tenant, tokens, texts, money)
    SELECT today.day, a.tenant, a.tokens, a.texts, a.money
    FROM today, unnest($1::text::text[], $2::text::bigint[], $3::text::bigint[], $4::text::numeric[])
        AS a(tenant, tokens, texts, money)
    ORDER BY a.tenant COLLATE "C"
    ON CONFLICT (day, tenant) DO UPDATE SET
        tokens = s.tokens + excluded.tokens,
        texts = s.texts + excluded.texts,
        money = s.money + excluded.money
    RETURNING s.tenant, s.tokens, s.texts, s.money
)
SELECT coalesce(sum(tokens), 0)::bigint AS tokens, coalesce(sum(texts), 0)::bigint AS texts,
       coalesce(sum(money), 0) AS money
FROM (
    SELECT tokens, texts, money FROM added
    UNION ALL
    -- Of the rows that were added to, this sees what they were before.
    SELECT s.tokens, s.texts, s.money
    FROM {index}.spent AS s, today
    WHERE s.day = today.day AND NOT EXISTS (SELECT FROM added WHERE added.tenant = s.tenant)
) AS whole

-- spent --
-- The last days, today among them, the newest first.
SELECT day, tenant, tokens, texts, money
FROM {index}.spent
WHERE day > (statement_timestamp() AT TIME ZONE 'UTC')::date - $1::integer
ORDER BY day DESC, tenant
