"""Do two indexes find the same? The nearest documents of the same queries in each, laid beside each other."""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from statistics import fmean

import msgspec

from compose.indexes import vectors_of
from consumers.providers.openai import OpenAIProvider
from consumers.stores.catalog import Catalog, settings_of
from consumers.stores.coverage import Comparison, first_vectors
from consumers.stores.pgvector import PgVectorStore
from schemas.errors import MalformedReply
from schemas.index import DocumentKey, Fingerprint
from schemas.settings import Settings

CHUNKS_A_DOCUMENT = 4
"""So many times the wanted documents are asked for in chunks: several may be of one document."""
TEXTS_A_CALL = 32


class Query(msgspec.Struct, frozen=True):
    """A query, and how alike the documents are that two indexes find for it.

    ``recall`` is the share of the first one's that the second finds as well, ``jaccard`` that of those found by both.
    """

    query: str
    recall: float
    jaccard: float


class Overlap(msgspec.Struct, frozen=True):
    """The mean over all queries for the ``k`` nearest documents, and the queries, the least alike first."""

    k: int
    recall: float
    jaccard: float
    queries: list[Query]


async def overlap(
    settings: Settings, reference: str, index: str, k: int, *, sample: int, texts: Sequence[str] | None = None
) -> Overlap | None:
    """Search both for the same: *texts*, embedded for each by its own model, or documents that both hold.

    None where they hold no document in common.
    """
    catalog = Catalog(settings.store)
    of = {name: await catalog.fingerprint(name) for name in (reference, index)}
    async with AsyncExitStack() as opened:
        sides = []
        for name, fingerprint in of.items():
            store = PgVectorStore(settings_of(settings.store, name, fingerprint))
            sides.append(await opened.enter_async_context(store))
        if texts is None:
            vectors = await _of_documents(settings, reference, index, sample)
        else:
            vectors = await _of_texts(settings, of, texts)
        queries = []
        for query, key, pair in vectors:
            found = [await _nearest(store, vector, k, key) for store, vector in zip(sides, pair, strict=True)]
            queries.append(_compared(query, *found))
    if not queries:
        return None
    queries.sort(key=lambda query: (query.jaccard, query.query))
    recall, jaccard = (fmean(values) for values in zip(*((one.recall, one.jaccard) for one in queries), strict=True))
    return Overlap(k, round(recall, 4), round(jaccard, 4), queries)


_Asked = tuple[str, DocumentKey | None, tuple[bytes, bytes]]
"""What is asked in words, the document that is not to be an answer, and the vector for each side."""


async def _of_documents(settings: Settings, reference: str, index: str, sample: int) -> list[_Asked]:
    keys = await Comparison(settings.store, reference, index).common(sample)
    one, other = [await first_vectors(settings.store, name, keys) for name in (reference, index)]
    return [("/".join(key), key, (one[key], other[key])) for key in keys if key in one and key in other]


async def _of_texts(settings: Settings, of: Mapping[str, Fingerprint], texts: Sequence[str]) -> list[_Asked]:
    embedded: dict[tuple[str, int], list[bytes]] = {}
    for fingerprint in of.values():
        model = (fingerprint.model, fingerprint.dimensions)
        if model not in embedded:
            embedded[model] = await _embedded(vectors_of(settings, fingerprint), texts)
    one, other = [embedded[fingerprint.model, fingerprint.dimensions] for fingerprint in of.values()]
    return [(text, None, pair) for text, pair in zip(texts, zip(one, other, strict=True), strict=True)]


async def _embedded(settings: Settings, texts: Sequence[str]) -> list[bytes]:
    vectors: list[bytes] = []
    async with OpenAIProvider(settings.provider) as provider:
        for start in range(0, len(texts), TEXTS_A_CALL):
            some = texts[start : start + TEXTS_A_CALL]
            reply = await provider.embed(some)
            for place, vector in enumerate(reply.vectors):
                if vector is None:
                    raise MalformedReply(
                        f"the provider has no usable vector for {some[place]!r}: {reply.faults.get(place, '')}"
                    )
                vectors.append(vector)
    return vectors


async def _nearest(store: PgVectorStore, vector: bytes, k: int, but: DocumentKey | None) -> list[DocumentKey]:
    hits = await store.search(vector, limit=(k + 1) * CHUNKS_A_DOCUMENT)
    return [key for key in dict.fromkeys((hit.tenant, hit.id) for hit in hits) if key != but][:k]


def _compared(query: str, reference: Sequence[DocumentKey], index: Sequence[DocumentKey]) -> Query:
    one, other = set(reference), set(index)
    both, either = len(one & other), len(one | other)
    return Query(query, round(both / len(one), 4) if one else 1.0, round(both / either, 4) if either else 1.0)
