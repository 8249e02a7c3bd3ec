"""The guard that fails a session which leaves processes behind."""

import subprocess

import psutil

from tests.stack.leftovers import end, leftovers


def test_a_process_that_has_lost_its_parent_is_found_and_ended() -> None:
    told = subprocess.run(
        ["/bin/sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $!"], capture_output=True, check=True, start_new_session=True
    )
    orphan = psutil.Process(int(told.stdout))
    assert orphan in leftovers(within=0)
    assert "sleep 60" in end([orphan])[0]
    psutil.wait_procs([orphan], timeout=5)
    assert orphan not in leftovers(within=0)


def test_a_child_is_found_though_its_environment_is_its_own() -> None:
    with subprocess.Popen(["/bin/sleep", "60"], env={}) as child:
        assert psutil.Process(child.pid) in leftovers(within=0)
        child.kill()
