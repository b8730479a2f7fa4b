/* SPDX-License-Identifier: Apache-2.0 */
/* More than 32 matches of a string that has a loop are a finding by themselves: the way to the i-th match is i steps long. */
/* Secrets that a device or a backend gives away. */

rule private_key
{
    meta:
        id = "mqward-secret-001"
        description = "Private key (PEM, OpenSSH, PuTTY, DER)"
        severity = "critical"
        mitre_attack = "T1552.004"
        reference = "https://attack.mitre.org/techniques/T1552/004/"
        sample_hit = "key-rsa.b64 key-openssh.b64 key-pkcs8-der.b64 key-putty.b64"
        sample_miss = "certificate.pem public-key.pem syslog-ssh.txt"
    strings:
        // not "BEGI", not "----": certificates have them too
        $pem = /IN ([A-Z0-9]{2,10} ){0,2}PRIVATE KEY( BLOCK)?-[-]-[-]-/
        $putty = /PuTTY-User-Key-File-[23]: /
        $openssh = { 6F 70 65 6E 73 73 68 2D 6B 65 79 2D 76 31 00 00 00 00 }
        // PrivateKeyInfo, version 0, rsaEncryption; version 0, id-ecPublicKey with prime256v1
        $pkcs8_rsa = { 02 01 00 30 0D 06 09 2A 86 48 86 F7 0D 01 01 01 05 00 04 }
        $pkcs8_ec = { 02 01 00 30 13 06 07 2A 86 48 CE 3D 02 01 06 08 2A 86 48 CE 3D 03 01 07 04 }
        $ed25519 = { 30 2E 02 01 00 30 05 06 03 2B 65 70 04 22 04 20 }
    condition:
        any of ($putty, $openssh, $pkcs8*, $ed25519) or #pem > 32 or for any i in (1..#pem) : (uint32be(@pem[i] - 4) == 0x2D424547)
}

rule cloud_credential
{
    meta:
        id = "mqward-secret-002"
        description = "Credential of a cloud provider"
        severity = "critical"
        mitre_attack = "T1552.001"
        reference = "https://attack.mitre.org/techniques/T1552/001/"
        sample_hit = "aws-key.b64 gcp-account.b64 azure-storage.b64 google-api.b64"
        sample_miss = "aws-shadow.json zigbee2mqtt-devices.json azure-twin.json"
    strings:
        $aws_id = /\b(AKIA|ASIA)[A-Z2-7]{16}\b/
        // behind a mark: pictures in base64 have these four letters
        $aws_bearer = /("ABIA|'ABIA|=ABIA|:ABIA)[A-Z2-7]{16}\b/
        $aws_context = /("ACCA|'ACCA|=ACCA|:ACCA)[A-Z2-7]{16}\b/
        $aws_secret = /aws[_]secret_access_key["']?\s{0,4}[=:]\s{0,4}["']?[A-Za-z0-9\/+]{40}/ nocase
        $gcp_type = "\"service_account\""
        $gcp_key = "\"private_key\""
        $azure_storage = "AccountKey="
        $azure_shared = "SharedAccessKey="
        $google_api = /\bAIza[0-9A-Za-z_-]{35}\b/
        $google_oauth = /\bGOCSPX-[A-Za-z0-9_-]{28}\b/
        $digitalocean = /\bdop_v[1]_[a-f0-9]{64}\b/
    condition:
        any of ($aws*, $google*, $digitalocean) or
        // base64 of 64 and of 32 bytes
        #azure_storage > 32 or for any i in (1..#azure_storage) : (uint16be(@azure_storage[i] + 97) == 0x3D3D) or
        #azure_shared > 32 or for any i in (1..#azure_shared) : (uint8(@azure_shared[i] + 59) == 0x3D) or
        ($gcp_type and (#gcp_key > 32 or for any i in (1..#gcp_key) : (for any j in (14..23) : (uint32be(@gcp_key[i] + j) == 0x2D2D2D2D))))
}

rule service_token
{
    meta:
        id = "mqward-secret-003"
        description = "Access token of a well-known service"
        severity = "high"
        mitre_attack = "T1552.001"
        reference = "https://attack.mitre.org/techniques/T1552/001/"
        sample_hit = "github-token.b64 slack-token.b64 telegram-token.b64 github-oauth.b64"
        sample_miss = "macaddress.json zigbee2mqtt-devices.json lorawan-uplink.json"
    strings:
        $github = /\b(ghp_|gho_|ghu_|ghs_|ghr_)[A-Za-z0-9]{36}\b/
        $long_github = "github_pat_"
        $long_gitlab = "glpat-"
        $slack = /\b(xoxa|xoxb|xoxp|xoxo|xoxs|xoxr)-[0-9]{10,13}-[0-9A-Za-z-]{10,72}/
        $slack_hook = "https://hooks.slack.com/services/T"
        $long_stripe = "sk_live_"
        $long_stripe_restricted = "rk_live_"
        // ":AA" alone is in every second list of MAC addresses
        $telegram = /[0-9]{8,10}(:AAA|:AAB|:AAC|:AAD|:AAE|:AAF|:AAG|:AAH)[A-Za-z0-9_-]{32}\b/
        $discord = "https://discord.com/api/webhooks/"
        $sendgrid = /\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}\b/
        $npm = /\bnpm_[A-Za-z0-9]{36}\b/
        $home_assistant = "\"long_lived_access_token\""
    condition:
        any of ($github, $slack*, $telegram, $discord, $sendgrid, $npm, $home_assistant) or
        // twenty letters, digits, "_" or "-"; none before
        any of ($long*) and for any of ($long*) : (# > 32 or for any i in (1..#) : (not (uint8(@[i] - 1) >= 0x61 and uint8(@[i] - 1) <= 0x7A) and
            for all j in (0..19) : (uint8(@[i] + ![i] + j) == 0x5F or uint8(@[i] + ![i] + j) == 0x2D or
                ((uint8(@[i] + ![i] + j) >= 0x30 and uint8(@[i] + ![i] + j) <= 0x39) or (uint8(@[i] + ![i] + j) >= 0x41 and uint8(@[i] + ![i] + j) <= 0x5A) or
                (uint8(@[i] + ![i] + j) >= 0x61 and uint8(@[i] + ![i] + j) <= 0x7A)))))
}

rule password_hashes
{
    meta:
        id = "mqward-secret-004"
        description = "Lines of a password file with hashes"
        severity = "high"
        mitre_attack = "T1003.008"
        reference = "https://attack.mitre.org/techniques/T1003/008/"
        sample_hit = "shadow.b64 mosquitto-passwd.b64"
        sample_miss = "syslog-ssh.txt text-prices.txt passwd-shell.txt"
    strings:
        $shadow = /\b[a-z_][a-z0-9_-]{0,31}(:\$1\$|:\$2a|:\$2b|:\$2y|:\$5\$|:\$6\$|:\$7\$|:\$y\$|:\$gy)[.\/A-Za-z0-9$=,]{20}/
        $mosquitto = /(:\$6\$|:\$7\$)([0-9]{1,7}\$)?[A-Za-z0-9+\/]{8,90}={0,2}\$[A-Za-z0-9+\/]{86}==/
        $argon2 = /:\$argon2(id|i|d)\$v=19\$m=[0-9]{3,8},t=/
    condition:
        any of them
}
