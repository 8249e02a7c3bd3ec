"""What do the views say that readers use?"""

from schemas import sql
from schemas.catalog import views_of
from schemas.index import Fingerprint


def pair_script(index: str, fingerprint: Fingerprint, pair: str, plain_vector: str) -> str:
    """Return the SQL that makes a pair of views read an index, or makes the pair; readers and rights stay.

    *plain_vector* is the name of the type, with its schema where that is known.
    """
    documents, chunks = views_of(pair)
    values = {
        "index": sql.identifier(index),
        "index_name": sql.literal(index),
        "model": sql.literal(fingerprint.model),
        "dimensions": str(fingerprint.dimensions),
        "plain_vector": plain_vector,
        "documents_view": f"headrace.{sql.identifier(documents)}",
        "chunks_view": f"headrace.{sql.identifier(chunks)}",
    }
    return sql.fill(sql.script("pair.sql"), values)
