"""What do the stacks of a sampled worker say? The time of a document, by step and by function."""

from collections import Counter
from pathlib import Path

from compose.bench.results import Profile, Step
from compose.bench.sampling import LOOP, OTHERS

CONSUMER = "aiokafka/consumer/"
STORE = "consumers/stores/pgvector.py:PgVectorStore."
EMBEDDING = "consumers/embedding.py:Embedding."
STEPS = {
    "poll": (CONSUMER, "aiokafka/record/", "aiokafka/codec", "consumers/kafka/source"),
    "decode": ("consumers/core/decoding", "schemas/rules"),
    "look-up": ("consumers/writing.py:Writing._sort", f"{STORE}look_up", f"{STORE}stored_hashes"),
    "chunking": ("consumers/core/chunking", "semantic_text_splitter"),
    "batching": ("consumers/core/batching", *(EMBEDDING + name for name in ("submit", "_gather", "_next_batch"))),
    "reply to vectors": ("consumers/core/vectors",),
    "request and reply": ("consumers/providers/", "aiohttp/", "consumers/embedding"),
    "write": ("consumers/writing", f"{STORE}write"),
    "resolve and commit": ("consumers/settling", "consumers/kafka/", "consumers/core/tracking", "aiokafka/"),
    "intake": ("consumers/intake",),
    LOOP: (LOOP,),
    OTHERS: (OTHERS,),
}
"""What the frames of a step begin with. Of a stack the innermost frame counts that is of any step."""
REST = "everything else"
FUNCTIONS = 40


def profile_of(samples: Path, documents: int) -> Profile:
    """Read what the sampler has written."""
    own: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    steps: Counter[str] = Counter()
    for line in samples.read_text(encoding="utf-8").splitlines():
        stack, _, spent = line.rpartition(" ")
        names, us = stack.split(";"), int(spent)
        own[names[-1]] += us
        steps[step_of(names)] += us
        for name in set(names):
            whole[name] += us
    return Profile(
        documents=documents,
        us=round(steps.total() / documents, 1),
        steps=[
            Step(name=n, own_us=round(us / documents, 2), us=round(us / documents, 2)) for n, us in steps.most_common()
        ],
        functions=[
            Step(name=name, own_us=round(us / documents, 2), us=round(whole[name] / documents, 2))
            for name, us in own.most_common(FUNCTIONS)
        ],
    )


def step_of(names: list[str]) -> str:
    """Return the step that a stack belongs to, the outermost name first."""
    for name in reversed(names):
        for step, places in STEPS.items():
            if name.startswith(places):
                return step
    return REST
