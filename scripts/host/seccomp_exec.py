#!/usr/bin/env python3
"""Runs a command under a seccomp profile in docker's notation, as a container would, without a container.

    seccomp_exec.py PROFILE COMMAND [ARGUMENT...]

It needs libseccomp.so.2 and no right that a user lacks. It never loosens a filter that already holds.
"""

import ctypes
import json
import os
import platform
import sys

ACTIONS = {
    "SCMP_ACT_ALLOW": 0x7FFF0000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_LOG": 0x7FFC0000,
}
COMPARISONS = {
    "SCMP_CMP_NE": 1,
    "SCMP_CMP_LT": 2,
    "SCMP_CMP_LE": 3,
    "SCMP_CMP_EQ": 4,
    "SCMP_CMP_GE": 5,
    "SCMP_CMP_GT": 6,
    "SCMP_CMP_MASKED_EQ": 7,
}
ARCHITECTURES = {"SCMP_ARCH_X86_64": "x86_64", "SCMP_ARCH_AARCH64": "aarch64"}
EPERM = 1
# What libseccomp answers for a name this architecture does not have.
UNKNOWN_CALL = -1


class Comparison(ctypes.Structure):
    """scmp_arg_cmp of seccomp_rule_add_array(3)."""

    _fields_ = [
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    ]


class ProfileError(Exception):
    """The profile says something that is not understood, or the kernel refuses it."""


def to_action(name, errno):
    """The number of an action; refusals carry their errno in it."""
    if name not in ACTIONS:
        raise ProfileError(f"action {name} is not known; one of {', '.join(ACTIONS)}")
    return ACTIONS[name] | (errno if name == "SCMP_ACT_ERRNO" else 0)


def load_library():
    """libseccomp with the signatures that are used."""
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError as error:
        raise ProfileError(f"{error}; install libseccomp (Debian: libseccomp2)") from error
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = [ctypes.c_uint32]
    library.seccomp_syscall_resolve_name.argtypes = [ctypes.c_char_p]
    library.seccomp_rule_add_array.argtypes = [
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.POINTER(Comparison),
    ]
    library.seccomp_load.argtypes = [ctypes.c_void_p]
    return library


def add_rule(library, filter_, default, entry):
    """One entry of the profile: the same action for each of its names."""
    action = to_action(entry["action"], entry.get("errnoRet", EPERM))
    if action == default:
        return
    arguments = entry.get("args", [])
    comparisons = (Comparison * len(arguments))(
        *(
            Comparison(each["index"], COMPARISONS[each["op"]], each["value"], each.get("valueTwo", 0))
            for each in arguments
        )
    )
    for name in entry["names"]:
        number = library.seccomp_syscall_resolve_name(name.encode())
        # The profile serves every architecture, and older libraries know fewer calls.
        if number <= UNKNOWN_CALL:
            continue
        result = library.seccomp_rule_add_array(filter_, action, number, len(arguments), comparisons)
        if result != 0:
            raise ProfileError(f"rule for {name}: {os.strerror(-result)}")


def apply_profile(profile):
    """Filters this process and all it starts."""
    machine = platform.machine()
    served = [ARCHITECTURES.get(each["architecture"]) for each in profile["archMap"]]
    if machine not in served:
        raise ProfileError(f"the profile is not for {machine}")
    library = load_library()
    default = to_action(profile["defaultAction"], profile.get("defaultErrnoRet", EPERM))
    filter_ = library.seccomp_init(default)
    if not filter_:
        raise ProfileError("seccomp_init failed")
    for entry in profile["syscalls"]:
        add_rule(library, filter_, default, entry)
    result = library.seccomp_load(filter_)
    if result != 0:
        raise ProfileError(f"the kernel refuses the filter: {os.strerror(-result)}")


def main():
    """Reads the profile, filters itself, becomes the command."""
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    path, command = sys.argv[1], sys.argv[2:]
    try:
        with open(path, encoding="utf-8") as file:
            apply_profile(json.load(file))
        os.execvp(command[0], command)
    except (OSError, ValueError, KeyError, ProfileError) as error:
        sys.exit(f"seccomp_exec.py: {path}: {command[0]}: {error}")


if __name__ == "__main__":
    main()
