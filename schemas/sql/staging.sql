-- stage --
-- Keep a vector until its document is written. One that is there stays, unless it is older than $3.
INSERT INTO {index}.staged AS s (hash, embedding, at)
VALUES ($1, $2, greatest(now(), $3::timestamptz))
ON CONFLICT (hash) DO UPDATE SET embedding = excluded.embedding, at = excluded.at
WHERE s.at < $3::timestamptz

-- staged --
-- Which of these are kept; what is older than $2 is not.
SELECT s.hash
FROM unnest($1::text::bytea[]) AS k(hash)
CROSS JOIN LATERAL (
    SELECT hash
    FROM {index}.staged AS kept
    WHERE kept.hash = k.hash AND (kept.at < $2::timestamptz) IS NOT TRUE
    LIMIT 1
) AS s

-- hold_staged --
-- The same, held to the end of the transaction: who waits here for another document finds them gone. In one order.
SELECT hash
FROM {index}.staged
WHERE hash = ANY ($1::text::bytea[]) AND (at < $2::timestamptz) IS NOT TRUE
ORDER BY hash
FOR UPDATE

-- write_staged_chunks --
-- Chunks whose vectors are kept: they never leave the database.
INSERT INTO {index}.chunks AS c (tenant, document_id, ordinal, text, hash, tokens, embedding, embedded_at)
SELECT k.tenant, k.id, k.ordinal, k.text, k.hash, k.tokens, s.embedding, s.at
FROM unnest($1::text::text[], $2::text::text[], $3::text::integer[], $4::text::text[], $5::text::bytea[],
            $6::text::integer[])
     AS k(tenant, id, ordinal, text, hash, tokens)
CROSS JOIN LATERAL (
    SELECT embedding, at FROM {index}.staged AS kept WHERE kept.hash = k.hash LIMIT 1
) AS s
ON CONFLICT (tenant, document_id, ordinal) DO UPDATE SET
    text = excluded.text,
    hash = excluded.hash,
    tokens = excluded.tokens,
    embedding = excluded.embedding,
    embedded_at = excluded.embedded_at

-- drop_staged --
DELETE FROM {index}.staged WHERE hash = ANY ($1::text::bytea[])

-- settle_embedded_at --
-- When the oldest chunk was embedded, of documents of which that could not be known before their chunks were written.
UPDATE {index}.documents AS d
SET embedded_at = (
    SELECT min(c.embedded_at) FROM {index}.chunks AS c WHERE c.tenant = d.tenant AND c.document_id = d.id)
FROM unnest($1::text::text[], $2::text::text[]) AS k(tenant, id)
WHERE d.tenant = k.tenant AND d.id = k.id

-- sweep_staged --
-- What nobody came for; what somebody holds is left to him.
DELETE FROM {index}.staged
WHERE hash IN (
    SELECT hash FROM {index}.staged WHERE at < now() - $1::interval LIMIT 10000 FOR UPDATE SKIP LOCKED)
