/* SPDX-License-Identifier: Apache-2.0 */
/* More than 32 matches of a string that has a loop are a finding by themselves: the way to the i-th match is i steps long. */
/* Server pages that run what a request asks for. Telemetry is written to files often enough. */

rule php_webshell
{
    meta:
        id = "mqward-web-001"
        description = "PHP that runs what a request asks for"
        severity = "critical"
        mitre_attack = "T1505.003"
        reference = "https://attack.mitre.org/techniques/T1505/003/"
        sample_hit = "php-system.b64 php-eval.b64 php-short.b64 php-variable.b64"
        sample_miss = "php-version.txt xml-soap.xml http-access-log.txt"
    strings:
        $open = "<?php" nocase
        $open_short = "<?="
        $input1 = "$_GET" nocase $input2 = "$_POST" nocase $input3 = "$_REQUEST" nocase $input4 = "$_COOKIE" nocase
        $input5 = "$_SERVER" nocase $input6 = "base64_decode" nocase $input7 = "gzinflate" nocase
        $input8 = "str_rot13" nocase $input9 = "file_get_contents('php://input" nocase
        $backtick1 = "`$_GET[" $backtick2 = "`$_POST[" $backtick3 = "`$_REQUEST[" $backtick4 = "`$_COOKIE["
        $backtick5 = "` $_GET[" $backtick6 = "` $_POST[" $backtick7 = "` $_REQUEST[" $backtick8 = "` $_COOKIE["
        $callback1 = "array_map(" $callback2 = "array_map (" $callback3 = "call_user_func("
        $callback4 = "call_user_func (" $callback5 = "call_user_func_array(" $callback6 = "usort("
        $callback7 = "usort (" $callback8 = "preg_replace(" $callback9 = "preg_replace ("
        $upload = "move_uploaded_file($_FILES["
    condition:
        any of ($open*) and (any of ($backtick*) or $upload or
        // input behind a parenthesis, and before that a name that ends in exec, stem, thru, open, eval, sert, tion, or "]"
        any of ($input*) and for any of ($input*) : (# > 32 or for any i in (1..#) : (for any j in (1..3) : (uint8(@[i] - j) == 0x28 and
            (uint8(@[i] - j - 1) == 0x5D or uint16be(@[i] - j - 2) == 0x5D20 or for any k in (4..6) : (
                (uint32be(@[i] - j - k) | 0x20202020) == 0x65786563 or (uint32be(@[i] - j - k) | 0x20202020) == 0x7374656D or
                (uint32be(@[i] - j - k) | 0x20202020) == 0x74687275 or (uint32be(@[i] - j - k) | 0x20202020) == 0x6F70656E or
                (uint32be(@[i] - j - k) | 0x20202020) == 0x6576616C or (uint32be(@[i] - j - k) | 0x20202020) == 0x73657274 or
                (uint32be(@[i] - j - k) | 0x20202020) == 0x74696F6E))))) or
        any of ($callback*) and for any of ($callback*) : (# > 32 or for any i in (1..#) : (for any j in (0..80) : (uint16be(@[i] + ![i] + j) == 0x245F))))
}

rule jsp_webshell
{
    meta:
        id = "mqward-web-002"
        description = "Java server page that starts processes or loads classes from a request"
        severity = "critical"
        mitre_attack = "T1505.003"
        reference = "https://attack.mitre.org/techniques/T1505/003/"
        sample_hit = "jsp-exec.b64"
        sample_miss = "java-stacktrace.txt kotlin-stacktrace.txt html-status.html"
    strings:
        $runtime = "Runtime.getRuntime()"
        $builder = "new ProcessBuilder("
        $define = ".defineClass("
        $parameter = "request.getParameter("
        $header = "request.getHeader("
        $reader = "request.getReader()"
    condition:
        any of ($runtime, $builder, $define) and any of ($parameter, $header, $reader)
}

rule asp_webshell
{
    meta:
        id = "mqward-web-003"
        description = "Active server page that runs what a request asks for"
        severity = "critical"
        mitre_attack = "T1505.003"
        reference = "https://attack.mitre.org/techniques/T1505/003/"
        sample_hit = "asp-eval.b64 aspx-process.b64"
        sample_miss = "windows-event.json html-status.html xml-soap.xml"
    strings:
        $eval1 = "eval request" nocase $eval2 = "eval(request" nocase $eval3 = "eval (request" nocase
        $eval4 = "eval( request" nocase $eval5 = "execute request" nocase $eval6 = "execute(request" nocase
        $eval7 = "execute (request" nocase $eval8 = "execute( request" nocase $eval9 = "executeglobal request" nocase
        $eval10 = "executeglobal(request" nocase $eval11 = "executeglobal (request" nocase
        $eval12 = "executeglobal( request" nocase
        $page = /(<%@ page|<%@page) language ?= ?["'](jscript|c#|vb)["']/ nocase
        $process = "System.Diagnostics.Process" nocase
        $start = "new ProcessStartInfo(" nocase
        $unsafe = "Request.Item[" nocase
    condition:
        // then "(", "[" or "."
        any of ($eval*) and for any of ($eval*) : (# > 32 or for any i in (1..#) : (for any j in (0..1) : (uint8(@[i] + ![i] + j) == 0x28 or
            uint8(@[i] + ![i] + j) == 0x5B or uint8(@[i] + ![i] + j) == 0x2E))) or
        ($page and any of ($process, $start, $unsafe))
}

rule webshell_names
{
    meta:
        id = "mqward-web-004"
        description = "Titles of well-known web shells"
        severity = "high"
        mitre_attack = "T1505.003"
        reference = "https://attack.mitre.org/techniques/T1505/003/"
        sample_hit = "webshell-title.b64"
        sample_miss = "meter-names.json php-version.txt html-status.html"
    strings:
        $c99 = "c99shell" nocase
        $r57 = "r57shell" nocase
        $b374k = "b374k" fullword
        $wso = "Web Shell by oRb"
        $wso2 = "WSOsetcookie"
        $weevely = "weevely" nocase fullword
        $chopper_php = "@ini_set(\"display_errors\",\"0\");@set_time_limit(0);"
        $godzilla = "session_start();@set_time_limit(0);@error_reporting(0);"
        $behinder = "e45e329feb5d925b"
    condition:
        any of ($c99, $r57, $b374k, $wso*, $weevely, $chopper_php, $godzilla, $behinder)
}
