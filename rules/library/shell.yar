/* SPDX-License-Identifier: Apache-2.0 */
/* More than 32 matches of a string that has a loop are a finding by themselves: the way to the i-th match is i steps long. */
/* Values that become commands where a script or a device puts them into a command line.
 *
 * Ordinary telemetry has short words such as "nc", "cat", "reboot" everywhere, so each string is as long as it can
 * be; what stands around it is compared in the condition. */

rule shell_injection
{
    meta:
        id = "mqward-inject-006"
        description = "Value that goes on as a shell command: a well-known one behind ';', '|', '&', or in $() or backticks. Not other commands, and not a bare backtick"
        severity = "high"
        mitre_attack = "T1059.004"
        reference = "https://cwe.mitre.org/data/definitions/78.html"
        sample_hit = "shell-subst.b64 shell-semicolon.b64 shell-ifs.b64 shell-passwd.b64 shell-backtick.b64 shell-wget-tight.b64 shell-and-chmod.b64 shell-pipe-nc.b64 shell-quote-cat.b64"
        sample_miss = "log-shell-words.txt template-shell.txt markdown-note.txt"
    strings:
        $subst = /(\$\(curl|\$\(wget|\$\(nc|\$\(bash|\$\(sh|\$\(cat|\$\(id|\$\(uname|\$\(whoami|\$\(reboot|\$\(telnetd|\$\(ping|\$\(sleep|\$\(touch|\$\(echo)[ )<;|]/
        $backtick = /(`curl |`wget |`nc |`bash |`sh |`cat |`ping |`sleep |`telnetd |`tftp |`busybox )(-|\/|[0-9]|https?:|wget|tftp)/
        $backtick_word1 = "`reboot`" $backtick_word2 = "`whoami`" $backtick_word3 = "`uname -a`"
        $backtick_word4 = "`telnetd`" $backtick_word5 = "`id`"
        // a command behind an operator; the condition wants a value before it
        $get1 = ";curl " $get2 = "; curl " $get3 = "|curl " $get4 = "| curl " $get5 = "&curl " $get6 = "& curl "
        $get7 = ";wget " $get8 = "; wget " $get9 = "|wget " $get10 = "| wget " $get11 = "&wget " $get12 = "& wget "
        $get13 = ";nc " $get14 = "; nc " $get15 = "|nc " $get16 = "| nc " $get17 = "&nc " $get18 = "& nc "
        $get19 = ";telnetd " $get20 = "; telnetd " $get21 = "|telnetd " $get22 = "| telnetd " $get23 = "&telnetd "
        $get24 = "& telnetd " $get25 = ";tftp " $get26 = "; tftp " $get27 = "|tftp " $get28 = "| tftp "
        $get29 = "&tftp " $get30 = "& tftp " $get31 = ";busybox " $get32 = "; busybox " $get33 = "|busybox "
        $get34 = "| busybox " $get35 = "&busybox " $get36 = "& busybox " $get37 = ";mknod " $get38 = "; mknod "
        $get39 = "|mknod " $get40 = "| mknod " $get41 = "&mknod " $get42 = "& mknod " $get43 = ";ftpget "
        $get44 = "; ftpget " $get45 = "|ftpget " $get46 = "| ftpget " $get47 = "&ftpget " $get48 = "& ftpget "
        $file1 = ";cat /" $file2 = "; cat /" $file3 = "|cat /" $file4 = "| cat /" $file5 = "&cat /" $file6 = "& cat /"
        $file7 = ";cat ." $file8 = "; cat ." $file9 = "|cat ." $file10 = "| cat ." $file11 = "&cat ."
        $file12 = "& cat ." $file13 = ";rm -rf /" $file14 = "; rm -rf /" $file15 = "|rm -rf /" $file16 = "| rm -rf /"
        $file17 = "&rm -rf /" $file18 = "& rm -rf /" $file19 = ";rm -rf ." $file20 = "; rm -rf ." $file21 = "|rm -rf ."
        $file22 = "| rm -rf ." $file23 = "&rm -rf ." $file24 = "& rm -rf ." $file25 = ";rm -fr /" $file26 = "; rm -fr /"
        $file27 = "|rm -fr /" $file28 = "| rm -fr /" $file29 = "&rm -fr /" $file30 = "& rm -fr /" $file31 = ";chmod 7"
        $file32 = "; chmod 7" $file33 = "|chmod 7" $file34 = "| chmod 7" $file35 = "&chmod 7" $file36 = "& chmod 7"
        $file37 = ";chmod 0" $file38 = "; chmod 0" $file39 = "|chmod 0" $file40 = "| chmod 0" $file41 = "&chmod 0"
        $file42 = "& chmod 0" $file43 = ";chmod 6" $file44 = "; chmod 6" $file45 = "|chmod 6" $file46 = "| chmod 6"
        $file47 = "&chmod 6" $file48 = "& chmod 6" $file49 = ";chmod +" $file50 = "; chmod +" $file51 = "|chmod +"
        $file52 = "| chmod +" $file53 = "&chmod +" $file54 = "& chmod +" $file55 = ";chmod a+" $file56 = "; chmod a+"
        $file57 = "|chmod a+" $file58 = "| chmod a+" $file59 = "&chmod a+" $file60 = "& chmod a+" $file61 = ";chmod u+"
        $file62 = "; chmod u+" $file63 = "|chmod u+" $file64 = "| chmod u+" $file65 = "&chmod u+" $file66 = "& chmod u+"
        $file67 = ";chmod -R" $file68 = "; chmod -R" $file69 = "|chmod -R" $file70 = "| chmod -R" $file71 = "&chmod -R"
        $file72 = "& chmod -R"
        $word1 = ";reboot" $word2 = "; reboot" $word3 = "|reboot" $word4 = "| reboot" $word5 = "&reboot"
        $word6 = "& reboot" $word7 = ";  reboot" $word8 = "|  reboot" $word9 = "&  reboot" $word10 = ";telnetd"
        $word11 = "; telnetd" $word12 = "|telnetd" $word13 = "| telnetd" $word14 = "&telnetd" $word15 = "& telnetd"
        $word16 = ";  telnetd" $word17 = "|  telnetd" $word18 = "&  telnetd" $word19 = ";whoami" $word20 = "; whoami"
        $word21 = "|whoami" $word22 = "| whoami" $word23 = "&whoami" $word24 = "& whoami" $word25 = ";  whoami"
        $word26 = "|  whoami" $word27 = "&  whoami" $word28 = ";uname -a" $word29 = "; uname -a" $word30 = "|uname -a"
        $word31 = "| uname -a" $word32 = "&uname -a" $word33 = "& uname -a" $word34 = ";  uname -a"
        $word35 = "|  uname -a" $word36 = "&  uname -a"
        $ifs = "${IFS}"
        $ifs_plain = "$IFS$9"
        $passwd1 = "/etc/passwd" $passwd2 = "/etc/shadow"
        $telnetd = "telnetd -"
    condition:
        $subst or any of ($backtick*) or any of ($ifs*) or
        // before the operator: a quote, a digit, ";" or "="; a blank or a second "&", "|" may be between. After a command
        // that fetches: an option, or what has a ".", ":" or "/" soon
        any of ($get*) and for any of ($get*) : (# > 32 or for any i in (1..#) : (
            (uint8(@[i] + ![i]) == 0x2D or for any k in (1..17) : (uint8(@[i] + ![i] + k) >= 0x2E and
                (uint8(@[i] + ![i] + k) <= 0x2F or uint8(@[i] + ![i] + k) == 0x3A))) and
            for any j in (1..3) : ((j == 1 or uint8(@[i] - 1) == 0x20 or uint8(@[i] - 1) == 0x26 or uint8(@[i] - 1) == 0x7C) and
                (uint8(@[i] - j) == 0x22 or uint8(@[i] - j) == 0x27 or
                (uint8(@[i] - j) >= 0x30 and uint8(@[i] - j) <= 0x3D and uint8(@[i] - j) != 0x3A and uint8(@[i] - j) != 0x3C))))) or
        any of ($file*) and for any of ($file*) : (# > 32 or for any i in (1..#) : (for any k in (0..7) : (uint8(@[i] + ![i] - 1 + k) >= 0x2E and
            uint8(@[i] + ![i] - 1 + k) <= 0x2F) and for any j in (1..3) : ((j == 1 or uint8(@[i] - 1) == 0x20 or uint8(@[i] - 1) == 0x26 or uint8(@[i] - 1) == 0x7C) and
                (uint8(@[i] - j) == 0x22 or uint8(@[i] - j) == 0x27 or
                (uint8(@[i] - j) >= 0x30 and uint8(@[i] - j) <= 0x3D and uint8(@[i] - j) != 0x3A and uint8(@[i] - j) != 0x3C))))) or
        any of ($word*) and for any of ($word*) : (# > 32 or for any i in (1..#) : (
            (@[i] + ![i] == filesize or for any end in (0x3B, 0x7C, 0x26, 0x22, 0x27, 0x23, 0x0A, 0x20) : (uint8(@[i] + ![i]) == end)) and
            for any j in (1..3) : ((j == 1 or uint8(@[i] - 1) == 0x20 or uint8(@[i] - 1) == 0x26 or uint8(@[i] - 1) == 0x7C) and
                (uint8(@[i] - j) == 0x22 or uint8(@[i] - j) == 0x27 or
                (uint8(@[i] - j) >= 0x30 and uint8(@[i] - j) <= 0x3D and uint8(@[i] - j) != 0x3A and uint8(@[i] - j) != 0x3C))))) or
        // "cat" and a blank, "<" or "$" up to 20 bytes before
        any of ($passwd*) and for any of ($passwd*) : (# > 32 or for any i in (1..#) : (for any j in (4..20) : (uint16be(@[i] - j) == 0x6361 and
            uint8(@[i] - j + 2) == 0x74 and (uint8(@[i] - j + 3) == 0x20 or uint8(@[i] - j + 3) == 0x3C or
            uint8(@[i] - j + 3) == 0x24)))) or
        #telnetd > 32 or for any i in (1..#telnetd) : (for any j in (9..40) : (uint32be(@telnetd[i] + j) == 0x2F62696E and
            (uint16be(@telnetd[i] + j - 2) == 0x2D6C or uint16be(@telnetd[i] + j - 3) == 0x2D6C or uint16be(@telnetd[i] + j - 2) == 0x6C20)))
}
