"""Which documents are published? Made up, the same each time, no two alike."""

import random
from collections.abc import Iterator

from compose.bench.results import CHANGED_ONE_IN, LENGTHS, Case, Workload
from schemas.documents import DEFAULT_TENANT, Document

SENTENCES, WORDS, LONGEST_WORD = 2_000, 12, 9
PARAGRAPH = 20
"""Sentences."""
LETTERS = "etaoinshrdlucmfw"
QUIET_TENANT = "quiet"
SMALL = (400, 1_400)
MIXED = ((90, 900), (9, 20_000), (1, 500_000))
"""How many of a hundred documents are of which length."""


def documents(case: Case, first: int = 0) -> Iterator[Document]:
    """Make up the documents of a case, numbered from *first* on."""
    rng = random.Random(case.documents)  # noqa: S311 - no secret
    vocabulary = ["".join(rng.choices(LETTERS, k=rng.randint(2, LONGEST_WORD))) for _ in range(SENTENCES)]
    sentences = [" ".join(rng.choices(vocabulary, k=WORDS)) + "." for _ in range(SENTENCES)]
    for n in range(first, first + case.documents):
        length = _length(case, rng)
        said = rng.choices(sentences, k=length // (3 * WORDS) + 1)
        paragraphs = (" ".join(said[start : start + PARAGRAPH]) for start in range(0, len(said), PARAGRAPH))
        text = f"{n} " + "\n\n".join(paragraphs)
        yield Document(tenant=DEFAULT_TENANT, id=f"document-{n}", text=text[:length].rstrip())
    if case.workload is Workload.QUIET:
        yield Document(tenant=QUIET_TENANT, id="document", text="The only document of a tenant that publishes little.")


def before(case: Case, document: Document, place: int) -> Document | None:
    """Return what the index holds of the document at this place before the run."""
    if case.workload in (Workload.LOAD, Workload.QUIET):
        return None
    if case.workload is Workload.UNCHANGED or (case.workload is Workload.CHANGED and place % CHANGED_ONE_IN):
        return document
    return Document(tenant=document.tenant, id=document.id, text=document.text[::-1].strip())


def size_of(case: Case) -> int:
    """Return the characters of all texts."""
    if case.sizes == "fixed":
        return case.documents * case.characters
    return sum(len(document.text) for document in documents(case))


def _length(case: Case, rng: random.Random) -> int:
    if case.sizes == "fixed":
        return case.characters
    if case.sizes == "small":
        return rng.randint(*SMALL)
    if case.sizes in LENGTHS:
        return LENGTHS[case.sizes]
    weights, lengths = zip(*MIXED, strict=True)
    [length] = rng.choices(lengths, weights)
    return int(length)
