/* SPDX-License-Identifier: Apache-2.0 */
/* More than 32 matches of a string that has a loop are a finding by themselves: the way to the i-th match is i steps long. */
/* Scripts where telemetry belongs, and commands that a script's reader would run. */

rule shebang_script
{
    meta:
        id = "mqward-script-001"
        description = "Script with its interpreter line"
        severity = "high"
        mitre_attack = "T1059.004"
        reference = "https://attack.mitre.org/techniques/T1059/004/"
        sample_hit = "script-shell.b64 script-python.b64 script-json.b64"
        sample_miss = "log-shell-words.txt node-red.json syslog-cron.txt"
    strings:
        // b[i]n: else "/bin" would be what is looked for
        $shell = /(#!\/bin\/|#!\/usr\/bin\/|#!\/usr\/local\/bin\/|#!\/system\/bin\/|#!\/data\/local\/bin\/|#!\/opt\/bin\/)(env |busybox )?(ba|da|a|k|mk|z)?sh( -[a-z]{1,8})?\r?\n/
        $shell_blank = /#! \/(usr\/|usr\/local\/|system\/|data\/local\/|opt\/)?b[i]n\/(env |busybox )?(ba|da|a|k|mk|z)?sh( -[a-z]{1,8})?\r?\n/
        $other = /(#!\/bin\/|#!\/usr\/bin\/|#!\/usr\/local\/bin\/|#!\/system\/bin\/|#!\/data\/local\/bin\/|#!\/opt\/bin\/)(env )?(python[23]?|perl|lua|node|ruby|php|awk -f)( -[a-zA-Z]{1,8})?\r?\n/
        $other_blank = /#! \/(usr\/|usr\/local\/|system\/|data\/local\/|opt\/)?b[i]n\/(env )?(python[23]?|perl|lua|node|ruby|php|awk -f)( -[a-zA-Z]{1,8})?\r?\n/
    condition:
        any of them
}

rule reverse_shell
{
    meta:
        id = "mqward-script-002"
        description = "Reverse shell"
        severity = "critical"
        mitre_attack = "T1059.004"
        reference = "https://attack.mitre.org/techniques/T1059/004/"
        sample_hit = "reverse-bash.b64 reverse-python.b64 reverse-nc.b64 reverse-nc-e.b64"
        sample_miss = "log-shell-words.txt syslog-ssh.txt network-status.json"
    strings:
        $device = /(v\/tcp\/|v\/udp\/)[0-9a-zA-Z.:-]{3,64}\/[0-9]{1,5}/
        $bash = "bash -i >&"
        $bash_quiet = "bash -i &>"
        $nc1 = "e /bin/sh" $nc2 = "e /bin/bash" $nc3 = "e /bin/ash" $nc4 = "e /bin/busybox" $nc5 = "e/bin/sh"
        $nc6 = "e/bin/bash" $nc7 = "-c /bin/sh" $nc8 = "-c /bin/bash" $nc9 = "exec /bin/sh" $nc10 = "exec /bin/bash"
        $fifo = "mkfifo /tmp/"
        $fifo_sh = "|/bin/sh -i"
        $fifo_sh2 = "| /bin/sh -i"
        $python = "import socket,subprocess,os"
        $python_dup = ".fileno(),0)"
        $python_pty = "pty.spawn("
        $perl = "use Socket;$i="
        $socat = /socat [^\n]{0,80}ex[e]c:['"]?(bash|sh|\/bin\/)/ nocase
        $telnet = "| telnet "
    condition:
        $device or any of ($bash*) or $python or $perl or $socat or
        ($fifo and any of ($fifo_sh*)) or ($python_dup and $python_pty) or ($fifo and $telnet) or
        // nc or ncat with an option or a host before it
        any of ($nc*) and for any of ($nc*) : (# > 32 or for any i in (1..#) : (for any j in (3..90) : (
            uint16be(@[i] - j) == 0x6E63 and
            (uint8(@[i] - j + 2) == 0x20 or uint32be(@[i] - j) == 0x6E636174) and
            (@[i] == j or uint8(@[i] - j - 1) < 0x30 or uint8(@[i] - j - 1) == 0x3B or uint8(@[i] - j - 1) == 0x60 or
                uint8(@[i] - j - 1) == 0x7C))))
}

rule powershell_download
{
    meta:
        id = "mqward-script-003"
        description = "PowerShell that is hidden or loads more"
        severity = "high"
        mitre_attack = "T1059.001"
        reference = "https://attack.mitre.org/techniques/T1059/001/"
        sample_hit = "powershell-enc.b64 powershell-iex.b64 powershell-e.b64"
        sample_miss = "windows-event.json log-shell-words.txt opc-ua.json"
    strings:
        $powershell = "powershell" nocase
        $encoded1 = "-enc " nocase $encoded2 = "-ec " nocase $encoded3 = "-encodedcommand " nocase
        $hidden1 = "-w hidden" nocase $hidden2 = "-wi hidden" nocase $hidden3 = "-win hidden" nocase
        $hidden4 = "-windowstyle hidden" nocase
        $bypass1 = "-ep bypass" nocase $bypass2 = "-ex bypass" nocase $bypass3 = "-exec bypass" nocase
        $bypass4 = "-executionpolicy bypass" nocase
        $download = "Net.WebClient" nocase
        $download_string = ".DownloadString(" nocase
        $download_file = ".DownloadFile(" nocase
        $iex = "IEX(" nocase
        $iex_blank = "IEX (" nocase
        $invoke = "Invoke-Expression" nocase
        $request = "Invoke-WebRequest" nocase
        $from = "[Convert]::FromBase64String(" nocase
    condition:
        ($powershell and any of ($encoded*, $hidden*, $bypass*)) or
        // -e and a blank
        #powershell > 32 or for any i in (1..#powershell) : (for any j in (10..120) : (
            (uint16be(@powershell[i] + j) | 0x20) == 0x2D65 and uint8(@powershell[i] + j - 1) == 0x20 and
            uint8(@powershell[i] + j + 2) == 0x20)) or
        (any of ($iex*, $invoke) and any of ($download*, $request, $from))
}

