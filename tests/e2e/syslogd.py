# SPDX-License-Identifier: Apache-2.0
"""Debian's rsyslogd as a receiver: each message becomes a line of JSON in a file, as rsyslog has parsed it."""
import json
import os

from processes import Process, free_port, wait_until

TEMPLATE = """
template(name="parsed" type="list" option.jsonf="on") {
  property(outname="pri" name="pri" format="jsonf")
  property(outname="time" name="timereported" dateFormat="rfc3339" format="jsonf")
  property(outname="host" name="hostname" format="jsonf")
  property(outname="app" name="app-name" format="jsonf")
  property(outname="process" name="procid" format="jsonf")
  property(outname="id" name="msgid" format="jsonf")
  property(outname="data" name="structured-data" format="jsonf")
  property(outname="msg" name="msg" format="jsonf")
  property(outname="raw" name="rawmsg-after-pri" format="jsonf")
}
template(name="json" type="string" string="%$!all-json%\\n")
"""


class Rsyslog(Process):
    """inputs: "udp", "tcp", "tls" on ports of their own, "datagram" and "stream" on sockets."""
    name = "rsyslogd"

    def __init__(self, folder, *inputs, certs=None, client_certificate=False):
        super().__init__(folder)
        self.inputs, self.certs, self.client_certificate = inputs, certs, client_certificate
        self.port = free_port()
        self.socket = os.path.join(self.folder, "log.sock")
        self.received = os.path.join(self.folder, "received.json")
        self.documents = os.path.join(self.folder, "documents.json")
        self.configuration = os.path.join(self.folder, "rsyslog.conf")
        with open(self.configuration, "w", encoding="ascii") as file:
            file.write("\n".join([self._global(), *map(self._input, inputs), TEMPLATE, self._actions()]))

    def _global(self):
        tls = ""
        if "tls" in self.inputs:
            certificate, key = self.certs.server
            tls = (f' defaultNetstreamDriver="ossl" defaultNetstreamDriverCAFile="{self.certs.fleet_ca.path}"'
                   f' defaultNetstreamDriverCertFile="{certificate}" defaultNetstreamDriverKeyFile="{key}"')
        return (f'global(workDirectory="{self.folder}" maxMessageSize="64k"'
                f' parser.escapeControlCharactersOnReceive="off"{tls})\n'
                'main_queue(queue.type="Direct")\n'  # what it has read is in the file before it reads on
                'module(load="mmjsonparse")')

    def _input(self, kind):
        address = f'address="127.0.0.1" port="{self.port}"'
        mode = "x509/certvalid" if self.client_certificate else "anon"
        return {
            "udp": f'module(load="imudp")\ninput(type="imudp" rcvbufSize="4m" {address})',
            "tcp": f'module(load="imtcp")\ninput(type="imtcp" {address})',
            "tls": 'module(load="imtcp" StreamDriver.Name="ossl" StreamDriver.Mode="1" '
                   f'StreamDriver.AuthMode="{mode}")\n'
                   f'input(type="imtcp" {address})',
            "datagram": 'module(load="imuxsock" SysSock.Use="off")\n'
                        f'input(type="imuxsock" socket="{self.socket}" createPath="off" useSpecialParser="off" '
                        'parseHostname="on" ratelimit.interval="0")',
            "stream": f'module(load="imptcp")\ninput(type="imptcp" path="{self.socket}" unlink="on")',
        }[kind]

    def _actions(self):
        return (f'action(type="omfile" file="{self.received}" template="parsed" asyncWriting="off" flushOnTXEnd="on")\n'
                'action(type="mmjsonparse" cookie="")\n'
                f'if $parsesuccess == "OK" then action(type="omfile" file="{self.documents}" template="json")')

    def command(self):
        return ["/usr/sbin/rsyslogd", "-n", "-f", self.configuration, "-i", os.path.join(self.folder, "rsyslogd.pid")]

    def start(self):
        for path in (os.path.join(self.folder, "rsyslogd.pid"), self.socket):
            if os.path.exists(path):
                os.unlink(path)
        self.spawn()
        wait_until(self._listens, f"rsyslogd to listen\n{self.output()[-2000:]}")
        return self

    def _listens(self):
        assert self.running(), self.output()[-2000:]
        if "datagram" in self.inputs or "stream" in self.inputs:
            return os.path.exists(self.socket)
        table = "udp" if "udp" in self.inputs else "tcp"
        with open(f"/proc/{self.process.pid}/net/{table}", encoding="ascii") as file:
            return any(f"0100007F:{self.port:04X} " in line for line in file)

    def address(self):
        return self.socket if {"datagram", "stream"} & set(self.inputs) else f"127.0.0.1:{self.port}"

    @staticmethod
    def _read(path, start=b'{'):
        """A rsyslogd that was killed may have left half a line, and the next one has put its first line behind it."""
        if not os.path.exists(path):
            return []
        with open(path, "rb") as file:
            return [json.loads(line[line.rindex(start):]) for line in file if line.endswith(b"\n") and start in line]

    def messages(self):
        """All messages so far, as rsyslog has taken them apart."""
        return self._read(self.received, b'{"pri":"')

    def events(self):
        """The documents in the messages, as mqward wrote them."""
        return [json.loads(message["msg"]) for message in self.messages()]

    def parsed(self):
        """What mmjsonparse has made of the messages."""
        return self._read(self.documents, b'{ "@timestamp": "')
