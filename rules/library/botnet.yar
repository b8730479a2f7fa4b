/* SPDX-License-Identifier: Apache-2.0 */
/* More than 32 matches of a string that has a loop are a finding by themselves: the way to the i-th match is i steps long. */
/* What botnets of small devices send: commands that fetch and start a program, and the marks of known families.
 *
 * Strings are long on purpose: whatever has one of them comes to libyara. What surrounds them is compared byte by byte in
 * the condition, where a regular expression would bring a shorter literal ("chmo", "/bin") into the prefilter. */

rule download_and_run
{
    meta:
        id = "mqward-botnet-001"
        description = "A command fetches a file and starts it"
        severity = "critical"
        mitre_attack = "T1105"
        reference = "https://attack.mitre.org/techniques/T1105/"
        sample_hit = "dropper-wget.b64 dropper-tftp.b64 dropper-curl-pipe.b64 dropper-ftpget.b64 curl-sudo-bash.b64 curl-bash-c.b64 wget-chmod-and.b64 curl-process.b64"
        sample_miss = "log-shell-words.txt syslog-wget.txt firmware-manifest.json"
    strings:
        $fetch_wget1 = "wget http" $fetch_wget2 = "wget ftp" $fetch_wget3 = "wget -" $fetch_wget4 = "wget $"
        $fetch_wget5 = "wget \"http" $fetch_wget6 = "wget 'http" $fetch_wget7 = "wget \\\"http" $fetch_wget8 = "wget 1"
        $fetch_wget9 = "wget 2" $fetch_wget10 = "wget 3" $fetch_wget11 = "wget 4" $fetch_wget12 = "wget 5"
        $fetch_wget13 = "wget 6" $fetch_wget14 = "wget 7" $fetch_wget15 = "wget 8" $fetch_wget16 = "wget 9"
        $fetch_curl1 = "curl http" $fetch_curl2 = "curl ftp" $fetch_curl3 = "curl -" $fetch_curl4 = "curl $"
        $fetch_curl5 = "curl \"http" $fetch_curl6 = "curl 'http" $fetch_curl7 = "curl \\\"http" $fetch_curl8 = "curl 1"
        $fetch_curl9 = "curl 2" $fetch_curl10 = "curl 3" $fetch_curl11 = "curl 4" $fetch_curl12 = "curl 5"
        $fetch_curl13 = "curl 6" $fetch_curl14 = "curl 7" $fetch_curl15 = "curl 8" $fetch_curl16 = "curl 9"
        $fetch_tftp1 = "tftp -" $fetch_tftp2 = "ftpget -" $fetch_tftp3 = "tftp 1" $fetch_tftp4 = "tftp 2"
        $fetch_tftp5 = "tftp 3" $fetch_tftp6 = "tftp 4" $fetch_tftp7 = "tftp 5" $fetch_tftp8 = "tftp 6"
        $fetch_tftp9 = "tftp 7" $fetch_tftp10 = "tftp 8" $fetch_tftp11 = "tftp 9" $fetch_tftp12 = "ftpget 1"
        $fetch_tftp13 = "ftpget 2" $fetch_tftp14 = "ftpget 3" $fetch_tftp15 = "ftpget 4" $fetch_tftp16 = "ftpget 5"
        $fetch_tftp17 = "ftpget 6" $fetch_tftp18 = "ftpget 7" $fetch_tftp19 = "ftpget 8" $fetch_tftp20 = "ftpget 9"
        $run_mode1 = "chmod +x" $run_mode2 = "chmod a+x" $run_mode3 = "chmod u+x" $run_mode4 = "chmod +rx"
        $run_mode5 = "chmod a+rx" $run_mode6 = "chmod ug+x" $run_mode7 = "chmod 7" $run_mode8 = "chmod 07"
        $run_mode9 = "chmod 4755" $run_mode10 = "chmod -R +x" $run_mode11 = "chmod -R a+x" $run_mode12 = "chmod -R u+x"
        $run_mode13 = "chmod -R 7" $run_mode14 = "chmod -R 07"
        $run_pipe = /\|sh\b/
        $run_pipe_blank = /\| sh\b/
        $run_pipe_bash = /(\|bash|\|dash|\|ash|\|zsh)\b/
        $run_pipe_bash2 = "| bash" $run_pipe_bash3 = "| dash" $run_pipe_bash4 = "| ash" $run_pipe_bash5 = "| zsh"
        $run_pipe_by1 = "|sudo sh" $run_pipe_by2 = "|sudo bash" $run_pipe_by3 = "|sudo ash" $run_pipe_by4 = "|sudo dash"
        $run_pipe_by5 = "|sudo -E sh" $run_pipe_by6 = "|sudo -E bash" $run_pipe_by7 = "|sudo -E ash"
        $run_pipe_by8 = "|sudo -E dash" $run_pipe_by9 = "|sudo -n sh" $run_pipe_by10 = "|sudo -n bash"
        $run_pipe_by11 = "|sudo -n ash" $run_pipe_by12 = "|sudo -n dash" $run_pipe_by13 = "|nohup sh"
        $run_pipe_by14 = "|nohup bash" $run_pipe_by15 = "|nohup ash" $run_pipe_by16 = "|nohup dash"
        $run_pipe_by17 = "|env sh" $run_pipe_by18 = "|env bash" $run_pipe_by19 = "|env ash" $run_pipe_by20 = "|env dash"
        $run_pipe_by21 = "|/bin/sh" $run_pipe_by22 = "|/bin/bash" $run_pipe_by23 = "|/bin/ash"
        $run_pipe_by24 = "|/bin/dash" $run_pipe_by25 = "|/usr/bin/sh" $run_pipe_by26 = "|/usr/bin/bash"
        $run_pipe_by27 = "|/usr/bin/ash" $run_pipe_by28 = "|/usr/bin/dash" $run_pipe_by29 = "|/bin/busybox sh"
        $run_pipe_by30 = "|/bin/busybox bash" $run_pipe_by31 = "|/bin/busybox ash" $run_pipe_by32 = "|/bin/busybox dash"
        $run_pipe_by33 = "|busybox sh" $run_pipe_by34 = "|busybox bash" $run_pipe_by35 = "|busybox ash"
        $run_pipe_by36 = "|busybox dash" $run_pipe_by37 = "| sudo sh" $run_pipe_by38 = "| sudo bash"
        $run_pipe_by39 = "| sudo ash" $run_pipe_by40 = "| sudo dash" $run_pipe_by41 = "| sudo -E sh"
        $run_pipe_by42 = "| sudo -E bash" $run_pipe_by43 = "| sudo -E ash" $run_pipe_by44 = "| sudo -E dash"
        $run_pipe_by45 = "| sudo -n sh" $run_pipe_by46 = "| sudo -n bash" $run_pipe_by47 = "| sudo -n ash"
        $run_pipe_by48 = "| sudo -n dash" $run_pipe_by49 = "| nohup sh" $run_pipe_by50 = "| nohup bash"
        $run_pipe_by51 = "| nohup ash" $run_pipe_by52 = "| nohup dash" $run_pipe_by53 = "| env sh"
        $run_pipe_by54 = "| env bash" $run_pipe_by55 = "| env ash" $run_pipe_by56 = "| env dash"
        $run_pipe_by57 = "| /bin/sh" $run_pipe_by58 = "| /bin/bash" $run_pipe_by59 = "| /bin/ash"
        $run_pipe_by60 = "| /bin/dash" $run_pipe_by61 = "| /usr/bin/sh" $run_pipe_by62 = "| /usr/bin/bash"
        $run_pipe_by63 = "| /usr/bin/ash" $run_pipe_by64 = "| /usr/bin/dash" $run_pipe_by65 = "| /bin/busybox sh"
        $run_pipe_by66 = "| /bin/busybox bash" $run_pipe_by67 = "| /bin/busybox ash"
        $run_pipe_by68 = "| /bin/busybox dash" $run_pipe_by69 = "| busybox sh" $run_pipe_by70 = "| busybox bash"
        $run_pipe_by71 = "| busybox ash" $run_pipe_by72 = "| busybox dash"
        $run_here1 = ";sh " $run_here2 = "; sh " $run_here3 = "&&sh " $run_here4 = "&& sh " $run_here5 = ";ash "
        $run_here6 = "; ash " $run_here7 = ";bash " $run_here8 = "; bash " $run_here9 = "&&bash "
        $run_here10 = "&& bash " $run_here11 = "& bash " $run_here12 = "&bash " $run_here13 = "& sh "
        $run_here14 = ";./" $run_here15 = "; ./" $run_here16 = "&&./" $run_here17 = "&& ./"
        $run_line = "\nsh "
        $run_line_bash = "\nbash "
        $run_line_file = "\n./"
        $eval1 = "sh -c \"$(curl " $eval2 = "sh -c \"$(wget " $eval3 = "sh -c $(curl " $eval4 = "sh -c $(wget "
        $eval5 = "sh -c '$(curl " $eval6 = "sh -c '$(wget " $eval7 = "sh -c \\\"$(curl " $eval8 = "sh -c \\\"$(wget "
        $eval9 = "sh \"$(curl " $eval10 = "sh \"$(wget " $eval11 = "sh $(curl " $eval12 = "sh $(wget "
        $eval13 = "sh <(curl " $eval14 = "sh <(wget " $eval15 = "sh -c \"`curl " $eval16 = "sh -c \"`wget "
        $eval17 = "sh -c `curl " $eval18 = "sh -c `wget " $eval19 = "sh -c \\\"`curl " $eval20 = "sh -c \\\"`wget "
        $eval21 = "sh <<< \"$(curl " $eval22 = "sh <<< \"$(wget " $eval23 = "eval \"$(curl " $eval24 = "eval \"$(wget "
        $eval25 = "eval $(curl " $eval26 = "eval $(wget " $eval27 = "eval \"`curl " $eval28 = "eval \"`wget "
        $eval29 = "eval `curl " $eval30 = "eval `wget " $eval31 = "source <(curl " $eval32 = "source <(wget "
        $eval33 = ". <(curl " $eval34 = ". <(wget "
    condition:
        any of ($eval*) or (any of ($fetch*) and any of ($run*))
}

