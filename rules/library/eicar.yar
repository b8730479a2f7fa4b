/* SPDX-License-Identifier: Apache-2.0 */
/* The test file of the antivirus industry, to see that scanning works. */

rule eicar_test_file
{
    meta:
        id = "mqward-test-001"
        description = "EICAR test file"
        severity = "low"
        mitre_attack = "T1105"
        reference = "https://www.eicar.org/download-anti-malware-testfile/"
        sample_hit = "eicar.b64 eicar-json.b64 eicar-gzip.b64"
        sample_miss = "log-shell-words.txt csv-energy.csv markdown-note.txt"
    strings:
        // in two parts, so that this file is not taken for it
        $first = "X5O!P%@AP[4\\PZX54(P^)7CC)7}"
        $second = "$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
    condition:
        all of them
}
