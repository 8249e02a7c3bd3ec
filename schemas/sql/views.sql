-- What readers use: the promoted index, tombstones left out. The first index that is made is the promoted one.
-- The embedding is a vector without a length, so that an index of other dimensions can take this one's place.
CREATE SCHEMA IF NOT EXISTS headrace;

DO {quote}
BEGIN
    IF to_regclass('headrace.documents') IS NULL THEN
        CREATE VIEW headrace.documents AS
        SELECT {index_name}::text AS index, {model}::text AS model, {dimensions}::integer AS dimensions,
               tenant, id, version, title, metadata, chunk_count,
               origin_topic, origin_partition, origin_offset, origin_timestamp, embedded_at, stored_at
        FROM {index}.documents
        WHERE deleted_at IS NULL;

        CREATE VIEW headrace.chunks AS
        SELECT {index_name}::text AS index, {model}::text AS model, {dimensions}::integer AS dimensions,
               tenant, document_id, ordinal, text, tokens, embedding::{plain_vector} AS embedding, embedded_at
        FROM {index}.chunks;
    END IF;
END
{quote};