rule busybox_commands
{
    meta:
        id = "mqward-botnet-002"
        description = "BusyBox called by its path with an applet that fetches, serves, or probes for a shell"
        severity = "high"
        mitre_attack = "T1059.004"
        reference = "https://attack.mitre.org/techniques/T1059/004/"
        sample_hit = "busybox-mirai.b64 busybox-wget.b64"
        sample_miss = "busybox-version.txt syslog-cron.txt log-shell-words.txt"
    strings:
        // from the second letter on: "busy" is a word of telemetry
        $probe = /usybox [A-Z]{4,12}(;|\r|\n|"|$)/
        $applet = /usybox (wget|tftp|ftpget|telnetd|nc|httpd|chmod 7|rm -rf|dd if=|cat \/proc)/
    condition:
        #probe > 32 or for any i in (1..#probe) : (uint32be(@probe[i] - 5) == 0x62696E2F) or
        #applet > 32 or for any i in (1..#applet) : (uint8(@applet[i] - 1) == 0x62)
}

rule botnet_family_marks
{
    meta:
        id = "mqward-botnet-003"
        description = "Strings of Mirai, Gafgyt, Mozi, Hajime, Muhstik and their kin"
        severity = "critical"
        mitre_attack = "T1583.005"
        reference = "https://attack.mitre.org/techniques/T1583/005/"
        sample_hit = "mirai-strings.b64 gafgyt-echo.b64 mozi.b64"
        sample_miss = "meter-names.json log-shell-words.txt csv-energy.csv"
    strings:
        $mirai_applet = ": applet not found"
        $mirai_listening = "listening tun0"
        $mirai_dvr = "/dvrHelper"
        $gafgyt_echo = "gayfgt"
        $gafgyt_scanner = "!* SCANNER ON"
        $gafgyt_udp = "HOLD Flooding %s"
        $mozi_mips = "/Mozi.m"
        $mozi_arm = "/Mozi.a"
        $mozi_dht = "[ss]botv2[/ss]"
        $hajime = "atk.airdropmalware"
        $muhstik = "muhstik"
        $bins = "/bins/"
        $script1 = "8UsA.sh" fullword $script2 = "bins.sh" fullword $script3 = "ohshit.sh" fullword
        $script4 = "Pemex.sh" fullword $script5 = "wget.sh" fullword $script6 = "jaws.sh" fullword
    condition:
        any of ($gafgyt*, $mozi*, $mirai_dvr, $mirai_listening, $hajime, $muhstik) or
        ($mirai_applet and filesize < 64) or
        any of ($script*) and for any of ($script*) : (# > 32 or for any i in (1..#) : (uint8(@[i] - 1) == 0x2F)) or
        // a name of up to 24 bytes, then .arm .mip .mps .x86 .sh4 .ppc .m68 .spc
        #bins > 32 or for any i in (1..#bins) : (for any j in (7..30) : (
            for any ending in (0x2E61726D, 0x2E6D6970, 0x2E6D7073, 0x2E783836, 0x2E736834, 0x2E707063, 0x2E6D3638, 0x2E737063) :
                (uint32be(@bins[i] + j) == ending)))
}

