/* SPDX-License-Identifier: Apache-2.0 */
/* More than 32 matches of a string that has a loop are a finding by themselves: the way to the i-th match is i steps long. */
/* Text that becomes code where telemetry is logged, stored, shown, or put into a command line.
 *
 * Ordinary telemetry has short words such as "or", "exec", "cat" everywhere, so each string is as long as it can be; what stands
 * around it is compared in the condition. */

rule log4j_lookup
{
    meta:
        id = "mqward-inject-001"
        description = "JNDI lookup in a log message (Log4Shell), plain or disguised by nested lookups"
        severity = "critical"
        mitre_attack = "T1190"
        reference = "https://nvd.nist.gov/vuln/detail/CVE-2021-44228"
        sample_hit = "jndi-plain.b64 jndi-lower.b64 jndi-default.b64 jndi-env.b64 jndi-unicode.b64 jndi-two-lookups.b64"
        sample_miss = "template-shell.txt homeassistant-discovery.json node-red.json"
    strings:
        $plain = /\$\{jndi[:$]/ nocase
        $inner = "${${"
        $letter1 = "${lower:" nocase $letter2 = "${upper:" nocase $letter3 = "${date:'" nocase
        $nothing = "${::-"
        $default1 = "${env:" nocase $default2 = "${sys:" nocase $default3 = "${k8s:" nocase $default4 = "${sd:" nocase
        $default5 = "${main:" nocase $default6 = "${ctx:" nocase $default7 = "${date:" nocase
        $default8 = "${map:" nocase $default9 = "${bundle:" nocase $default10 = "${java:" nocase
        $default11 = "${web:" nocase $default12 = "${docker:" nocase
        $base64 = "${base64:JHtqbmRp"
    condition:
        $plain or $base64 or $nothing or #letter1 + #letter2 + #letter3 >= 2 or
        // behind a nested lookup: ldap:// ldaps:// rmi:// dns:// nis:// iiop:// corba:// nds://
        any of ($inner, $letter*, $default*) and for any of ($inner, $letter*, $default*) : (# > 0 and for any j in (0..255) : (uint16be(@ + j + 4) == 0x2F2F and
            for any end in (0x6461703A, 0x6170733A, 0x726D693A, 0x646E733A, 0x6E69733A, 0x696F703A, 0x7262613A, 0x6E64733A) : (
                (uint32be(@ + j) | 0x20202020) == end))) or
        // a default of up to five letters, with a letter's lookup or a second one
        any of ($default*) and for any of ($default*) : ((#default1 + #default2 + #default3 + #default4 + #default5 + #default6 +
            #default7 + #default8 + #default9 + #default10 + #default11 + #default12 >= 2 or any of ($letter*) or $inner) and (# > 32 or for any i in (1..#) : (
            for any j in (4..48) : (uint16be(@[i] + j) == 0x3A2D and
                for any k in (2..7) : (uint8(@[i] + j + k) == 0x7D)))))
}

rule template_injection
{
    meta:
        id = "mqward-inject-002"
        description = "Expression that a template engine would run (Jinja, Twig, Freemarker, Spring, OGNL)"
        severity = "high"
        mitre_attack = "T1190"
        reference = "https://cwe.mitre.org/data/definitions/1336.html"
        sample_hit = "ssti-jinja.b64 ssti-spring.b64 ssti-freemarker.b64 ssti-probe.b64"
        sample_miss = "homeassistant-discovery.json node-red.json template-shell.txt"
    strings:
        $class = ".__class__.__"
        $class_bracket = "['__class__']"
        $mro = "__mro__"
        $subclasses = "__subclasses__()"
        $globals = ".__globals__"
        $builtins = "__builtins__"
        $config1 = "{{config.items" $config2 = "{{ config.items" $config3 = "{{config.from_object"
        $config4 = "{{ config.from_object" $config5 = "{{config.__" $config6 = "{{ config.__" $config7 = "{{config}}"
        $config8 = "{{ config }}"
        $self1 = "{{self.__" $self2 = "{{ self.__" $self3 = "{{cycler.__" $self4 = "{{ cycler.__" $self5 = "{{joiner.__"
        $self6 = "{{ joiner.__" $self7 = "{{lipsum.__" $self8 = "{{ lipsum.__" $self9 = "{{request.__"
        $self10 = "{{ request.__" $self11 = "|attr('__" $self12 = "|attr(\"__" $self13 = "|attr(\\\"__"
        $self14 = "|attr('\\\\x5f"
        $probe_jinja = "{{7*7}}"
        $probe_blanks = "{{ 7*7 }}"
        $probe_blanks2 = "{{ 7 * 7 }}"
        $probe_text = "{{7*'7'}}"
        $probe_dollar = "${7*7}"
        $probe_hash = "#{7*7}"
        $probe_erb = "<%= 7*7 %>"
        $probe_erb2 = "<%= 7 * 7 %>"
        $spring = "T(java.lang.Runtime)"
        $spring_system = "T(java.lang.System).getenv"
        $spring_class = "class.module.classLoader"
        $freemarker = "freemarker.template.utility.Execute"
        $ognl = "@java.lang.Runtime@getRuntime()"
        $ognl_context = "#_memberAccess"
        $velocity = "getClass().forName("
        $velocity2 = "class.forName(\"java.lang.Runtime\")" nocase
        $twig = "_self.env.registerUndefinedFilterCallback"
        $js = "constructor.constructor("
    condition:
        any of them
}

