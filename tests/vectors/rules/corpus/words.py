# SPDX-License-Identifier: Apache-2.0
"""Text: numbers, tables, logs, languages, stack traces."""

from corpus.base import NOW, PLANTS, ascii_json, dice, hexadecimal, kind, number, stamp


@kind("number", 10, "txt")
def plain_number(i):
    return ["21.5", "0", "-17", "1e-3", "true", "ON", "open", "1772366400000", "NaN", "23,4 °C"][i]


@kind("csv", 10, "csv")
def csv(i):
    rows = [
        "%d%s%s%s%.2f%s%d"
        % (NOW + k, ",;\t"[i % 3], PLANTS[k % 6], ",;\t"[i % 3], number(0, 99, 2), ",;\t"[i % 3], k * i)
        for k in range(3 + i)
    ]
    return "\n".join((["time,plant,value,n"] if i % 2 else []) + rows) + "\n"


@kind("influx-line", 6, "txt")
def influx(i):
    return "".join(
        "weather,site=%s,room=%d temperature=%.2f,status=\"ok; next 'or' else\" %d\n"
        % (PLANTS[k % 6], k, number(0, 40, 2), (NOW + k) * 10**9)
        for k in range(1 + i)
    )


@kind("prometheus", 3, "txt")
def prometheus(i):
    return (
        '# HELP node_load1 1m load average.\n# TYPE node_load1 gauge\nnode_load1 %.2f\n'
        'http_requests_total{method="post",code="200"} %d\n'
        % (number(0, 4, 2), i * 100)
    )


SYSLOG = [
    "sshd[511]: Failed password for root from 192.0.2.%d port 50212 ssh2",
    "dhclient[77]: DHCPACK of 192.0.2.%d from 192.0.2.1",
    "updater[402]: wget http://fw.example.net/%d.bin: 404 Not Found, giving up",
    "kernel: usb 1-1.%d: new high-speed USB device using xhci",
    "busybox[9]: ntpd: offset +0.000%d s, /bin/busybox stays",
    "sh[31]: /etc/init.d/S40network: line %d: eth1: not found",
    "cron[8]: (root) CMD (test -x /usr/sbin/anacron || run-parts --report /etc/cron.daily/%d)",
    "systemd[1]: Started Session %d of user root.",
    "telnetd[3]: connection from 192.0.2.%d refused; telnet is off",
    "curl[12]: (28) Connection timed out after 300%d milliseconds",
    "sudo: operator : TTY=pts/%d ; PWD=/home/operator ; USER=root ; COMMAND=/bin/cat /var/log/messages",
    "tftp[5]: server requested boot.img from slot %d; chmod 0644 done",
    'nginx: 192.0.2.%d "GET /../favicon.ico HTTP/1.1" 400',
    "app: select 1 from dual took %d ms; union pumps or valves; drop rate 0.1 %%; table of values updated",
]


@kind("syslog", len(SYSLOG), "txt")
def syslog(i):
    return "<%d>1 %s gw-%d %s\n" % (30 + i, stamp(i), i, SYSLOG[i] % (i + 3))


@kind("log-shell-words", 6, "txt")
def shell_words(i):
    return [
        "step 1: cat and wc; step 2: sort | head; step 3: mail to ops\n",
        "usage: agent [-c FILE] [-e] [--sh]; exit 2\n",
        "rm: cannot remove 'x'; chmod: missing operand; curl; wget; nc; all missing in this image\n",
        "cost: 5 $ (net), 6 $ (gross) && tax; see `man agent` or {{docs}}\n",
        "bash-5.2$ exit # shell of operator closed, sh ended\n",
        "echo test; echo done; ping 192.0.2.1: 3 packets, 0 % loss; reboot in 30 s requested by operator\n",
    ][i]


