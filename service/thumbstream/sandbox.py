"""The sandbox of a worker process, entered before the process reads untrusted bytes.

`drop_privileges` cannot be undone. On any POSIX system, it lowers the process's priority, removes
the settings (which contain secrets) from the environment, and limits memory, open files and core
dumps. On Linux, it also forbids, as far as the kernel supports it,

- network connections, new programs and access to other processes, by a seccomp filter: these
  system calls fail with EPERM;
- writing to the file system, and reading anything but libraries, Python packages and the folders
  that the caller names, by Landlock;
- root's capabilities, except for reading any file: with them, a worker could read the environment
  and the memory map of the service in ``/proc``. Landlock forbids this to other users.

Without Landlock, a worker reads the files that the user of the service may read. Running the
service as a separate user is left to the container or the service manager, since only root can
change users.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import platform
import resource
import stat
import struct
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

log = logging.getLogger(__name__)

SETTINGS_PREFIX = "THUMBSTREAM_"
NICENESS = 19
"""The lowest priority, so that the service answers reads before workers encode."""
MAX_OPEN_FILES = 64
"""Limit of open files: a worker needs its pipe and, while a model is loaded, the model's files."""

_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2
_SECCOMP_ALLOW = 0x7FFF0000
_SECCOMP_EPERM = 0x00050000 | errno.EPERM
_BPF_LOAD, _BPF_JUMP_EQUAL, _BPF_JUMP_GREATER_EQUAL, _BPF_RETURN = 0x20, 0x15, 0x35, 0x06
_X32_CALLS = 0x40000000
"""First system call number of the x32 ABI; the filter denies this and all higher numbers."""

_DENIED = {
    # machine: (AUDIT_ARCH_*, tgkill, (socket, connect, bind, execve, execveat, ptrace, kill, tkill,
    #           rt_sigqueueinfo, rt_tgsigqueueinfo, process_vm_readv, process_vm_writev,
    #           pidfd_send_signal, io_uring_setup, pidfd_getfd))
    "x86_64": (
        0xC000003E,
        234,
        (41, 42, 49, 59, 322, 101, 62, 200, 129, 297, 310, 311, 424, 425, 438),
    ),
    "aarch64": (
        0xC00000B7,
        131,
        (198, 203, 200, 221, 281, 117, 129, 130, 138, 240, 270, 271, 424, 425, 438),
    ),
}

_CAPABILITY_VERSION = 0x20080522
_READ_ANY_FILE = 1 << 1 | 1 << 2
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, with which root reads the files of all users."""

_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = 444, 445, 446
_LANDLOCK_CREATE_RULESET_VERSION = 1
_LANDLOCK_RULE_PATH_BENEATH = 1
_LANDLOCK_WRITES = 0x1FF2  # of ABI 1: everything but executing and reading files and folders
_LANDLOCK_EXECUTE = 0x1
_LANDLOCK_READ_FILE, _LANDLOCK_READ_FOLDER = 0x4, 0x8

_SYSTEM_LIBRARIES = tuple(
    Path(place)
    for place in (
        *("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache"),
        *("/sys/devices/system/cpu", "/proc/cpuinfo"),  # libraries count processors there
    )
)


def drop_privileges(memory_bytes: int, readable: Iterable[Path] | None = ()) -> None:
    """Drop all privileges that a worker does not need, for the rest of the process's life.

    ``memory_bytes``: limit of additional address space, on top of the current size. ``readable``:
    files, and folders with all in them, that the process may read besides libraries and Python
    packages; None: any.
    """
    forget_settings()
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, MAX_OPEN_FILES)
    if used := address_space():
        _limit(resource.RLIMIT_AS, used + memory_bytes)
    if sys.platform == "linux":
        _restrict_kernel_calls(readable)


def lower_priority() -> None:
    """Let every other process go first, for the rest of the process's life."""
    os.setpriority(os.PRIO_PROCESS, 0, NICENESS)


def hide_memory() -> None:
    """Forbid the workers to read this process's memory, where Landlock does not do so.

    Other processes of the same user cannot read it then either, and it leaves no core dump.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if not _supports_landlock(libc):
            libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def forget_settings() -> None:
    """Remove the service's settings from the environment of this process."""
    for name in [name for name in os.environ if name.startswith(SETTINGS_PREFIX)]:
        del os.environ[name]


