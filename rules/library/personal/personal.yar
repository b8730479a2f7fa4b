/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers of persons and cards, with their checksums: a set of its own, for those who must not let them pass.
 *
 * Each rule has a word before the number ("card_number", "iban"), because digits alone make slow patterns: a search for
 * bare card numbers looks at every digit of every message. A class of one letter in a name ([a]) cuts what the prefilter looks
 * for: without, it would be "car, which is in telemetry of cars. The sums are written out: conditions have no variables. What
 * needs a product carried from digit to digit (the German tax number) can't be computed in a condition. */

rule payment_card
{
    meta:
        id = "mqward-person-001"
        description = "Payment card number of 16 digits with a right Luhn digit"
        severity = "high"
        mitre_attack = "T1048"
        reference = "https://www.iso.org/standard/70484.html"
        sample_hit = "card.b64"
        sample_miss = "card-wrong-sum.json rfid-card.json meter-names.json"
    strings:
        $number = /("c[a]rd_n(umber|um|o)"|"c[a]rdnumb[e]r"|"c[a]rdnu[m]"|"c[a]rdno"|"pan"|"cc_n(umber|um|o)"|"ccn(umber|um|o)"|"c[r]ed[i]t_card"|"cr[e]ditc[a]rd")\s{0,2}:\s{0,2}"?[2-6][0-9]{15}\b/ nocase
    condition:
        for any i in (1..#number) : ((
            (2 * (uint8(@number[i] + !number[i] - 16 + 0) - 48) \ 10) + (2 * (uint8(@number[i] + !number[i] - 16 + 0) - 48) % 10) +
            (uint8(@number[i] + !number[i] - 16 + 1) - 48) +
            (2 * (uint8(@number[i] + !number[i] - 16 + 2) - 48) \ 10) + (2 * (uint8(@number[i] + !number[i] - 16 + 2) - 48) % 10) +
            (uint8(@number[i] + !number[i] - 16 + 3) - 48) +
            (2 * (uint8(@number[i] + !number[i] - 16 + 4) - 48) \ 10) + (2 * (uint8(@number[i] + !number[i] - 16 + 4) - 48) % 10) +
            (uint8(@number[i] + !number[i] - 16 + 5) - 48) +
            (2 * (uint8(@number[i] + !number[i] - 16 + 6) - 48) \ 10) + (2 * (uint8(@number[i] + !number[i] - 16 + 6) - 48) % 10) +
            (uint8(@number[i] + !number[i] - 16 + 7) - 48) +
            (2 * (uint8(@number[i] + !number[i] - 16 + 8) - 48) \ 10) + (2 * (uint8(@number[i] + !number[i] - 16 + 8) - 48) % 10) +
            (uint8(@number[i] + !number[i] - 16 + 9) - 48) +
            (2 * (uint8(@number[i] + !number[i] - 16 + 10) - 48) \ 10) + (2 * (uint8(@number[i] + !number[i] - 16 + 10) - 48) % 10) +
            (uint8(@number[i] + !number[i] - 16 + 11) - 48) +
            (2 * (uint8(@number[i] + !number[i] - 16 + 12) - 48) \ 10) + (2 * (uint8(@number[i] + !number[i] - 16 + 12) - 48) % 10) +
            (uint8(@number[i] + !number[i] - 16 + 13) - 48) +
            (2 * (uint8(@number[i] + !number[i] - 16 + 14) - 48) \ 10) + (2 * (uint8(@number[i] + !number[i] - 16 + 14) - 48) % 10) +
            (uint8(@number[i] + !number[i] - 16 + 15) - 48)) % 10 == 0)
}