TEXTS = [
    "Die Pumpe P3 läuft seit 04:00 Uhr; Druck 3,2 bar, Temperatur 41 °C. Nächste Wartung: Größe 7 prüfen, Öl wechseln.",
    "L'éolienne n° 4 s'est arrêtée à cause d'une rafale; redémarrage prévu à 14 h 30 (l'opérateur n'a rien signalé).",
    "三号水泵运行正常,压力3.2巴,温度41度。下次维护:2026年4月1日。报警已确认。",
    "ポンプ3は正常に動作しています。圧力は3.2バールです。",
    "Насос №3 работает; давление 3,2 бар; «следующее ТО» — 1 апреля.",
    "مضخة رقم ٣ تعمل بشكل طبيعي",
    "El sensor d'Or = 1; l'equip 'or' funciona.",
    "Pump 3 'or' pump 4 must run; select one and union them with the main line -- then drop pressure; table 5 applies.",
]


@kind("text", 16, "txt")
def text(i):
    return (
        TEXTS[i % 8]
        if i < 8
        else ascii_json({"text": TEXTS[i % 8], "lang": "x%d" % i, "quote": '"%s"' % TEXTS[i % 8][:12]})
    )


@kind("text-utf16", 6, "bin")
def text_utf16(i):
    order = ["utf-16-le", "utf-16-be", "utf-16"][i % 3]
    return TEXTS[i].encode(order)


@kind("stacktrace-java", 6, "txt")
def java(i):
    return (
        'java.lang.NullPointerException: Cannot invoke "com.example.Value.get()" because "<local%d>" is null\n' % i
        + "".join(
            "\tat com.example.gateway.%s.run(%s.java:%d)\n" % (name, name, dice.randint(1, 900))
            for name in ["Reader", "Loop", "Main"]
        )
        + "Caused by: java.util.concurrent.TimeoutException\n"
        "\tat java.base/java.lang.ProcessBuilder.start(ProcessBuilder.java:1143)\n\t... 12 more\n"
    )


@kind("stacktrace-kotlin", 4, "txt")
def kotlin(i):
    return (
        "FATAL EXCEPTION: DefaultDispatcher-worker-%d\nProcess: com.example.app, PID: 8412\n"
        "java.net.SocketTimeoutException: failed to connect to /192.0.2.7 (port 8883)\n"
        "\tat com.example.app.data.SensorRepository$observe$1.invokeSuspend(SensorRepository.kt:%d)\n"
        "\tat kotlin.coroutines.jvm.internal.BaseContinuationImpl.resumeWith(ContinuationImpl.kt:33)\n"
        % (i, i * 13)
    )


@kind("stacktrace-python", 4)
def python_trace(i):
    return ascii_json(
        {
            "level": "ERROR",
            "exc": 'Traceback (most recent call last):\n  File "/opt/gw/main.py", line %d, in <module>\n'
            '    import os, socket, subprocess\n'
            "  File \"/usr/lib/python3.11/subprocess.py\", line 1024, in __init__\n"
            "OSError: [Errno 12] Cannot allocate memory: 'sh'\n"
            % i,
        }
    )


@kind("stacktrace-node", 3, "txt")
def node_trace(i):
    return (
        "TypeError: Cannot read properties of undefined (reading 'constructor')\n"
        "    at Function.<anonymous> (/opt/app/../lib/state.js:%d:9)\n"
        "    at require (node:internal/modules/helpers:177:18) 'child'\n"
        "    at process.processTicksAndRejections (node:internal/process/task_queues:95:5)\n"
        % i
    )


@kind("crash-c", 3, "txt")
def crash(i):
    return (
        '*** stack smashing detected ***: terminated\n#0 0x0000ffff8e2c%04x in raise () from /lib/libc.so.6\n'
        '#1 0x0000aaaac0de1234 in sample (fmt=0x4141 "%%s: %%d") at sensor.c:%d\nr0: %s r1: %s\n'
        % (i, i * 7, hexadecimal(8), hexadecimal(8))
    )
