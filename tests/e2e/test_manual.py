# SPDX-License-Identifier: Apache-2.0
"""Policies that the manual quotes are those that are tested: a comment names the file that the block below it is."""
import glob
import os
import re
import textwrap

import pytest

from servers import run_cli

pytestmark = pytest.mark.brokerless

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
QUOTE = re.compile(r"^<!-- (\S+\.yaml) -->\n\n((?:(?:    .*)?\n)+)", re.M)


def quotes():
    for page in sorted(glob.glob(os.path.join(ROOT, "docs", "*.md"))):
        with open(page, encoding="utf-8") as file:
            for match in QUOTE.finditer(file.read()):
                yield pytest.param(match[1], match[2], id=f"{os.path.basename(page)}: {match[1]}")


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


@pytest.mark.parametrize("path,block", quotes())
def test_a_quoted_policy_is_the_file(path, block):
    assert textwrap.dedent(block).strip("\n") == read(path).strip("\n")


def test_every_migration_policy_is_quoted():
    page = read("docs/policy-migration.md")
    files = [os.path.basename(path) for path in glob.glob(os.path.join(ROOT, "tests", "policies", "good", "migration-*.yaml"))]
    assert len(files) >= 5
    assert [name for name in files if f"<!-- tests/policies/good/{name} -->" not in page] == []


def test_the_quoted_signer_is_the_one_that_is_tested():
    quote = r"^<!-- (\S+\.py): (\w+) -->\n\n```python\n(.*?)```"
    (path, name, block), = re.findall(quote, read("docs/signing.md"), re.M | re.S)
    assert re.search(rf"^def {name}\(.*?(?=\n\n\n)", read(path), re.M | re.S)[0] + "\n" == block


GUIDE = sorted((name for name in os.listdir(os.path.join(ROOT, "tests", "policies", "good")) if name.startswith("guide-")),
               key=lambda name: int(name.split("-")[1]))


def test_every_step_of_the_guide_is_quoted_in_order():
    page = read("docs/policy-guide.md")
    quoted = re.findall(r"^<!-- tests/policies/good/(\S+) -->$", page, re.M)
    assert quoted == ["five-lines.yaml", *GUIDE] and len(quoted) >= 8
    assert len(re.findall(r"^## \d+\. ", page, re.M)) == len(quoted)


@pytest.mark.parametrize("name", GUIDE)
def test_a_step_of_the_guide_passes_tests_that_reach_all_of_its_rules(tmp_path, name):
    result = run_cli("policy", "test", os.path.join(ROOT, "tests", "policies", "good", name), folder=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    cases, failed, reached, rules = map(int, re.search(r": (\d+) cases, (\d+) failed; (\d+) of (\d+) rules", result.stdout).groups())
    assert cases >= 2 and failed == 0 and reached == rules, result.stdout


def test_the_output_that_the_guide_shows_is_that_of_the_tool(tmp_path):
    page = textwrap.dedent(re.search(r"^    \$ mqward policy test policy.yaml\n((?:    .+\n)+)", read("docs/policy-guide.md"), re.M)[1])
    (tmp_path / "policy.yaml").write_text(read("tests/policies/good/guide-2-tests.yaml"))
    assert run_cli("policy", "test", "policy.yaml", folder=tmp_path).stdout == page


def test_the_explanation_that_the_manual_shows_is_that_of_the_tool(tmp_path):
    words, output = re.search(r"^    mqward policy explain -p policy.yaml (as .+)\n(?:.*\n)+?((?:    .+\n)+)\nThe verdict is", read("docs/policy.md"),
                              re.M).groups()
    (tmp_path / "policy.yaml").write_text(read("tests/policies/good/guide-10-plant.yaml"))
    result = run_cli("policy", "explain", "-p", "policy.yaml", *words.split(), folder=tmp_path)
    assert result.stdout == textwrap.dedent(output)


def test_what_to_do_is_said_for_each_reason_of_the_policy():
    with open(os.path.join(ROOT, "base", "reason.def"), encoding="utf-8") as file:
        reasons = dict(re.findall(r'^REASON\((\w+), "(\w+-\d+)"', file.read(), re.M))
    page = read("docs/policy.md")
    table = page[page.index("\n## Troubleshooting\n"):page.index("<!-- reference: policy -->")]
    named = re.findall(r"^\| `(\w+)` \|", table, re.M)
    assert len(named) == len(set(named)) and set(named) <= set(reasons)
    denials = {name for name, code in reasons.items() if re.match(r"(IDN|ACL)-1", code)}
    assert denials - set(named) == set()


@pytest.mark.parametrize("path", sorted(glob.glob(os.path.join(ROOT, "examples", "*", "policy.yaml"))),
                         ids=lambda path: os.path.relpath(path, ROOT))
def test_an_example_tells_the_editor_its_schema_and_tests_itself(tmp_path, path):
    with open(path, encoding="utf-8") as file:
        schema = re.search(r"^# yaml-language-server: \$schema=(\S+)$", file.read(), re.M)[1]
    assert os.path.samefile(os.path.join(os.path.dirname(path), schema), os.path.join(ROOT, "docs", "policy.v1.schema.json"))
    result = run_cli("policy", "test", path, folder=tmp_path)
    assert result.returncode == 0 and not re.search("not reached", result.stdout), result.stdout + result.stderr


def test_links_between_pages_lead_somewhere():
    for page in glob.glob(os.path.join(ROOT, "docs", "*.md")):
        for target, anchor in re.findall(r"\]\(([\w.-]+\.md)(?:#([\w-]+))?\)", read(page)):
            text = read(os.path.join("docs", target))
            anchors = {re.sub(r"[^\w -]", "", line.lstrip("# ").strip().lower()).replace(" ", "-")
                       for line in text.splitlines() if line.startswith("#")}
            assert not anchor or anchor in anchors, f"{os.path.basename(page)}: {target}#{anchor}"