rule router_exploit_request
{
    meta:
        id = "mqward-botnet-004"
        description = "Request that exploits the web interface of a router or camera"
        severity = "critical"
        mitre_attack = "T1190"
        reference = "https://attack.mitre.org/techniques/T1190/"
        sample_hit = "router-gpon.b64 router-hnap.b64 router-luci.b64"
        sample_miss = "http-access-log.txt network-status.json log-shell-words.txt"
    strings:
        $gpon = "/GponForm/diag_Form"
        $netgear = "/setup.cgi?next_file="
        $hnap = "/HNAP1/`"
        $hnap_action = "/HNAP1/GetDeviceSettings/`"
        $tr064 = "<NewNTPServer1>`"
        $tr064_shell = "<NewNTPServer1>$("
        $huawei = "<NewStatusURL>$("
        $realtek = "<NewInternalClient>`"
        $luci = "/cgi-bin/luci/;stok=/locale?form=country&operation=write"
        $dlink = "/command.php?cmd="
        $jaws = "/shell?cd+/tmp"
        $thinkphp = "invokefunction&function=call_user_func_array"
        $vacron = "/board.cgi?cmd="
        $zyxel = "/cgi-bin/ViewLog.asp"
        $zyxel_shell = "remote_submit_Flag"
    condition:
        any of ($gpon, $netgear, $hnap*, $tr064*, $huawei, $realtek, $luci, $dlink, $jaws, $thinkphp, $vacron) or
        all of ($zyxel*)
}