rule prototype_pollution
{
    meta:
        id = "mqward-inject-003"
        description = "JSON member that changes the prototype of all objects"
        severity = "high"
        mitre_attack = "T1190"
        reference = "https://cwe.mitre.org/data/definitions/1321.html"
        sample_hit = "proto-json.b64"
        sample_miss = "node-red.json device-prototype.json zigbee2mqtt-devices.json"
    strings:
        $proto = /"__proto__"\s{0,4}:/
        $constructor = "\"constructor\""
        $bracket = "[__proto__]"
    condition:
        $proto or $bracket or #constructor > 32 or for any i in (1..#constructor) : (for any j in (14..27) : (
            uint32be(@constructor[i] + j) == 0x2270726F and uint32be(@constructor[i] + j + 4) == 0x746F7479))
}

rule nosql_injection
{
    meta:
        id = "mqward-inject-005"
        description = "Query operator of a document database in place of a value"
        severity = "medium"
        mitre_attack = "T1190"
        reference = "https://cwe.mitre.org/data/definitions/943.html"
        sample_hit = "nosql-ne.b64 nosql-where.b64"
        sample_miss = "json-schema.json node-red.json text-prices.txt"
    strings:
        $where = /"\$where"\s{0,4}:/
        $not = /"\$ne"\s{0,4}:\s{0,4}(null|""|1|true|false)/
        $greater = /"\$gte?"\s{0,4}:\s{0,4}""/
        $regex = /"\$r[e]gex"\s{0,4}:\s{0,4}"(\^|\.\*)/
        $function = /"\$function"\s{0,4}:\s{0,4}\{/
        $query = "[$ne]="
    condition:
        any of them
}

rule path_traversal
{
    meta:
        id = "mqward-inject-007"
        description = "Path that climbs out of its folder"
        severity = "medium"
        mitre_attack = "T1083"
        reference = "https://cwe.mitre.org/data/definitions/22.html"
        sample_hit = "path-dots.b64 path-encoded.b64 path-upper.b64"
        sample_miss = "java-stacktrace.txt node-stacktrace.txt json-schema.json"
    strings:
        $up = "../../../"
        $target_etc = "../etc/"
        $target_proc = "../proc/"
        $target_root = "../root/"
        $target_home = "../home/"
        $target_var = "../var/"
        $target_tmp = "../tmp/"
        $target_dev = "../dev/"
        $target_usr = "../usr/"
        $target_opt = "../opt/"
        $target_boot = "../boot/"
        $target_sys = "../sys/"
        $target_mnt = "../mnt/"
        $up_back = "..\\..\\..\\"
        $windows_windows = "..\\windows\\" nocase
        $windows_winnt = "..\\winnt\\" nocase
        $windows_users = "..\\users\\" nocase
        $windows_boot = "..\\boot\\" nocase
        $windows_programdata = "..\\programdata\\" nocase
        $encoded1 = "..%2f.." nocase $encoded2 = "..%2f%2e%2e" nocase $encoded3 = "%2e%2e%2f.." nocase
        $encoded4 = "%2e%2e%2f%2e%2e" nocase $encoded5 = "..%252f.." nocase $encoded6 = "..%252f%2e%2e" nocase
        $encoded7 = "%2e%2e%252f.." nocase $encoded8 = "%2e%2e%252f%2e%2e" nocase $encoded9 = "..%5c.." nocase
        $encoded10 = "..%5c%2e%2e" nocase $encoded11 = "%2e%2e%5c.." nocase $encoded12 = "%2e%2e%5c%2e%2e" nocase
        $encoded13 = "..%c0%af.." nocase $encoded14 = "..%c0%af%2e%2e" nocase $encoded15 = "%2e%2e%c0%af.." nocase
        $encoded16 = "%2e%2e%c0%af%2e%2e" nocase $encoded17 = "%252e%252e%252f" nocase
        $encoded_dots = "%2e%2e/%2e%2e/" nocase
        $filter = "....//....//"
    condition:
        ($up and any of ($target_*)) or ($up_back and any of ($windows_*)) or any of ($encoded*) or $filter
}

rule html_script
{
    meta:
        id = "mqward-inject-008"
        description = "Script in HTML: dashboards that show payloads as they are would run it"
        severity = "high"
        mitre_attack = "T1059.007"
        reference = "https://cwe.mitre.org/data/definitions/79.html"
        sample_hit = "xss-script.b64 xss-img.b64 xss-svg.b64 xss-upper.b64 xss-uri.b64"
        sample_miss = "html-status.html markdown-note.txt xml-soap.xml"
    strings:
        $script = /<script[ >\/]/ nocase
        $script_src = /<script[^>]{0,120}src ?= ?/ nocase
        $handler = /(<img|<svg|<iframe|<input|<video|<audio|<details|<object|<embed|<animate|<marquee|<select|<textarea)[ \/][^>]{0,160}\bon(error|load|click|mouseover|focus|toggle|begin|animationstart|start|loadstart|pointerover) ?= ?/ nocase
        // of elements that status pages have; the classes cut what is looked for to what those have not
        $handler_page = /<(a|body|div)[ \/][^>]{0,160}\b(onerr[o]r|onlo[a]d|oncli[c]k|onmou[s]eover|onfo[c]us) ?= ?/ nocase
        $animation = "onanimationstart" nocase
        $frame = /<iframe[^>]{0,120}(srcdoc|src ?= ?["']?(javascript|data):)/ nocase
        $uri = "javascript:" nocase
        $data = "data:text/html;base64," nocase
    condition:
        any of ($script*, $handler*, $frame, $data) or
        #animation > 32 or for any i in (1..#animation) : (for any j in (5..60) : (uint8(@animation[i] - j) == 0x3C)) or
        // as the value of an attribute
        #uri > 32 or for any i in (1..#uri) : (for any j in (1..3) : (uint8(@uri[i] - j) == 0x3D))
}

rule xml_external_entity
{
    meta:
        id = "mqward-inject-009"
        description = "XML that has its reader fetch files or URLs, or grow without end"
        severity = "high"
        mitre_attack = "T1190"
        reference = "https://cwe.mitre.org/data/definitions/611.html"
        sample_hit = "xxe-file.b64 xxe-laughs.b64"
        sample_miss = "xml-soap.xml html-status.html xml-doctype.xml"
    strings:
        $entity = /<!ENTITY\s{1,8}(%\s{1,8})?[A-Za-z0-9_.-]{1,40}\s{1,8}(SYSTEM|PUBLIC)\s/ nocase
        $nested = /<!ENTITY\s{1,8}[A-Za-z0-9_.-]{1,40}\s{1,8}["'](&[A-Za-z0-9_.-]{1,40};){4}/ nocase
        $include = "<xi:include" nocase
        $xslt = "<xsl:value-of select=\"system-property(" nocase
    condition:
        any of them
}

rule format_string
{
    meta:
        id = "mqward-inject-010"
        description = "Directives that write or walk memory where text is used as a format"
        severity = "medium"
        mitre_attack = "T1190"
        reference = "https://cwe.mitre.org/data/definitions/134.html"
        sample_hit = "format-n.b64 format-x.b64"
        sample_miss = "log-printf.txt csv-energy.csv url-encoded.txt"
    strings:
        $write = "%n%n%n"
        $write_short = /%[0-9]{0,3}(0\$hn|0\$hhn|1\$hn|1\$hhn|2\$hn|2\$hhn|3\$hn|3\$hhn|4\$hn|4\$hhn|5\$hn|5\$hhn|6\$hn|6\$hhn|7\$hn|7\$hhn|8\$hn|8\$hhn|9\$hn|9\$hhn)/
        $write_after = "%x%n"
        $write_after_pointer = "%p%n"
        $walk = "%x%x%x%x"
        $walk_dots = "%x.%x.%x.%x"
        $walk_full = "%08x%08x%08x"
        $walk_full_dots = "%08x.%08x.%08x"
        $walk_pointer = "%p%p%p"
        $walk_pointer_dots = "%p.%p.%p"
        $walk_pointer_blanks = "%p %p %p"
        $walk_string = "%s%s%s%s%s%s"
    condition:
        any of them
}

rule terminal_escape
{
    meta:
        id = "mqward-inject-011"
        description = "Control sequence that changes the terminal of who reads the log (title, clipboard, keys, files)"
        severity = "medium"
        mitre_attack = "T1565.001"
        reference = "https://cwe.mitre.org/data/definitions/150.html"
        sample_hit = "terminal-title.b64 terminal-clipboard.b64"
        sample_miss = "log-colours.b64 nmea.txt syslog-kernel.txt"
    strings:
        // OSC 0, 1, 2, 4, 5, 7, 8, 10, 11, 12, 50, 51, 52, 1337
        $command1 = { 1B 5D 30 3B }
        $command2 = { 1B 5D 31 3B }
        $command3 = { 1B 5D 32 3B }
        $command4 = { 1B 5D 34 3B }
        $command5 = { 1B 5D 35 3B }
        $command6 = { 1B 5D 37 3B }
        $command7 = { 1B 5D 38 3B }
        $command8 = { 1B 5D 31 30 3B }
        $command9 = { 1B 5D 31 31 3B }
        $command10 = { 1B 5D 31 32 3B }
        $command11 = { 1B 5D 35 30 3B }
        $command12 = { 1B 5D 35 31 3B }
        $command13 = { 1B 5D 35 32 3B }
        $command14 = { 1B 5D 31 33 33 37 3B }
        // DCS: questions that are answered with what they quote, and keys that are set
        $device1 = { 1B 50 24 71 }
        $device2 = { 1B 50 2B 71 }
        $device3 = { 1B 50 30 24 71 }
        $device4 = { 1B 50 31 24 71 }
        $device5 = { 1B 50 30 2B 71 }
        $device6 = { 1B 50 31 2B 71 }
        $device7 = { 1B 50 30 3B 30 7C }
        $device8 = { 1B 50 30 3B 31 7C }
        $device9 = { 1B 50 31 3B 30 7C }
        $device10 = { 1B 50 31 3B 31 7C }
        $device11 = { 1B 50 30 7C }
        $device12 = { 1B 50 31 7C }
        $report = { 1B 5B 36 6E }
    condition:
        any of them
}

rule http_request_smuggled
{
    meta:
        id = "mqward-inject-012"
        description = "Line breaks and a header or request behind a value (response splitting, SSRF by line feeds)"
        severity = "medium"
        mitre_attack = "T1190"
        reference = "https://cwe.mitre.org/data/definitions/113.html"
        sample_hit = "crlf-header.b64 crlf-redis.b64"
        sample_miss = "http-access-log.txt http-response.txt url-encoded.txt"
    strings:
        $encoded = /%0d%0a(set-cookie|location|content-length|host|http\/1)/ nocase
        $gopher = "gopher://" nocase
        $metadata = "http://169.254.169.254/"
        $metadata_google = "http://metadata.google.internal/"
        $redis = "\r\nCONFIG SET dir " nocase
        $redis_slave = "\r\nSLAVEOF " nocase
    condition:
        any of ($encoded, $metadata*, $redis*) or
        #gopher > 32 or for any i in (1..#gopher) : (for any j in (10..73) : (uint16be(@gopher[i] + j) == 0x2F5F))
}