rule payment_card_amex
{
    meta:
        id = "mqward-person-002"
        description = "Payment card number of 15 digits with a right Luhn digit"
        severity = "high"
        mitre_attack = "T1048"
        reference = "https://www.iso.org/standard/70484.html"
        sample_hit = "card-15.b64"
        sample_miss = "card-wrong-sum.json rfid-card.json meter-names.json"
    strings:
        $number = /("c[a]rd_n(umber|um|o)"|"c[a]rdnumb[e]r"|"c[a]rdnu[m]"|"c[a]rdno"|"pan"|"cc_n(umber|um|o)"|"ccn(umber|um|o)"|"c[r]ed[i]t_card"|"cr[e]ditc[a]rd")\s{0,2}:\s{0,2}"?3[47][0-9]{13}\b/ nocase
    condition:
        for any i in (1..#number) : ((
            (uint8(@number[i] + !number[i] - 15 + 0) - 48) +
            (2 * (uint8(@number[i] + !number[i] - 15 + 1) - 48) \ 10) + (2 * (uint8(@number[i] + !number[i] - 15 + 1) - 48) % 10) +
            (uint8(@number[i] + !number[i] - 15 + 2) - 48) +
            (2 * (uint8(@number[i] + !number[i] - 15 + 3) - 48) \ 10) + (2 * (uint8(@number[i] + !number[i] - 15 + 3) - 48) % 10) +
            (uint8(@number[i] + !number[i] - 15 + 4) - 48) +
            (2 * (uint8(@number[i] + !number[i] - 15 + 5) - 48) \ 10) + (2 * (uint8(@number[i] + !number[i] - 15 + 5) - 48) % 10) +
            (uint8(@number[i] + !number[i] - 15 + 6) - 48) +
            (2 * (uint8(@number[i] + !number[i] - 15 + 7) - 48) \ 10) + (2 * (uint8(@number[i] + !number[i] - 15 + 7) - 48) % 10) +
            (uint8(@number[i] + !number[i] - 15 + 8) - 48) +
            (2 * (uint8(@number[i] + !number[i] - 15 + 9) - 48) \ 10) + (2 * (uint8(@number[i] + !number[i] - 15 + 9) - 48) % 10) +
            (uint8(@number[i] + !number[i] - 15 + 10) - 48) +
            (2 * (uint8(@number[i] + !number[i] - 15 + 11) - 48) \ 10) + (2 * (uint8(@number[i] + !number[i] - 15 + 11) - 48) % 10) +
            (uint8(@number[i] + !number[i] - 15 + 12) - 48) +
            (2 * (uint8(@number[i] + !number[i] - 15 + 13) - 48) \ 10) + (2 * (uint8(@number[i] + !number[i] - 15 + 13) - 48) % 10) +
            (uint8(@number[i] + !number[i] - 15 + 14) - 48)) % 10 == 0)
}

rule card_track_data
{
    meta:
        id = "mqward-person-003"
        description = "Track 1 of a magnetic stripe"
        severity = "critical"
        mitre_attack = "T1048"
        reference = "https://www.iso.org/standard/80281.html"
        sample_hit = "track.b64"
        sample_miss = "rfid-card.json url-encoded.txt card-wrong-sum.json"
    strings:
        $track = /(%B0|%B1|%B2|%B3|%B4|%B5|%B6|%B7|%B8|%B9)[0-9]{12,18}\^[A-Z \/.-]{2,26}\^[0-9]{7}/
    condition:
        $track
}