rule cryptominer
{
    meta:
        id = "mqward-botnet-005"
        description = "Configuration or command line of a miner"
        severity = "high"
        mitre_attack = "T1496"
        reference = "https://attack.mitre.org/techniques/T1496/"
        sample_hit = "miner-config.b64"
        sample_miss = "stratum-ntp.json csv-energy.csv node-red.json"
    strings:
        $stratum = /stratum\+(tcp|ssl|tls):\/\//
        $xmrig = "xmrig" nocase
        $donate = "donate-level"
        $algorithm = "randomx"
        $nicehash = "--nicehash"
    condition:
        $stratum or 2 of ($xmrig, $donate, $algorithm, $nicehash)
}

rule persistence_command
{
    meta:
        id = "mqward-botnet-006"
        description = "Command that makes a program survive a restart, or lets its author in again"
        severity = "high"
        mitre_attack = "T1053.003"
        reference = "https://attack.mitre.org/techniques/T1053/003/"
        sample_hit = "persist-cron.b64 persist-ssh.b64 persist-systemd.b64"
        sample_miss = "syslog-cron.txt syslog-ssh.txt log-shell-words.txt"
    strings:
        $cron_pipe = "| crontab -"
        $cron_pipe2 = "|crontab -"
        $to_cron1 = "> /etc/crontab" $to_cron2 = ">/etc/crontab" $to_cron3 = "> /etc/cron." $to_cron4 = ">/etc/cron."
        $to_cron5 = "> /var/spool/cron" $to_cron6 = ">/var/spool/cron" $to_cron7 = "tee -a /etc/cron"
        $to_cron8 = "tee /etc/cron" $to_cron9 = "tee -a /var/spool/cron"
        $to_start1 = "> /etc/rc.local" $to_start2 = ">/etc/rc.local" $to_start3 = "> /etc/rc.d"
        $to_start4 = ">/etc/rc.d" $to_start5 = "> /etc/init.d" $to_start6 = ">/etc/init.d" $to_start7 = "> /etc/profile"
        $to_start8 = ">/etc/profile" $to_start9 = "> /etc/inittab" $to_start10 = ">/etc/inittab"
        $to_start11 = "> /etc/ld.so.preload" $to_start12 = ">/etc/ld.so.preload" $to_start13 = "> /etc/systemd/system/"
        $to_start14 = ">/etc/systemd/system/" $to_start15 = "> /lib/systemd/system/"
        $to_start16 = ">/lib/systemd/system/" $to_start17 = "tee -a /etc/rc.local" $to_start18 = "tee -a /etc/profile"
        $to_start19 = "tee /etc/systemd/system/" $to_start20 = "tee -a /etc/ld.so.preload"
        $to_start21 = "tee /etc/ld.so.preload"
        $key = /(ssh-rsa |ssh-ed255[1]9 |ecdsa-sha2-nistp[2]56 )AAAA[A-Za-z0-9+\/]{20}/
        $key_file = ".ssh/authorized_keys"
    condition:
        any of ($cron_pipe*, $to*) or ($key and $key_file)
}

