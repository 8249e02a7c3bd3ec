-- The tables of one index.

-- One row a document, narrow: bookkeeping never rewrites a vector.
-- embedded_at: no chunk of this document was embedded earlier. revision: how often this row was written.
CREATE TABLE {index}.documents (
    tenant text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    version bigint,
    origin_topic text COLLATE "C" NOT NULL,
    origin_partition integer NOT NULL,
    origin_offset bigint NOT NULL,
    origin_timestamp bigint NOT NULL,
    log_append_time boolean NOT NULL,
    fence_ts bigint NOT NULL,
    content_hash bytea,
    chunk_count integer NOT NULL,
    title text,
    metadata jsonb,
    deleted_at timestamptz,
    embedded_at timestamptz,
    stored_at timestamptz NOT NULL,
    revision integer NOT NULL,
    PRIMARY KEY (tenant, id)
);

-- What a purge looks for, and what counts tombstones without reading the table.
CREATE INDEX documents_tombstones ON {index}.documents (deleted_at) WHERE deleted_at IS NOT NULL;

-- text is exactly what the provider was sent, hash is blake2b-128 of it.
CREATE TABLE {index}.chunks (
    tenant text COLLATE "C" NOT NULL,
    document_id text COLLATE "C" NOT NULL,
    ordinal integer NOT NULL,
    text text NOT NULL,
    hash bytea NOT NULL,
    tokens integer NOT NULL,
    embedding {vector} NOT NULL,
    embedded_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, document_id, ordinal)
);

-- The fingerprint: one row.
CREATE TABLE {index}.about (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    provider text NOT NULL,
    model text NOT NULL,
    dimensions integer NOT NULL,
    vector_type text NOT NULL,
    chunking text NOT NULL,
    tokenizer text NOT NULL,
    purged_before timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Up to where each consumer group has resolved each partition, as this database knows it.
CREATE TABLE {index}.positions (
    consumer_group text COLLATE "C" NOT NULL,
    topic text COLLATE "C" NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL,
    saved_at timestamptz NOT NULL,
    PRIMARY KEY (consumer_group, topic, partition)
);

-- Commands of operators to a fleet.
CREATE TABLE {index}.control (
    name text PRIMARY KEY,
    value text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    by text NOT NULL
);

-- Vectors of very long documents, until the document's transaction takes them.
CREATE TABLE {index}.staged (
    hash bytea PRIMARY KEY,
    embedding {vector} NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);

-- The fence: how a candidate stands to the row that is stored. The only SQL that knows; the planner inlines it.
-- 'redelivered' is the same record again, 'stale' may not replace the row, 'newer' may. A record that is read again
-- behind a clock that ran backwards goes by a later timestamp than its replay, which may have made the row: it is newer.
CREATE FUNCTION {index}.fence(
    version bigint, topic text, partition integer, "offset" bigint, "timestamp" bigint, log_append_time boolean,
    fence_ts bigint,
    row_version bigint, row_topic text, row_partition integer, row_offset bigint, row_timestamp bigint,
    row_fence_ts bigint
) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $fence$
    SELECT CASE
        WHEN topic = row_topic AND partition = row_partition AND "offset" = row_offset AND "timestamp" = row_timestamp
                AND fence_ts <= row_fence_ts
            THEN 'redelivered'
        WHEN version < row_version THEN 'stale'
        WHEN version > row_version THEN 'newer'
        WHEN topic = row_topic AND partition = row_partition THEN
            CASE
                WHEN "offset" < row_offset AND fence_ts <= row_fence_ts THEN 'stale'
                -- Appended over a minute before what already won: offsets that a topic made anew has started again.
                WHEN log_append_time AND fence_ts < row_fence_ts - 60000 THEN 'stale'
                ELSE 'newer'
            END
        WHEN fence_ts <> row_fence_ts THEN CASE WHEN fence_ts < row_fence_ts THEN 'stale' ELSE 'newer' END
        WHEN topic <> row_topic
            THEN CASE WHEN topic COLLATE "C" < row_topic COLLATE "C" THEN 'stale' ELSE 'newer' END
        WHEN partition < row_partition THEN 'stale'
        ELSE 'newer'
    END
$fence$;