rule windows_script_host
{
    meta:
        id = "mqward-script-004"
        description = "Windows script or living-off-the-land command that starts a program"
        severity = "high"
        mitre_attack = "T1059.005"
        reference = "https://attack.mitre.org/techniques/T1059/005/"
        sample_hit = "wscript.b64 certutil.b64"
        sample_miss = "windows-event.json opc-ua.json log-shell-words.txt"
    strings:
        $shell = "CreateObject(\"WScript.Shell\")" nocase
        $active = "ActiveXObject(\"WScript.Shell\")" nocase
        $xmlhttp = "CreateObject(\"MSXML2.XMLHTTP\")" nocase
        $mshta = /mshta(\.exe)? ["']?(https?|javascript|vbscript):/ nocase
        $certutil = "-urlcache" nocase
        $bitsadmin = "bitsadmin /transfer" nocase
        $regsvr = "scrobj.dll" nocase
        $rundll = "rundll32.exe javascript:" nocase
    condition:
        any of ($shell, $active, $xmlhttp, $mshta, $bitsadmin, $regsvr, $rundll) or
        // "certutil" up to 60 bytes before
        #certutil > 32 or for any i in (1..#certutil) : (for any j in (9..60) : (
            (uint32be(@certutil[i] - j) | 0x20202020) == 0x63657274 and (uint32be(@certutil[i] - j + 4) | 0x20202020) == 0x7574696C))
}

rule interpreter_one_liner
{
    meta:
        id = "mqward-script-005"
        description = "Interpreter called with code that is encoded or starts processes"
        severity = "high"
        mitre_attack = "T1059"
        reference = "https://attack.mitre.org/techniques/T1059/"
        sample_hit = "python-exec.b64 echo-base64-sh.b64 node-child.b64 base64-bash.b64"
        sample_miss = "python-traceback.txt log-shell-words.txt node-red.json"
    strings:
        $python_exec = /exec\((__import__\(|base64|zlib|bytes\.fromhex|codecs)/
        $python_import = "__import__('os')"
        $python_import2 = "__import__(\"os\")"
        $python_subprocess = "__import__('subprocess')"
        $decoded1 = "base64 -d" $decoded2 = "base64 -D" $decoded3 = "base64 --decode" $decoded4 = "xxd -r -p"
        $decoded5 = "openssl enc -d" $decoded6 = "openssl base64 -d"
        $node = "require('child_process')"
        $node2 = "require(\"child_process\")"
        $node_main = "process.mainModule.require("
        $perl1 = "perl -e 'system" $perl2 = "perl -e \"system" $perl3 = "perl -e 'exec" $perl4 = "perl -e \"exec"
        $perl5 = "perl -e 'use Socket" $perl6 = "perl -e \"use Socket" $perl7 = "perl -e 'eval"
        $perl8 = "perl -e \"eval"
        $ruby1 = "ruby -rsocket" $ruby2 = "ruby -socket -e"
        $php1 = "php -r 'eval" $php2 = "php -r \"eval" $php3 = "php -r 'system" $php4 = "php -r \"system"
        $php5 = "php -r 'exec" $php6 = "php -r \"exec" $php7 = "php -r 'passthru" $php8 = "php -r \"passthru"
        $php9 = "php -r 'shell_exec" $php10 = "php -r \"shell_exec" $php11 = "php -r '$sock" $php12 = "php -r \"$sock"
        $lua = "os.execute("
    condition:
        any of ($python*, $node*, $perl*, $ruby*, $php*, $lua) or
        // then a pipe and what ends in "sh", whatever starts it
        any of ($decoded*) and for any of ($decoded*) : (# > 32 or for any i in (1..#) : (for any j in (0..4) : (uint8(@[i] + ![i] + j) == 0x7C and
            for any k in (1..16) : (uint16be(@[i] + ![i] + j + k) == 0x7368 and not
                (uint8(@[i] + ![i] + j + k + 2) >= 0x61 and uint8(@[i] + ![i] + j + k + 2) <= 0x7A)))))
}
