"""By what are chunks put in the order of their distance?

pgvector indexes ``vector`` up to 2,000 dimensions as it is. Above, and for ``halfvec``, the index is over the number in
half precision of what the readers' views show, so that one index serves a search here and a query on the views alike:
``ORDER BY embedding::halfvec(3072) <=> $1``. A query has to be written as the index is, or PostgreSQL does without it.
"""

from schemas.catalog import LARGEST_INDEXED
from schemas.errors import StoreMisconfigured


def is_halved(vector_type: str, dimensions: int) -> bool:
    """Say whether a vector index holds numbers in half precision."""
    return vector_type == "halfvec" or dimensions > LARGEST_INDEXED["vector"]


def operand(column: str, vector_type: str, dimensions: int, vector_schema: str) -> str:
    """Return what is indexed, and what a query orders by. *vector_schema* is quoted already.

    Beyond what can be indexed it is the column itself: every chunk is compared.
    """
    if not is_halved(vector_type, dimensions) or dimensions > LARGEST_INDEXED["halfvec"]:
        return column
    return f"({column}::{vector_schema}.vector::{vector_schema}.halfvec({dimensions}))"


def operator_class(vector_type: str, dimensions: int, vector_schema: str) -> str:
    """Return the operator class for cosine distance. Raises StoreMisconfigured where pgvector can index nothing."""
    if dimensions > LARGEST_INDEXED["halfvec"]:
        raise StoreMisconfigured(
            f"pgvector indexes at most {LARGEST_INDEXED['halfvec']:,} dimensions, these vectors have {dimensions:,}: "
            "searches compare every chunk; make an index of fewer (provider.dimensions), if the model can"
        )
    kind = "halfvec" if is_halved(vector_type, dimensions) else "vector"
    return f"{vector_schema}.{kind}_cosine_ops"
