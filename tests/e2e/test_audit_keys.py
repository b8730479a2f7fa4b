# SPDX-License-Identifier: Apache-2.0
"""mqward audit keys: made beforehand, they are the keys of the trail."""
import os
import shutil
import stat

import pytest

import raw
from servers import run_cli
from world import ALLOW_ALL

pytestmark = pytest.mark.brokerless
NAMES = dict.fromkeys(("chain.key", "chain.state", "checkpoint.key", "checkpoint.pub"), 0o600)


def test_new_makes_all_of_them_and_never_overwrites(tmp_path):
    result = run_cli("audit", "keys", "new", "--out", "keys", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    folder = tmp_path / "keys"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {name: stat.S_IMODE((folder / name).stat().st_mode) for name in os.listdir(folder)} == NAMES
    before = {name: (folder / name).read_bytes() for name in NAMES}
    result = run_cli("audit", "keys", "new", "--out", "keys", folder=tmp_path)
    assert result.returncode == 1 and "keys are not overwritten" in result.stderr
    for name in NAMES:  # one is enough, and then nothing is made
        other = tmp_path / f"other-{name}"
        other.mkdir()
        shutil.copy(folder / name, other)
        assert run_cli("audit", "keys", "new", "--out", str(other), folder=tmp_path).returncode == 1
        assert os.listdir(other) == [name]
    assert before == {name: (folder / name).read_bytes() for name in NAMES}


def test_show_says_what_they_are_and_no_secret(tmp_path):
    run_cli("audit", "keys", "new", "--out", "keys", folder=tmp_path)
    result = run_cli("audit", "keys", "show", *(f"keys/{name}" for name in NAMES), folder=tmp_path)
    assert result.returncode == 0, result.stderr
    for text in ("keys/chain.key: verification key", "keys/chain.state: state of a chain\n  not begun: the next start is start 2\n",
                 "keys/checkpoint.key: signing key", "keys/checkpoint.pub: public key"):
        assert text in result.stdout
    secret = (tmp_path / "keys" / "chain.key").read_text().split()[1]
    assert secret[:16] not in result.stdout
    assert bytes.fromhex(secret)[:8] not in (tmp_path / "keys" / "chain.state").read_bytes()  # it goes to the proxy
    identities = [line.split()[-1] for line in result.stdout.splitlines() if "mqward.checkpoint.key" in line]
    assert len(identities) == 2 and len(set(identities)) == 1
    (tmp_path / "other").write_text("hello\n")
    result = run_cli("audit", "keys", "show", "other", "keys/nothing", folder=tmp_path)
    assert result.returncode == 1
    assert "other: no key of the audit trail" in result.stderr and "keys/nothing: No such file" in result.stderr
    (tmp_path / "keys" / "chain.key").chmod(0o644)
    os.mkfifo(tmp_path / "pipe", 0o600)
    result = run_cli("audit", "keys", "show", "keys/chain.key", "pipe", folder=tmp_path)
    assert result.returncode == 1 and "keys/chain.key: no key of the audit trail that can be used: it is open to" in result.stderr
    assert "pipe: no key of the audit trail" in result.stderr


def test_show_of_a_damaged_state_says_that_it_is_one(tmp_path):
    """The next start goes on from the second sector: whoever is told that the file is none of ours deletes it."""
    run_cli("audit", "keys", "new", "--out", "keys", folder=tmp_path)
    state = tmp_path / "keys" / "chain.state"
    whole = state.read_bytes()
    state.write_bytes(b"x" * 512 + whole[512:])
    result = run_cli("audit", "keys", "show", "keys/chain.state", folder=tmp_path)
    assert result.returncode == 1 and result.stdout == ""
    assert "keys/chain.state: state of a chain, damaged; its start 1 is known" in result.stderr, result.stderr
    assert state.read_bytes() == b"x" * 512 + whole[512:]
    for damaged in (b"x" * 4096, b"x" * 512 + whole[512:540]):  # nothing is left, and cut
        state.write_bytes(damaged)
        result = run_cli("audit", "keys", "show", "keys/chain.state", folder=tmp_path)
        assert result.returncode == 1 and "keys/chain.state: no key of the audit trail" in result.stderr, result.stderr


def test_one_taken_for_another_is_told(tmp_path):
    """'audit verify' with the files exchanged: nothing is verified, and which file it was is said."""
    run_cli("audit", "keys", "new", "--out", "keys", folder=tmp_path)
    (tmp_path / "lines").write_text("")
    for option in ("--key", "--public-key"):
        for name, kind in (("chain.key", "verification key of a chain"), ("checkpoint.pub", "public key of checkpoints"),
                           ("checkpoint.key", "signing key of checkpoints"), ("chain.state", "state of a chain")):
            if name == {"--key": "chain.key", "--public-key": "checkpoint.pub"}[option]:
                continue
            result = run_cli("audit", "verify", option, f"keys/{name}", "lines", folder=tmp_path)
            assert result.returncode == 2 and result.stdout == "", result.stdout
            assert f"keys/{name}: it is no " in result.stderr and f": it is the {kind}" in result.stderr, result.stderr


def test_a_proxy_with_keys_made_beforehand(make_world, tmp_path):
    world = make_world(ALLOW_ALL.replace('topics: ["#"]', 'topics: ["open/#"]'), start=False)
    keys = tmp_path / "keys"
    assert run_cli("audit", "keys", "new", "--out", str(keys), folder=tmp_path).returncode == 0
    audit = os.path.join(world.proxy.folder, "audit")
    os.mkdir(audit, 0o700)
    for name in ("chain.state", "checkpoint.key"):
        shutil.copy2(keys / name, audit)
    world.proxy.start()
    client = world.connected()
    client.send(raw.publish(client.version, "closed", b"x"))
    client.ping()
    assert world.proxy.terminate() == 0
    world.killed = True
    assert "chain.key" not in os.listdir(audit)
    result = run_cli("audit", "verify", "--key", str(keys / "chain.key"), "--public-key", str(keys / "checkpoint.pub"), "audit",
                     folder=world.proxy.folder)
    assert result.returncode == 0 and result.stdout.rstrip().endswith("the trail holds"), result.stdout + result.stderr
    result = run_cli("audit", "keys", "show", "audit/chain.state", folder=world.proxy.folder)
    assert "start 2, next line " in result.stdout and "0 lines behind it" in result.stdout


@pytest.mark.parametrize("arguments, message", [
    (("new",), "where to: --out DIR"),
    (("new", "more", "--out", "x"), "unexpected argument 'more'"),
    (("show",), "which file?"),
    (("make",), "unknown audit keys 'make'"),
])
def test_what_it_does_not_understand(tmp_path, arguments, message):
    result = run_cli("audit", "keys", *arguments, folder=tmp_path)
    assert result.returncode == 2 and message in result.stderr, result.stderr


@pytest.mark.parametrize("words", [("audit",), ("audit", "keys"), ("audit", "keys", "new"), ("audit", "verify")])
def test_help_is_there_at_every_level(tmp_path, words):
    texts = {run_cli(*command, folder=tmp_path).stdout for command in ((*words, "--help"), ("help", *words))}
    assert len(texts) == 1 and texts.pop().startswith(f"usage: mqward {' '.join(words)}")
