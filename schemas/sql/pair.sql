-- A pair of views over one index, tombstones left out. The embedding is a vector without a length, so that an index of
-- other dimensions can take this one's place.
CREATE OR REPLACE VIEW {documents_view} AS
SELECT {index_name}::text AS index, {model}::text AS model, {dimensions}::integer AS dimensions,
       tenant, id, version, title, metadata, chunk_count,
       origin_topic, origin_partition, origin_offset, origin_timestamp, embedded_at, stored_at
FROM {index}.documents
WHERE deleted_at IS NULL;

CREATE OR REPLACE VIEW {chunks_view} AS
SELECT {index_name}::text AS index, {model}::text AS model, {dimensions}::integer AS dimensions,
       tenant, document_id, ordinal, text, tokens, embedding::{plain_vector} AS embedding, embedded_at
FROM {index}.chunks;
