"""Become another program that dies with the one who asked for it.

Run by path in an interpreter of its own (``python -I -S launch.py ORDER``), so nothing but the standard library is
imported here. Between fork and exec of a program with threads little is safe to do; in a fresh process everything is.
The process id stays the same through exec, and so does the wish to die with the parent.

Non-obvious: Linux forgets that wish when the user changes, so it comes last. It is tied to the parent's *thread*: the
thread that spawns has to outlive the child. Elsewhere there is no such wish, and the next start ends what was left.
"""

import ctypes
import json
import os
import sys

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 47, 2
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2
CAPABILITY_VERSION_3 = 0x20080522


def _call(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _keep(libc: ctypes.CDLL, capability: int) -> None:
    """Hold on to one capability, also through exec: permitted, effective, inheritable and ambient."""
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    bits = 1 << capability
    _call(libc.capset(header, (ctypes.c_uint32 * 6)(bits, bits, bits, 0, 0, 0)), "capset")
    _call(libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0), "ambient capability")


def _change_user(libc: ctypes.CDLL, uid: int, gid: int, *, through_private_folders: bool) -> None:
    """Become *uid*, if need be with the right to pass folders that are closed to it.

    Opening root's folders to everybody would be the alternative, and would outlast us.
    """
    if through_private_folders:
        _call(libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0), "keep capabilities")
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    if through_private_folders:
        try:
            _keep(libc, CAP_DAC_READ_SEARCH)
        except OSError:  # containers commonly grant only the wider right
            _keep(libc, CAP_DAC_OVERRIDE)


def main(order: dict[str, object]) -> None:
    """Carry out an order: change user, tie this process to its parent, become ``argv``."""
    argv, parent = order["argv"], order["parent"]
    libc = ctypes.CDLL(None, use_errno=True)
    if isinstance(uid := order["uid"], int) and isinstance(gid := order["gid"], int):
        _change_user(libc, uid, gid, through_private_folders=bool(order["through_private_folders"]))
    if sys.platform == "linux":
        _call(libc.prctl(PR_SET_PDEATHSIG, order["death_signal"], 0, 0, 0), "die with the parent")
    if os.getppid() != parent:  # it died before the wish was known
        sys.exit(1)
    os.execv(argv[0], argv)  # type: ignore[index,arg-type]  # noqa: S606 - JSON has no narrower type; that is the purpose


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
