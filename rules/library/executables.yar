/* SPDX-License-Identifier: Apache-2.0 */
/* More than 32 matches of a string that has a loop are a finding by themselves: the way to the i-th match is i steps long. */
/* Programs where telemetry belongs. They hold for the decoded views too, so base64, hex, gzip make no difference.
 * A topic that carries firmware on purpose gets a check of its own. */

rule elf_executable
{
    meta:
        id = "mqward-exec-001"
        description = "ELF program or library"
        severity = "critical"
        mitre_attack = "T1105"
        reference = "https://attack.mitre.org/techniques/T1105/"
        sample_hit = "elf-arm.b64 elf-mips.b64"
        sample_miss = "firmware-manifest.json syslog-kernel.txt sparkplug.b64"
    strings:
        // class, order of bytes, version 1; e_type REL, EXEC or DYN in either order
        $header = { 7F 45 4C 46 (01 | 02) (01 | 02) 01 [9] (00 | 01 | 02 | 03) (00 | 01 | 02 | 03) }
    condition:
        $header
}

rule pe_executable
{
    meta:
        id = "mqward-exec-002"
        description = "Windows program (PE)"
        severity = "critical"
        mitre_attack = "T1105"
        reference = "https://attack.mitre.org/techniques/T1105/"
        sample_hit = "pe.b64 pe-stub.b64"
        sample_miss = "firmware-manifest.json opc-ua.json sparkplug.b64"
    strings:
        $header = { 50 45 00 00 (4C 01 | 64 86 | 64 AA | C0 01 | C4 01) }
        $stub = "This program cannot be run in DOS mode"
        $stub_borland = "This program must be run under Win32"
    condition:
        any of ($stub*) or ($header and uint16(0) == 0x5A4D and $header at uint32(0x3C))
}

rule macho_executable
{
    meta:
        id = "mqward-exec-003"
        description = "macOS program (Mach-O)"
        severity = "critical"
        mitre_attack = "T1105"
        reference = "https://attack.mitre.org/techniques/T1105/"
        sample_hit = "macho.b64 macho-fat.b64"
        sample_miss = "sparkplug.b64 firmware-manifest.json modbus-rtu.b64"
    strings:
        // x86, x86-64, ARM, ARM64
        $header_little = { CE FA ED FE (07 | 0C) 00 00 (00 | 01) }
        $header_little64 = { CF FA ED FE (07 | 0C) 00 00 (00 | 01) }
        $header_big = { FE ED FA CE (00 | 01) 00 00 (07 | 0C | 12) }
        $header_big64 = { FE ED FA CF (00 | 01) 00 00 (07 | 0C | 12) }
        $fat = { CA FE BA BE 00 00 00 (01 | 02 | 03 | 04) (00 | 01) 00 00 (07 | 0C) }
    condition:
        any of them
}

rule java_class
{
    meta:
        id = "mqward-exec-004"
        description = "Java class"
        severity = "high"
        mitre_attack = "T1105"
        reference = "https://attack.mitre.org/techniques/T1105/"
        sample_hit = "java-class.b64"
        sample_miss = "java-stacktrace.txt kotlin-stacktrace.txt macaddress.json"
    strings:
        // versions 45 (1.1) to 69 (25)
        $header = { CA FE BA BE 00 (00 | 03) 00 (2D | 2E | 2F | 3? | 40 | 41 | 42 | 43 | 44 | 45) }
    condition:
        $header
}

rule java_serialized_object
{
    meta:
        id = "mqward-exec-005"
        description = "Serialized Java object: deserializing it may run code"
        severity = "high"
        mitre_attack = "T1190"
        reference = "https://cwe.mitre.org/data/definitions/502.html"
        sample_hit = "java-serialized.b64"
        sample_miss = "java-stacktrace.txt modbus-rtu.b64 sparkplug.b64"
    strings:
        // stream magic, version 5, then an object, a class, a proxy, an array or a block of data
        $stream = { AC ED 00 05 (73 | 75 | 76 | 77 | 7D) (72 | 7D | 00 | 04 | 08) }
    condition:
        $stream
}

rule python_pickle
{
    meta:
        id = "mqward-exec-006"
        description = "Python pickle that calls a function of the system"
        severity = "critical"
        mitre_attack = "T1059.006"
        reference = "https://cwe.mitre.org/data/definitions/502.html"
        sample_hit = "pickle.b64"
        sample_miss = "python-traceback.txt node-red.json csv-energy.csv"
    strings:
        // GLOBAL by name, and by STACK_GLOBAL: SHORT_BINUNICODE module, MEMOIZE, SHORT_BINUNICODE name
        $posix = "cposix\nsystem\n"
        $os = "cos\nsystem\n"
        $subprocess = "csubprocess\n"
        $builtins = "c__builtin__\neval\n"
        $builtins3 = "cbuiltins\ne"
        $stack_posix = { 8C 05 70 6F 73 69 78 94 8C 06 73 79 73 74 65 6D }
        $stack_subprocess = { 8C 0A 73 75 62 70 72 6F 63 65 73 73 94 8C }
        $stack_builtins = { 8C 08 62 75 69 6C 74 69 6E 73 94 8C 04 (65 76 61 6C | 65 78 65 63) }
    condition:
        any of them
}

rule android_dex
{
    meta:
        id = "mqward-exec-007"
        description = "Android program (dex)"
        severity = "critical"
        mitre_attack = "T1105"
        reference = "https://attack.mitre.org/techniques/T1105/"
        sample_hit = "dex.b64"
        sample_miss = "kotlin-stacktrace.txt firmware-manifest.json sparkplug.b64"
    strings:
        $header = "dex\n03"
    condition:
        #header > 32 or for any i in (1..#header) : (uint8(@header[i] + 6) >= 0x30 and uint8(@header[i] + 6) <= 0x39 and uint8(@header[i] + 7) == 0)
}

rule webassembly
{
    meta:
        id = "mqward-exec-008"
        description = "WebAssembly module"
        severity = "high"
        mitre_attack = "T1105"
        reference = "https://attack.mitre.org/techniques/T1105/"
        sample_hit = "wasm.b64"
        sample_miss = "sparkplug.b64 modbus-rtu.b64 node-red.json"
    strings:
        $header = { 00 61 73 6D 01 00 00 00 }
    condition:
        $header
}

rule packed_executable
{
    meta:
        id = "mqward-exec-009"
        description = "Program packed with UPX, the header of which may be missing"
        severity = "high"
        mitre_attack = "T1027.002"
        reference = "https://attack.mitre.org/techniques/T1027/002/"
        sample_hit = "upx.b64"
        sample_miss = "ups-status.json firmware-manifest.json syslog-kernel.txt"
    strings:
        $info = "$Info: This file is packed with the UPX executable packer"
        $id = "$Id: UPX "
    condition:
        any of them
}