def address_space() -> int | None:
    """Return this process's address space in bytes; None if the system does not report it."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:
        return None
    return pages * resource.getpagesize()


def _limit(kind: int, amount: int) -> None:
    _, hard = resource.getrlimit(kind)
    allowed = amount if hard == resource.RLIM_INFINITY else min(amount, hard)
    resource.setrlimit(kind, (allowed, allowed))


def _restrict_kernel_calls(readable: Iterable[Path] | None) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        log.debug("no seccomp and no Landlock: %s", os.strerror(ctypes.get_errno()))
        return
    _drop_capabilities(libc)
    _restrict_files(libc, readable)
    _deny_calls(libc)


def _drop_capabilities(libc: ctypes.CDLL) -> None:
    """Drop all capabilities of root but `_READ_ANY_FILE`; another user has none."""
    header = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
    held = ctypes.create_string_buffer(24)  # effective, permitted, inheritable; then the high words
    if libc.capget(header, held) == 0:
        effective, permitted = struct.unpack_from("=2I", held)
        kept = (effective & _READ_ANY_FILE, permitted & _READ_ANY_FILE, 0, 0, 0, 0)
        if libc.capset(header, struct.pack("=6I", *kept)) == 0:
            return
    log.debug("capabilities kept: %s", os.strerror(ctypes.get_errno()))


def _deny_calls(libc: ctypes.CDLL) -> None:
    """Install the seccomp filter, if `_DENIED` has an entry for this machine's architecture."""
    if platform.machine() not in _DENIED:
        return
    architecture, tgkill, denied = _DENIED[platform.machine()]
    low_word = 16 if sys.byteorder == "little" else 20  # of the first argument
    deny = len(denied) + 8  # index of the last instruction, which the jumps below skip to
    rules = [
        (_BPF_LOAD, 0, 0, 4),  # the architecture
        (_BPF_JUMP_EQUAL, 0, deny - 2, architecture),
        (_BPF_LOAD, 0, 0, 0),  # the number of the call
        (_BPF_JUMP_GREATER_EQUAL, deny - 4, 0, _X32_CALLS),
        *((_BPF_JUMP_EQUAL, deny - 5 - i, 0, number) for i, number in enumerate(denied)),
        (_BPF_JUMP_EQUAL, 0, 2, tgkill),  # allowed to this process only: abort() calls it
        (_BPF_LOAD, 0, 0, low_word),
        (_BPF_JUMP_EQUAL, 0, 1, os.getpid()),
        (_BPF_RETURN, 0, 0, _SECCOMP_ALLOW),
        (_BPF_RETURN, 0, 0, _SECCOMP_EPERM),
    ]
    code = b"".join(struct.pack("=HBBI", *rule) for rule in rules)
    program = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("@HP", len(rules), ctypes.addressof(program))
    if libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, header, 0, 0):
        log.debug("no seccomp filter: %s", os.strerror(ctypes.get_errno()))


def _supports_landlock(libc: ctypes.CDLL) -> bool:
    version = libc.syscall(_LANDLOCK_CREATE_RULESET, None, 0, _LANDLOCK_CREATE_RULESET_VERSION)
    return bool(version >= 1)


def _restrict_files(libc: ctypes.CDLL, readable: Iterable[Path] | None) -> None:
    """Forbid writing files, executing programs and reading, if the kernel supports Landlock.

    Libraries, Python packages and ``readable`` may still be read; if it is None, any file.
    """
    if not _supports_landlock(libc):
        log.debug("no Landlock: %s", os.strerror(ctypes.get_errno()))
        return
    restricted = _LANDLOCK_WRITES | _LANDLOCK_EXECUTE
    if readable is not None:
        restricted |= _LANDLOCK_READ_FILE | _LANDLOCK_READ_FOLDER
    attributes = struct.pack("=Q", restricted)  # a ruleset forbids what no rule allows
    ruleset = libc.syscall(_LANDLOCK_CREATE_RULESET, attributes, len(attributes), 0)
    if ruleset < 0:
        log.debug("no Landlock ruleset: %s", os.strerror(ctypes.get_errno()))
        return
    if readable is not None:
        for place in {*_SYSTEM_LIBRARIES, *_packages(), *readable}:
            _allow_reading(libc, ruleset, place)
    if libc.syscall(_LANDLOCK_RESTRICT_SELF, ruleset, 0):
        log.debug("Landlock refused: %s", os.strerror(ctypes.get_errno()))
    os.close(ruleset)


def _packages() -> Iterator[Path]:
    """Yield the folders of Python's path and library, and every imported package or module.

    The working folder, which may be in the path, is left out: it may contain the store.
    """
    library = tuple(f"{prefix}/lib" for prefix in (sys.prefix, sys.base_prefix))
    yield from (Path(place + suffix) for place in library for suffix in ("", "64"))
    yield from {Path(place).resolve() for place in sys.path} - {Path.cwd()}
    for name, module in list(sys.modules.items()):
        if "." not in name:
            places = getattr(module, "__path__", None) or [getattr(module, "__file__", None)]
            yield from (Path(place) for place in places if place and not place.startswith(library))


def _allow_reading(libc: ctypes.CDLL, ruleset: int, place: Path) -> None:
    try:
        descriptor = os.open(place, os.O_PATH | os.O_CLOEXEC)
    except OSError:  # it does not exist here
        return
    is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
    rights = _LANDLOCK_READ_FILE | (_LANDLOCK_READ_FOLDER if is_folder else 0)
    rule = struct.pack("=Qi", rights, descriptor)
    if libc.syscall(_LANDLOCK_ADD_RULE, ruleset, _LANDLOCK_RULE_PATH_BENEATH, rule, 0):
        log.debug("no reading of %s: %s", place, os.strerror(ctypes.get_errno()))
    os.close(descriptor)
