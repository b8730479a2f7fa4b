# SPDX-License-Identifier: Apache-2.0
"""Who may enter which virtual host of RabbitMQ, answered over HTTP to its plugin rabbitmq_auth_backend_http.

A user of RabbitMQ and its password belong to the whole node, but each world has users of its own; and in a world
without passwords anybody gets in, as with Mosquitto's allow_anonymous, whatever mqward passes on as user name.
"""
import http.server
import threading
import urllib.parse


class UserServer:
    def __init__(self):
        self.users = {}  # {virtual host: {user: password}, or None: anybody}
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def allow(self, virtual_host, users):
        self.users[virtual_host] = users

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def decide(self, what, form):
        """The plugin asks for the user and password first; who has got in may do everything there."""
        if form.get("vhost") not in self.users:
            return "deny"
        users = self.users[form["vhost"]]
        if what == "user":
            right = users is None or (form["username"] in users and users[form["username"]] == form.get("password", ""))
        else:
            right = users is None or form["username"] in users
        return "allow" if right else "deny"

    def _handler(self):
        decide = self.decide

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                text = self.rfile.read(int(self.headers["content-length"])).decode()
                body = decide(self.path.strip("/"), dict(urllib.parse.parse_qsl(text, keep_blank_values=True))).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        return Handler