rule anti_analysis_cleanup
{
    meta:
        id = "mqward-botnet-007"
        description = "Command that stops competitors, wipes traces or the device itself"
        severity = "critical"
        mitre_attack = "T1485"
        reference = "https://attack.mitre.org/techniques/T1485/"
        sample_hit = "wiper.b64 iptables-flush.b64"
        sample_miss = "log-shell-words.txt syslog-kernel.txt disk-status.json"
    strings:
        $rm_root1 = "rm -rf /" $rm_root2 = "rm -fr /" $rm_root3 = "rm -r -f /" $rm_root4 = "rm -rf --no-preserve-root /"
        $rm_root5 = "rm -fr --no-preserve-root /"
        $dd_disk = /dd if=\/dev\/(zero|urandom|random) of=\/dev\/(mtd|mmcblk|sd|nvme|mem)/
        $mtd1 = "cat /dev/urandom >/dev/mtd" $mtd2 = "cat /dev/urandom > /dev/mtd" $mtd3 = "cat /dev/urandom>/dev/mtd"
        $mtd4 = "cat /dev/zero >/dev/mtd" $mtd5 = "cat /dev/zero > /dev/mtd"
        $history = "history -c;"
        $unset = "unset HISTFILE"
        $kill = "killall -9 telnetd"
        $flush = "iptables -F"
        $watchdog = "echo -n V > /dev/watchdog"
        $fork = ":(){ :|:& };:"
        $fork2 = ":(){:|:&};:"
    condition:
        any of ($dd_disk, $mtd*, $history, $unset, $kill, $flush, $watchdog, $fork*) or
        any of ($rm_root*) and for any of ($rm_root*) : (# > 32 or for any i in (1..#) : (@[i] + ![i] == filesize or
            for any end in (0x20, 0x2A, 0x3B, 0x26, 0x22, 0x27, 0x0A, 0x7C, 0x60, 0x29) : (uint8(@[i] + ![i]) == end)))
}
