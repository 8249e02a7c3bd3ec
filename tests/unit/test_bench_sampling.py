"""A profile puts CPU time down to who has spent it."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import asyncio, hashlib, os, signal, sys, time
from pathlib import Path
import uvloop
from compose.bench.sampling import Loop, Sampler

def spend(seconds):
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass

def much(): spend(0.45)
def little(): spend(0.15)
def in_c():
    until = time.thread_time() + 0.3
    while time.thread_time() < until:
        hashlib.pbkdf2_hmac("sha256", b"", b"", 10_000)

async def work():
    await asyncio.sleep(0.05)
    much()
    await asyncio.sleep(0.2)  # costs nothing
    little()
    in_c()

async def main():
    await asyncio.create_task(work())

uvloop.Loop = Loop
sampler = Sampler(Path(sys.argv[1]))
sampler.install()
os.kill(os.getpid(), signal.SIGUSR1)
uvloop.run(main())
os.kill(os.getpid(), signal.SIGUSR1)
sampler.write()
"""


def test_time_belongs_to_the_functions_that_spend_it_and_waiting_to_nobody(tmp_path: Path) -> None:
    stacks = tmp_path / "stacks"
    subprocess.run([sys.executable, "-c", PROGRAM, str(stacks)], check=True, timeout=60)  # noqa: S603 - our own words
    spent = dict.fromkeys(("much", "little", "in_c"), 0)
    total = 0
    for line in stacks.read_text("utf-8").splitlines():
        stack, _, us = line.rpartition(" ")
        total += int(us)
        for name in spent:
            spent[name] += int(us) if f":{name}" in stack else 0
    assert spent["much"] == pytest.approx(450_000, rel=0.15)
    assert spent["little"] == pytest.approx(150_000, rel=0.15)
    assert spent["in_c"] == pytest.approx(300_000, rel=0.15)
    assert total == pytest.approx(900_000, rel=0.15)
