-- begin_reconcile --
-- What the topic says of each document, as far as it was read; nobody else sees these tables.
-- Room is left in each page: a record that replaces another one of its document stays on the page of that.
SET temp_buffers = '32MB';
CREATE TEMP TABLE sightings (
    tenant text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    version bigint,
    topic text COLLATE "C" NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    "timestamp" bigint NOT NULL,
    log_append_time boolean NOT NULL,
    fence_ts bigint NOT NULL,
    replay_ts bigint NOT NULL,
    content_hash bytea,
    lies_in integer NOT NULL,
    lies_at bigint NOT NULL,
    due boolean NOT NULL,
    PRIMARY KEY (tenant, id)
) WITH (fillfactor = 70);
CREATE TEMP TABLE undecodable (
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    PRIMARY KEY (partition, "offset")
);
CREATE TEMP TABLE letters (
    topic text COLLATE "C" NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    "timestamp" bigint NOT NULL,
    open boolean NOT NULL
);
CREATE INDEX letters_by_origin ON letters (partition, "offset");

-- note_sightings --
-- Keep of each document the record that wins, as write_documents does.
INSERT INTO sightings AS d
SELECT *
FROM unnest($1::text::text[], $2::text::text[], $3::text::bigint[], $4::text::text[], $5::text::integer[],
            $6::text::bigint[], $7::text::bigint[], $8::text::boolean[], $9::text::bigint[], $10::text::bigint[],
            $11::text::bytea[], $12::text::integer[], $13::text::bigint[], $14::text::boolean[])
ON CONFLICT (tenant, id) DO UPDATE SET
    version = CASE WHEN excluded.content_hash IS NULL THEN coalesce(excluded.version, d.version) ELSE excluded.version END,
    topic = excluded.topic,
    partition = excluded.partition,
    "offset" = excluded."offset",
    "timestamp" = excluded."timestamp",
    log_append_time = excluded.log_append_time,
    fence_ts = greatest(d.fence_ts, excluded.fence_ts),
    replay_ts = excluded.replay_ts,
    content_hash = excluded.content_hash,
    lies_in = excluded.lies_in,
    lies_at = excluded.lies_at,
    due = excluded.due
WHERE {index}.fence(
          excluded.version, excluded.topic, excluded.partition, excluded."offset", excluded."timestamp",
          excluded.log_append_time, excluded.fence_ts,
          d.version, d.topic, d.partition, d."offset", d."timestamp", d.fence_ts) = 'newer'

-- note_copy --
-- A replayed copy of the record that is kept: it is resolved when all of them are.
UPDATE sightings SET lies_in = $7, lies_at = $8, due = due AND $9
WHERE tenant = $1 AND id = $2 AND topic = $3 AND partition = $4 AND "offset" = $5 AND "timestamp" = $6

-- note_undecodable --
INSERT INTO undecodable SELECT * FROM unnest($1::integer[], $2::bigint[])

-- note_letters --
INSERT INTO letters
SELECT * FROM unnest($1::text[], $2::integer[], $3::bigint[], $4::bigint[], $5::boolean[])

-- find --
-- Every document that is not simply right, in the order of the topic; one statement sees one state of the index.
CREATE TEMP TABLE findings AS
SELECT row_number() OVER (ORDER BY s.lies_in, s.lies_at, d.tenant, d.id) AS number,
       coalesce(s.tenant, d.tenant) AS tenant, coalesce(s.id, d.id) AS id,
       s.version, s.topic, s.partition, s."offset", s."timestamp", s.log_append_time, s.fence_ts, s.replay_ts,
       s.content_hash, s.lies_in, s.lies_at, s.due,
       d.origin_topic, d.origin_partition, d.origin_offset, d.origin_timestamp,
       d.log_append_time AS row_log_append_time, d.content_hash AS row_content_hash,
       d.deleted_at IS NOT NULL AS deleted, d.chunk_count, coalesce(c.chunks, 0)::integer AS chunks, d.revision,
       CASE WHEN s.tenant IS NOT NULL AND d.tenant IS NOT NULL THEN {index}.fence(
           s.version, s.topic, s.partition, s."offset", s."timestamp", s.log_append_time, s.replay_ts,
           d.version, d.origin_topic, d.origin_partition, d.origin_offset, d.origin_timestamp, d.fence_ts)
       END AS verdict
FROM sightings AS s
FULL JOIN {index}.documents AS d ON d.tenant = s.tenant AND d.id = s.id
LEFT JOIN (SELECT tenant, document_id, count(*) AS chunks FROM {index}.chunks GROUP BY tenant, document_id) AS c
    ON c.tenant = d.tenant AND c.document_id = d.id
WHERE CASE
          WHEN d.tenant IS NULL THEN s.content_hash IS NOT NULL
          WHEN s.tenant IS NULL THEN d.deleted_at IS NULL
          ELSE (d.origin_topic, d.origin_partition, d.origin_offset, d.origin_timestamp)
                   IS DISTINCT FROM (s.topic, s.partition, s."offset", s."timestamp")
               OR d.content_hash IS DISTINCT FROM s.content_hash
               OR (d.deleted_at IS NULL) <> (s.content_hash IS NOT NULL)
               OR d.chunk_count <> coalesce(c.chunks, 0)
      END

-- sort_findings --
ALTER TABLE findings ADD PRIMARY KEY (number)

-- weigh_sightings --
ANALYZE sightings

-- let_plan --
-- A worker probes by key; this reads whole tables.
SET LOCAL enable_seqscan = on;
SET LOCAL work_mem = '32MB';

-- count_sightings --
SELECT (SELECT count(*) FROM sightings) AS sightings,
       (SELECT count(*) FROM sightings WHERE content_hash IS NULL) AS deletions,
       (SELECT count(*) FROM undecodable) AS undecodable

-- count_live --
SELECT count(*) FROM {index}.documents WHERE deleted_at IS NULL

-- findings_after --
-- The next findings, each with what became of the dead letter of its record: true is open, false is given up.
SELECT f.*,
       (SELECT bool_or(l.open) FROM letters AS l
        WHERE l.partition = f.partition AND l."offset" = f."offset"
              AND l."timestamp" = f."timestamp" AND l.topic = f.topic) AS letter,
       EXISTS (SELECT FROM undecodable AS u
               WHERE u.partition = f.origin_partition AND u."offset" = f.origin_offset)
           AS undecodable
FROM findings AS f
WHERE f.number > $1
ORDER BY f.number
LIMIT $2

-- forget --
-- Let a row no longer pass for the record that it comes from, so that this record is not taken for a redelivery. What
-- readers see stays until the worker has written it; a row that changed meanwhile is left alone.
UPDATE {index}.documents AS d
SET origin_timestamp = d.origin_timestamp - 1,
    content_hash = CASE WHEN d.content_hash IS NULL THEN NULL ELSE ''::bytea END,
    revision = d.revision + 1
FROM unnest($1::text::text[], $2::text::text[], $3::integer[]) AS k(tenant, id, revision)
WHERE d.tenant = k.tenant AND d.id = k.id AND d.revision = k.revision