rule iban_germany
{
    meta:
        id = "mqward-person-004"
        description = "German IBAN with right check digits"
        severity = "medium"
        mitre_attack = "T1048"
        reference = "https://www.iso.org/standard/81090.html"
        sample_hit = "iban.b64"
        sample_miss = "iban-wrong-sum.json meter-names.json ocpp.json"
    strings:
        $number = /"iban"\s{0,2}:\s{0,2}"DE[0-9]{20}"/ nocase
    condition:
        // bank and account, then D = 13, E = 14 and the check digits; modulo 97, in three parts
        for any i in (1..#number) : ((((((
            100000000 * (uint8(@number[i] + !number[i] - 19 + 0) - 48) +
            10000000 * (uint8(@number[i] + !number[i] - 19 + 1) - 48) +
            1000000 * (uint8(@number[i] + !number[i] - 19 + 2) - 48) +
            100000 * (uint8(@number[i] + !number[i] - 19 + 3) - 48) +
            10000 * (uint8(@number[i] + !number[i] - 19 + 4) - 48) +
            1000 * (uint8(@number[i] + !number[i] - 19 + 5) - 48) +
            100 * (uint8(@number[i] + !number[i] - 19 + 6) - 48) +
            10 * (uint8(@number[i] + !number[i] - 19 + 7) - 48) +
            1 * (uint8(@number[i] + !number[i] - 19 + 8) - 48)) % 97) * 1000000000 +
            100000000 * (uint8(@number[i] + !number[i] - 19 + 9) - 48) +
            10000000 * (uint8(@number[i] + !number[i] - 19 + 10) - 48) +
            1000000 * (uint8(@number[i] + !number[i] - 19 + 11) - 48) +
            100000 * (uint8(@number[i] + !number[i] - 19 + 12) - 48) +
            10000 * (uint8(@number[i] + !number[i] - 19 + 13) - 48) +
            1000 * (uint8(@number[i] + !number[i] - 19 + 14) - 48) +
            100 * (uint8(@number[i] + !number[i] - 19 + 15) - 48) +
            10 * (uint8(@number[i] + !number[i] - 19 + 16) - 48) +
            1 * (uint8(@number[i] + !number[i] - 19 + 17) - 48)) % 97) * 1000000 + 131400 +
            10 * (uint8(@number[i] + !number[i] - 21 + 0) - 48) +
            1 * (uint8(@number[i] + !number[i] - 21 + 1) - 48)) % 97 == 1)
}

rule social_insurance_switzerland
{
    meta:
        id = "mqward-person-005"
        description = "Swiss AHV number with a right check digit"
        severity = "high"
        mitre_attack = "T1048"
        reference = "https://www.bsv.admin.ch/bsv/en/home/social-insurance/ahv/grundlagen-gesetze/ahv-nummer.html"
        sample_hit = "ahv.b64"
        sample_miss = "ahv-wrong-sum.json pressure-756.json ocpp.json"
    strings:
        $number = /\b756\.[0-9]{4}\.[0-9]{4}\.[0-9]{2}\b/
    condition:
        // EAN-13
        for any i in (1..#number) : ((
            (uint8(@number[i] + 0) - 48) +
            3 * (uint8(@number[i] + 1) - 48) +
            (uint8(@number[i] + 2) - 48) +
            3 * (uint8(@number[i] + 4) - 48) +
            (uint8(@number[i] + 5) - 48) +
            3 * (uint8(@number[i] + 6) - 48) +
            (uint8(@number[i] + 7) - 48) +
            3 * (uint8(@number[i] + 9) - 48) +
            (uint8(@number[i] + 10) - 48) +
            3 * (uint8(@number[i] + 11) - 48) +
            (uint8(@number[i] + 12) - 48) +
            3 * (uint8(@number[i] + 14) - 48) +
            (uint8(@number[i] + 15) - 48)) % 10 == 0)
}

