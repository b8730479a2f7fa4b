# SPDX-License-Identifier: Apache-2.0
"""Looking for bytes in the memory of a process: all that it can write to, which is what a core dump holds and the pages
that it keeps out of core dumps besides. Read through /proc/PID/mem, which works wherever these tests run: a real core
dump depends on the machine (core_pattern, limits); the unit tests of the keyring look into one where there is one."""
import array
import contextlib
import ctypes
import itertools
import os
import re
import signal

from processes import wait_until

PIECE = 16  # bytes of a secret that are enough to know it by; both its ends are looked for
_CHUNK = 1 << 20
_PAGE = os.sysconf("SC_PAGE_SIZE")
_LARGEST = 4 << 30  # a mapping above this is the shadow memory of a sanitizer: no copy of anything is there
_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long
_TRACEME, _CONT, _SYSCALL, _SETOPTIONS, _SEIZE = 0, 7, 24, 0x4200, 0x4206
_SYSGOOD, _TRACEEXIT, _EXITKILL = 0x01, 0x40, 0x100000
_EVENT_EXIT = 6


def pieces(secret):
    """What a secret, or a form of it, is found by."""
    return [secret[:PIECE], secret[-PIECE:]]


class Mapping:
    def __init__(self, line):
        self.start, self.end = (int(value, 16) for value in line.split(None, 1)[0].split("-"))
        self.writable = line.split()[1][1] == "w"
        self.dumped = False

    def _runs(self, pages):
        """(start, end) of what was touched; the rest is zero."""
        for start in range(self.start, self.end, _CHUNK):
            count = (min(self.end, start + _CHUNK) - start) // _PAGE
            entries = array.array("Q", os.pread(pages, 8 * count, start // _PAGE * 8))
            for there, run in itertools.groupby(range(len(entries)), lambda page: entries[page] >> 62 != 0):
                run = list(run)
                if there:
                    yield start + run[0] * _PAGE, start + (run[-1] + 1) * _PAGE

    def chunks(self, memory, pages):
        """Its bytes. Each piece goes on a little into the next one, in which a secret may end."""
        for start, end in self._runs(pages):
            with contextlib.suppress(OSError):  # a guard page
                yield os.pread(memory, min(self.end, end + 64) - start, start)


def _mappings(pid):
    """Those that the process can write to."""
    found = []
    with open(f"/proc/{pid}/smaps", encoding="ascii", errors="replace") as file:
        for line in file:
            if re.match("[0-9a-f]+-[0-9a-f]+ ", line):
                found.append(Mapping(line))
            elif line.startswith("VmFlags:"):
                found[-1].dumped = " dd" not in line
    return [mapping for mapping in found if mapping.writable and mapping.end - mapping.start <= _LARGEST]


def search(pid, needles, *, dumped=False, largest=_LARGEST):
    """The names of the needles ({name: [bytes]}) that are in the writable memory of a process that stands still.
    dumped: in what a core dump would hold; largest: only in mappings of at most so many bytes."""
    found = set()
    with open(f"/proc/{pid}/mem", "rb") as memory, open(f"/proc/{pid}/pagemap", "rb") as pages:
        for mapping in _mappings(pid):
            if (dumped and not mapping.dumped) or mapping.end - mapping.start > largest:
                continue
            for chunk in mapping.chunks(memory.fileno(), pages.fileno()):
                found.update(name for name, values in needles.items() if any(value in chunk for value in values))
    return found


@contextlib.contextmanager
def standing(process):
    """A process of servers.py that stands still meanwhile."""
    pid = process.process.pid
    process.pause()
    try:
        def stopped():
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
                return file.read().rsplit(")", 1)[1].split()[0] == "T"
        wait_until(stopped, f"{process.name} to stand still")
        yield pid
    finally:
        process.resume()


# ---- until the end of a process ----

def _ptrace(request, pid, data=0):
    if _libc.ptrace(request, pid, None, data) < 0:
        raise OSError(ctypes.get_errno(), f"ptrace: {os.strerror(ctypes.get_errno())}")


def traced():
    """For preexec_fn: the parent follows it, see follow()."""
    _ptrace(_TRACEME, 0)


def seize(pid):
    """Follows a process that runs already."""
    _ptrace(_SEIZE, pid, _TRACEEXIT)


def follow(pid, at_exit, at_call=None):
    """Lets a traced process run to its end; at_exit() is called when it is about to end and its memory is still there,
    at_call() at each system call of its first thread. Returns the exit status."""
    proceed = _SYSCALL if at_call else _CONT
    began = at_call is None
    while True:
        _, status = os.waitpid(pid, 0)
        if not os.WIFSTOPPED(status):
            return os.waitstatus_to_exitcode(status)
        number, event, deliver = os.WSTOPSIG(status), status >> 16, 0
        if event == _EVENT_EXIT:
            at_exit()
        elif not began and number == signal.SIGTRAP:  # the start of the program
            _ptrace(_SETOPTIONS, pid, _SYSGOOD | _TRACEEXIT | _EXITKILL)
            began = True
        elif number == signal.SIGTRAP | 0x80:
            at_call()
        elif event == 0:
            deliver = number
        _ptrace(proceed, pid, deliver)
