-- has_documents --
-- Whether the index holds anything, tombstones included.
SELECT EXISTS (SELECT FROM {index}.documents)

-- forget_positions --
DELETE FROM {index}.positions WHERE consumer_group = $1 AND topic = $2 AND partition = ANY ($3::integer[])