rule social_insurance_france
{
    meta:
        id = "mqward-person-006"
        description = "French number of social insurance (NIR) with a right key"
        severity = "high"
        mitre_attack = "T1048"
        reference = "https://www.insee.fr/en/metadonnees/definition/c1409"
        sample_hit = "nir.b64"
        sample_miss = "nir-wrong-sum.json meter-names.json text-french.txt"
    strings:
        $number = /("nir"|"i[n]see"|"securit[e]_sociale"|"numero_secu"|"num_secu")\s{0,2}:\s{0,2}"?[12][0-9]{14}\b/ nocase
    condition:
        for any i in (1..#number) : (((
            1000000000000 * (uint8(@number[i] + !number[i] - 15 + 0) - 48) +
            100000000000 * (uint8(@number[i] + !number[i] - 15 + 1) - 48) +
            10000000000 * (uint8(@number[i] + !number[i] - 15 + 2) - 48) +
            1000000000 * (uint8(@number[i] + !number[i] - 15 + 3) - 48) +
            100000000 * (uint8(@number[i] + !number[i] - 15 + 4) - 48) +
            10000000 * (uint8(@number[i] + !number[i] - 15 + 5) - 48) +
            1000000 * (uint8(@number[i] + !number[i] - 15 + 6) - 48) +
            100000 * (uint8(@number[i] + !number[i] - 15 + 7) - 48) +
            10000 * (uint8(@number[i] + !number[i] - 15 + 8) - 48) +
            1000 * (uint8(@number[i] + !number[i] - 15 + 9) - 48) +
            100 * (uint8(@number[i] + !number[i] - 15 + 10) - 48) +
            10 * (uint8(@number[i] + !number[i] - 15 + 11) - 48) +
            1 * (uint8(@number[i] + !number[i] - 15 + 12) - 48)) % 97 +
            10 * (uint8(@number[i] + !number[i] - 15 + 13) - 48) +
            1 * (uint8(@number[i] + !number[i] - 15 + 14) - 48)) == 97)
}

rule citizen_number_netherlands
{
    meta:
        id = "mqward-person-007"
        description = "Dutch BSN that passes the elfproef"
        severity = "high"
        mitre_attack = "T1048"
        reference = "https://www.rvig.nl/burgerservicenummer"
        sample_hit = "bsn.b64"
        sample_miss = "bsn-wrong-sum.json meter-names.json ocpp.json"
    strings:
        $number = /("bsn"|"burgerservicenummer")\s{0,2}:\s{0,2}"?[0-9]{9}\b/ nocase
    condition:
        for any i in (1..#number) : ((
            9 * (uint8(@number[i] + !number[i] - 9 + 0) - 48) +
            8 * (uint8(@number[i] + !number[i] - 9 + 1) - 48) +
            7 * (uint8(@number[i] + !number[i] - 9 + 2) - 48) +
            6 * (uint8(@number[i] + !number[i] - 9 + 3) - 48) +
            5 * (uint8(@number[i] + !number[i] - 9 + 4) - 48) +
            4 * (uint8(@number[i] + !number[i] - 9 + 5) - 48) +
            3 * (uint8(@number[i] + !number[i] - 9 + 6) - 48) +
            2 * (uint8(@number[i] + !number[i] - 9 + 7) - 48) +
            10 * (uint8(@number[i] + !number[i] - 9 + 8) - 48)) % 11 == 0)
}

rule social_security_usa
{
    meta:
        id = "mqward-person-008"
        description = "Number of US social security; it has no checksum, only numbers that are never given out"
        severity = "high"
        mitre_attack = "T1048"
        reference = "https://www.ssa.gov/employer/randomizationfaqs.html"
        sample_hit = "ssn.b64"
        sample_miss = "ssn-impossible.json meter-names.json ocpp.json"
    strings:
        $name1 = "\"ssn\"" nocase $name2 = "\"social_security\"" nocase $name3 = "\"social_security_number\"" nocase
    condition:
        // a quote within a few blanks and the colon, then AAA-GG-SSSS
        for any of ($name*) : (for any i in (1..#) : (for any j in (@[i] + ![i] + 1..@[i] + ![i] + 5) : (
            uint8(j) == 0x22 and uint8(j + 4) == 0x2D and uint8(j + 7) == 0x2D and uint8(j + 12) == 0x22 and
            for all k in (1, 2, 3, 5, 6, 8, 9, 10, 11) : (uint8(j + k) >= 0x30 and uint8(j + k) <= 0x39) and
            uint8(j + 1) != 0x39 and uint16be(j + 5) != 0x3030 and uint32be(j + 8) != 0x30303030 and
            not (uint16be(j + 1) == 0x3030 and uint8(j + 3) == 0x30) and
            not (uint16be(j + 1) == 0x3636 and uint8(j + 3) == 0x36))))
}
