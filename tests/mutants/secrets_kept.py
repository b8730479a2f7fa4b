# SPDX-License-Identifier: Apache-2.0
"""Secrets of signature keys: in memory only where and while they are needed."""
from table import row

KEYRING = "policy/keyring.c"
RELOAD = "test_secrets_wiped.py::test_keys_that_a_reload_replaces_are_wiped"
EXIT = "test_secrets_wiped.py::test_nothing_is_left_at_the_exit"
COMMAND = "test_secrets_wiped.py::test_the_command_line_leaves_nothing"

ROWS = [
    row("secret-no-dump", "secrets are in pages that core dumps leave out", "base/secret.c",
        "(void)madvise(memory, size, MADV_DONTDUMP);", "", RELOAD),
    row("secret-stack", "what OpenSSL leaves of a key on the stack is wiped", "base/secret.c",
        "explicit_bzero(stack, sizeof(stack));", "stack[0] = 0; (void)stack;", f"{COMMAND}[sign raw]", RELOAD),
    row("secret-released", "the secrets of a keyring go with its last user", KEYRING,
        "    secret_unmap(keyring->secrets, keyring->count * KEY_SECRET_MAX, keyring->count * KEY_SECRET_MAX);\n"
        "    arena_free", "    arena_free", RELOAD, EXIT),
    row("secret-cache", "... and so do the keys that are ready", KEYRING,
        "key_cache_close(keyring->cache);", ";", RELOAD, EXIT),
    row("secret-snapshot", "a keyring that a reload replaces is released", "proxy/service.c",
        "    keyring_release(snapshot->keys);\n", "", RELOAD, EXIT),
    row("secret-file", "the text of a secret's file is wiped", "policy/key_secret.c",
        "secret_unmap(text, FILE_SIZE_MAXIMUM, FILE_SIZE_MAXIMUM);", "", RELOAD, EXIT),
    row("secret-ready", "what the cache was made from is wiped", KEYRING,
        "    mps1_key_wipe(&ready);\n", "", RELOAD, f"{COMMAND}[verify --keys]"),
    row("secret-sign-key", "sign wipes the key that it has signed with", "proxy/cli/sign.c",
        "    mps1_key_wipe(&key);\n", "",
        f"{COMMAND}[sign raw]", f"{COMMAND}[sign --keys]"),
    row("secret-derive", "keys derive wipes what it has derived", "proxy/cli/keys_derive.c",
        "    secret_wipe(secret, sizeof(secret));\n", "", f"{COMMAND}[derive]"),
    row("secret-derive-hex", "... and its text", "proxy/cli/keys_derive.c",
        "    secret_wipe(hex, sizeof(hex));\n    secret_wipe(line, sizeof(line));\n", "", f"{COMMAND}[derive]"),
]
